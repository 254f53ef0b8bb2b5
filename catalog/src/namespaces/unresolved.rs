//! Names in a statement that were not found.

use std::sync::{Arc, PoisonError};

use iceberg::TableIdent;

use crate::error::Error;
use crate::table::Warehouse;

/// Names that were looked up and not found. DataFusion looks up every name in a statement, including the one that a
/// `CREATE TABLE` is about to create, so a missing name is not an error until planning fails because of it.
#[derive(Debug, Clone)]
pub(super) struct UnresolvedNames {
    warehouse: Warehouse,
    names: Arc<std::sync::Mutex<Vec<TableIdent>>>,
}

impl UnresolvedNames {
    pub(super) fn new(warehouse: Warehouse) -> Self {
        Self { warehouse, names: Arc::default() }
    }

    pub(super) fn push(&self, name: TableIdent) {
        self.lock().push(name);
    }

    /// The error of the first name that was not found since the last call.
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
