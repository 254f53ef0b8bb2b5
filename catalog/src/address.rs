//! Which catalog a warehouse has, as one text says it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::SqlCatalog;
use crate::storage::Secret;
use crate::store::Catalog;

/// The address of a catalog: `sqlite:PATH` or `postgres://user:password@host:port/database`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogAddress {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A Postgres database. The address may hold a password.
    Postgres(Secret),
}

impl CatalogAddress {
    /// Reads an address. The error does not repeat it, since it may hold a password.
    pub fn parse(text: &Secret) -> Result<Self> {
        let at = text.expose();
        match at.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => {
                // `sqlite:x`, and the `sqlite:///x` of other tools.
                Ok(Self::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path))))
            }
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(text.clone())),
            _ => {
                let what = "the catalog's address begins neither with sqlite: nor with postgres://";
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// Opens the catalog `name` there, and makes what is missing.
    pub async fn open(&self, name: &str) -> Result<Arc<dyn Catalog>> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqlCatalog::open(path, name).await?),
            Self::Postgres(address) => Arc::new(SqlCatalog::postgres(address, name).await?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let parse = |text: &str| CatalogAddress::parse(&Secret::new(text));
        assert_eq!(parse("sqlite:/data/c.db").unwrap(), CatalogAddress::Sqlite("/data/c.db".into()));
        assert_eq!(parse("sqlite:///data/c.db").unwrap(), CatalogAddress::Sqlite("/data/c.db".into()));
        assert!(matches!(parse("postgresql://u:p@h/d").unwrap(), CatalogAddress::Postgres(_)));
        for wrong in ["sqlite:", "mysql://u:hidden@h/d", "hidden"] {
            let e = parse(wrong).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(!e.to_string().contains("hidden"));
        }
    }
}
