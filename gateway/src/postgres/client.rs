//! Who is at the other end of a connection.

use super::{CancelKey, Door};
use crate::backend::Statement;
use crate::login::Sender;
use crate::session::Session;

/// A client, whose session ends with it.
#[derive(Debug)]
pub(super) struct Client {
    pub sender: Sender,
    pub session: Session,
    pub key: CancelKey,
}

impl Client {
    pub(super) fn new(sender: Sender, door: &Door, key: CancelKey) -> Self {
        let (session, _) = door.security.sessions.begin(sender.caller.as_ref());
        Self { sender, session, key }
    }

    /// A statement of this client, without values.
    pub(super) fn statement(&self, sql: &str) -> Statement {
        let (sql, sender, session) = (sql.to_owned(), self.sender.clone(), self.session.clone());
        Statement { sql, sender, options: session.options(), session: Some(session), ..Statement::default() }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.session.close();
    }
}
