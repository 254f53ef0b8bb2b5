//! Names in a statement that were not found.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iceberg::TableIdent;

/// Names that were looked up and not found. DataFusion looks up every name in a statement, including the one that a
/// `CREATE TABLE` is about to create, so a missing name is not an error until planning fails because of it.
#[derive(Debug, Clone, Default)]
pub(super) struct UnresolvedNames(Arc<Mutex<Vec<TableIdent>>>);

impl UnresolvedNames {
    pub(super) fn push(&self, name: TableIdent) {
        self.lock().push(name);
    }

    /// The first name that was not found since the last call.
    pub(super) fn take(&self) -> Option<TableIdent> {
        std::mem::take(&mut *self.lock()).into_iter().next()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TableIdent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
