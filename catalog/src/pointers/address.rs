//! The address of a warehouse's catalog, as text.

use std::path::PathBuf;
use std::sync::Arc;

use bergmill_access::{FileStore, Store};
use bergmill_storage::{CredentialVendor, Secret};

use crate::error::{Error, ErrorKind, Result};
use crate::pointers::rest::{RestAuth, RestCatalog, RestConfig, RestVendor};
use crate::pointers::sql::SqlCatalog;
use crate::pointers::sql::access::SqlAccess;
use crate::pointers::store::Catalog;

/// The address of a catalog: `sqlite:PATH`, `postgres://user:password@host:port/database`, or a REST server's
/// `https://host/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogAddress {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A Postgres database. The address may hold a password.
    Postgres(Secret),
    /// A server of the Iceberg REST protocol.
    Rest(String),
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
            Some(("http" | "https", _)) => Ok(Self::Rest(at.to_string())),
            _ => {
                let what = "the catalog's address must begin with sqlite:, postgres://, http:// or https://";
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// Opens the catalog, and creates what is missing. A SQL database may hold several, distinguished by `name`; a
    /// REST server is opened with `rest`.
    pub async fn open(&self, name: &str, rest: RestOptions) -> Result<Arc<dyn Catalog>> {
        Ok(match self {
            Self::Rest(uri) => Arc::new(RestCatalog::open(rest.config(uri)).await?),
            Self::Sqlite(path) => Arc::new(SqlCatalog::open(path, name).await?),
            Self::Postgres(address) => Arc::new(SqlCatalog::postgres(address, name).await?),
        })
    }

    /// Where users are kept: in the database of a SQL catalog, or for a REST server, which has no room for them, in the
    /// file `beside`.
    pub async fn users(&self, beside: PathBuf) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Rest(_) => Arc::new(FileStore::new(beside)),
            Self::Sqlite(path) => Arc::new(SqlAccess::sqlite(path).await?),
            Self::Postgres(address) => Arc::new(SqlAccess::postgres(address).await?),
        })
    }

    /// The vendor that a process without a catalog asks for the credentials of tables' files; `None` if this catalog
    /// vends none. No request is made before a table needs it.
    pub fn vendor(&self, rest: RestOptions) -> Option<Arc<dyn CredentialVendor>> {
        match self {
            Self::Rest(uri) => Some(Arc::new(RestVendor::new(rest.config(uri)))),
            Self::Sqlite(_) | Self::Postgres(_) => None,
        }
    }
}

/// Settings for a REST server besides its address.
#[derive(Debug, Clone)]
pub struct RestOptions {
    /// The warehouse to use; `None` for the server's default.
    pub warehouse: Option<String>,
    /// How to authenticate.
    pub auth: RestAuth,
    /// Whether to request vended credentials for tables' files.
    pub vended_credentials: bool,
}

impl RestOptions {
    fn config(self, uri: &str) -> RestConfig {
        let Self { warehouse, auth, vended_credentials } = self;
        RestConfig { uri: uri.to_string(), warehouse, auth, vended_credentials }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_distinguished() {
        let parse = |text: &str| CatalogAddress::parse(&Secret::new(text));
        assert_eq!(parse("sqlite:/data/c.db").unwrap(), CatalogAddress::Sqlite("/data/c.db".into()));
        assert_eq!(parse("sqlite:///data/c.db").unwrap(), CatalogAddress::Sqlite("/data/c.db".into()));
        assert!(matches!(parse("postgresql://u:p@h/d").unwrap(), CatalogAddress::Postgres(_)));
        assert_eq!(parse("http://h:1/x").unwrap(), CatalogAddress::Rest("http://h:1/x".to_string()));
        for wrong in ["sqlite:", "mysql://u:hidden@h/d", "hidden"] {
            let e = parse(wrong).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(!e.to_string().contains("hidden"));
        }
    }
}
