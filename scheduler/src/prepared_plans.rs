//! Plans of statements with parameters, which are executed again and again with other values.
//!
//! A plan pins its tables, so it is used only while these are current: another commit to one of them, and the statement
//! is planned again. It belongs to a user with the options of a session: when the rights of the user change, the
//! statement is planned again too, and now and then in any case.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bergmill_catalog::{Guard, NamespaceCatalog};
use bergmill_gateway::{Caller, Statement};
use datafusion::logical_expr::LogicalPlan;

use crate::session::StatementSession;

/// How long a plan is used.
const LEASE: Duration = Duration::from_secs(60);
/// Number of plans that are kept. Of more, those that were unused for longest are forgotten.
const KEPT: usize = 256;

/// The plans, last used last.
#[derive(Default)]
pub(crate) struct PreparedPlans(Mutex<VecDeque<(Key, Arc<PreparedPlan>)>>);

#[derive(PartialEq, Eq)]
struct Key {
    sql: String,
    caller: Option<Caller>,
    options: BTreeMap<String, String>,
}

/// The plan of a statement before values are bound to its parameters.
pub(crate) struct PreparedPlan {
    /// The tables that it reads.
    pub tables: Arc<NamespaceCatalog>,
    pub plan: LogicalPlan,
    since: Instant,
}

impl PreparedPlans {
    /// The plan of a statement, if neither its tables have changed nor what its user may do, which is `guard` now.
    pub(crate) async fn get(&self, statement: &Statement, guard: &Guard) -> Option<Arc<PreparedPlan>> {
        let key = key(statement)?;
        let found = self.find(&key)?;
        let is_current = found.since.elapsed() <= LEASE
            && found.tables.are_seen_by(guard).await
            && found.tables.is_current().await.unwrap_or(false);
        if !is_current {
            // Unless it has been planned again meanwhile.
            self.lock().retain(|(known, plan)| *known != key || !Arc::ptr_eq(plan, &found));
        }
        is_current.then_some(found)
    }

    /// Keeps the plan that a session made of a statement.
    pub(crate) fn keep(&self, statement: &Statement, session: &StatementSession) {
        if let (Some(key), Some(plan), false) = (key(statement), session.unbound.get(), session.reads_system()) {
            let (tables, plan) = (Arc::clone(&session.tables), plan.clone());
            self.put(key, Arc::new(PreparedPlan { tables, plan, since: Instant::now() }));
        }
    }

    fn find(&self, key: &Key) -> Option<Arc<PreparedPlan>> {
        let mut all = self.lock();
        let at = all.iter().position(|(known, _)| known == key)?;
        let used = all.remove(at)?;
        let plan = Arc::clone(&used.1);
        all.push_back(used);
        Some(plan)
    }

    fn put(&self, key: Key, plan: Arc<PreparedPlan>) {
        let mut all = self.lock();
        all.retain(|(known, _)| *known != key);
        if all.len() >= KEPT {
            all.pop_front();
        }
        all.push_back((key, plan));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Key, Arc<PreparedPlan>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` for a statement without values, whose plan is not kept.
fn key(statement: &Statement) -> Option<Key> {
    statement.parameters.as_ref()?;
    let Statement { sql, sender, options, .. } = statement;
    Some(Key { sql: sql.clone(), caller: sender.caller.clone(), options: options.clone() })
}
