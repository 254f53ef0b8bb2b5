//! Names in a statement that nothing was found for.

use std::sync::{Arc, PoisonError};

use iceberg::TableIdent;

use crate::error::Error;
use crate::table::Warehouse;

/// Names that were asked for and are not there. DataFusion asks for every name in a statement, also for the one that a
/// `CREATE TABLE` is about to make, so that a missing one is no error until planning fails for it.
#[derive(Debug, Clone)]
pub(super) struct UnresolvedNames {
    warehouse: Warehouse,
    names: Arc<std::sync::Mutex<Vec<TableIdent>>>,
}

impl UnresolvedNames {
    pub(super) fn new(warehouse: Warehouse) -> Self {
        Self { warehouse, names: Arc::default() }
    }

    pub(super) fn push(&self, miss: TableIdent) {
        self.lock().push(miss);
    }

    /// The error of the first that was missed since the last call.
    pub(super) async fn take(&self) -> Option<Error> {
        let first = std::mem::take(&mut *self.lock()).into_iter().next();
        match first {
            Some(name) => Some(self.warehouse.not_found(&name).await),
            None => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TableIdent>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
