//! Plans of statements between the calls that announce and that run them.
//!
//! A client learns the schema of a query by one call and fetches its rows by another. The plan of the first is kept for
//! the second, so that a statement is planned once, and reads the tables as they were when it was announced. A plan
//! that is not fetched soon is forgotten, and its statement planned again. So it is if the rights by which the plan was
//! admitted have changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bergmill_gateway::Statement;
use datafusion::physical_plan::ExecutionPlan;

use crate::session::StatementSession;
use crate::statement::Planned;

/// How long a plan is kept.
const LEASE: Duration = Duration::from_secs(60);
/// Number of plans that are kept. Of more, the oldest are forgotten.
const KEPT: usize = 256;

/// The plans that are kept, oldest first.
#[derive(Default)]
pub(crate) struct KeptPlans(Mutex<VecDeque<Kept>>);

struct Kept {
    statement: Statement,
    since: Instant,
    plan: KeptPlan,
}

/// A planned statement.
pub(crate) struct KeptPlan {
    pub session: StatementSession,
    pub planned: Planned,
    /// The physical plan of a query for a single process.
    pub single: Option<Arc<dyn ExecutionPlan>>,
}

impl KeptPlans {
    /// Keeps the plan of a statement that has an id.
    pub(crate) fn keep(&self, statement: Statement, plan: KeptPlan) {
        let mut all = self.lock();
        while all.front().is_some_and(|kept| all.len() >= KEPT || kept.since.elapsed() > LEASE) {
            all.pop_front();
        }
        all.push_back(Kept { statement, since: Instant::now(), plan });
    }

    /// Removes and returns the plan of a statement. It must be the same statement of the same user: ids are known to
    /// clients, and prove nothing.
    pub(crate) fn take(&self, statement: &Statement) -> Option<KeptPlan> {
        statement.id.as_ref()?;
        let mut all = self.lock();
        let at = all.iter().position(|kept| is_same(&kept.statement, statement))?;
        all.remove(at).filter(|kept| kept.since.elapsed() <= LEASE).map(|kept| kept.plan)
    }

    /// Forgets the plan of a statement that `may_cancel` allows. Returns whether there was one.
    pub(crate) fn forget(&self, id: &str, may_cancel: impl Fn(Option<&str>) -> bool) -> bool {
        let mut all = self.lock();
        let at = all
            .iter()
            .position(|kept| kept.statement.id.as_deref() == Some(id) && may_cancel(kept.statement.sender.user()));
        at.and_then(|at| all.remove(at)).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two statements are the same, but for their tags: these are not planned.
fn is_same(a: &Statement, b: &Statement) -> bool {
    let of_same_user = a.sender.caller == b.sender.caller;
    of_same_user && a.id == b.id && a.sql == b.sql && a.parameters == b.parameters && a.options == b.options
}
