//! Cancelling a statement by its id: `KILL QUERY`, and the calls of the protocol that do the same.

use bergmill_gateway::Caller;

use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::system::Cancelling;

impl Scheduler {
    /// Cancels a statement. Where users have to log in, they may cancel their own; administrators may cancel all.
    pub(crate) fn kill(&self, id: &str, caller: Option<&Caller>) -> Result<()> {
        let by = caller.map_or("by a client".to_string(), |caller| format!("by user {}", caller.user));
        let may_cancel = |user: Option<&str>| caller.is_none_or(|c| c.is_admin || user == Some(&c.user));
        // A query that was announced may not run yet.
        let is_forgotten = self.kept_plans.forget(id, may_cancel);
        let (kind, why) = match self.history.cancel(id, &by, may_cancel) {
            Cancelling::Done => return Ok(()),
            Cancelling::Unknown if is_forgotten => return Ok(()),
            Cancelling::Commits => (ErrorKind::Conflict, "is committing its result: it is too late to cancel it"),
            Cancelling::Ended => (ErrorKind::Conflict, "has ended"),
            Cancelling::OfAnother => (ErrorKind::Forbidden, "is of another user: only administrators may cancel it"),
            Cancelling::Unknown => (ErrorKind::NotFound, "is not known: system.queries lists the ids of statements"),
        };
        Err(Error::new(kind, format!("query {id} {why}")))
    }
}
