//! Names of tables and views, as callers of the catalog make them.

use std::fmt;
use std::ops::Deref;

use iceberg::{NamespaceIdent, TableIdent};

/// The name of a table or view together with that of its namespace.
///
/// It dereferences to the iceberg crate's `TableIdent`, so that callers of the catalog need not name the crate's types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QualifiedName(TableIdent);

impl QualifiedName {
    /// The table or view `name` in `namespace`, both as the catalog keeps them: nothing is folded or split.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(TableIdent::new(NamespaceIdent::new(namespace.to_string()), name.to_string()))
    }

    /// Another name in the same namespace.
    pub fn beside(&self, name: &str) -> Self {
        Self(TableIdent::new(self.0.namespace.clone(), name.to_string()))
    }

    /// The namespace; the levels of a nested one are separated by dots.
    pub fn namespace(&self) -> String {
        self.0.namespace.to_string()
    }

    /// The name within the namespace.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl Deref for QualifiedName {
    type Target = TableIdent;

    fn deref(&self) -> &TableIdent {
        &self.0
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
