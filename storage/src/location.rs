//! Where a file is: Iceberg's absolute URIs on one side, object store and path on the other.

use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// A file or folder of a table, as Iceberg metadata names it: `file:///data/wh/raw/events`, `s3://bucket/key` or a
/// plain absolute path. The text after the store is used unchanged: a `%20` in it is part of the name, as in Iceberg's
/// other implementations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    store: String,
    key: String,
}

/// The store of disks.
const LOCAL: &str = "file://";

impl Location {
    /// Splits a URI or an absolute path into its store and its key.
    pub fn parse(uri: &str) -> Result<Self> {
        if let Some(path) = uri.strip_prefix("file:") {
            // Hadoop writes `file:/x`, others `file:///x`.
            let path = path.strip_prefix("//").unwrap_or(path);
            return Self::local(path, uri);
        }
        match uri.split_once("://") {
            Some((scheme, rest)) => {
                // Hadoop's name for the same store.
                let scheme = if scheme == "s3a" { "s3" } else { scheme };
                let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
                Ok(Self { store: format!("{scheme}://{authority}"), key: key.to_string() })
            }
            None => Self::local(uri, uri),
        }
    }

    fn local(path: &str, uri: &str) -> Result<Self> {
        let Some(key) = path.strip_prefix('/') else {
            return Err(Error::new(ErrorKind::Invalid, format!("{uri} is not an absolute path")));
        };
        Ok(Self { store: LOCAL.to_string(), key: key.to_string() })
    }

    /// Whether it is on a disk.
    pub fn is_local(&self) -> bool {
        self.store == LOCAL
    }

    /// The store's address, as DataFusion's object store registry knows it.
    pub fn store_url(&self) -> &str {
        &self.store
    }

    /// The store's address, with the table `vended_to` as its user if the store's credentials are vended for one.
    pub fn store_url_for(&self, vended_to: Option<&str>) -> String {
        match (vended_to, self.store.split_once("://")) {
            (Some(table), Some((scheme, bucket))) if !self.is_local() => format!("{scheme}://{table}@{bucket}"),
            _ => self.store.clone(),
        }
    }

    /// The path within the store.
    pub fn path(&self) -> Result<Path> {
        let wrong =
            |why: &dyn std::fmt::Display| Error::new(ErrorKind::Invalid, format!("{}/{}: {why}", self.store, self.key));
        if self.key.starts_with('/') && !self.is_local() {
            // The slash would be dropped, which would name another object.
            return Err(wrong(&"a key that begins with a slash"));
        }
        Path::parse(&self.key).map_err(|e| wrong(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_split_into_store_and_key() {
        let check = |uri: &str, store: &str, key: &str| {
            let at = Location::parse(uri).expect(uri);
            assert_eq!((at.store_url(), at.path().expect(uri).as_ref()), (store, key), "{uri}");
        };
        check("file:///wh/raw/t/a.parquet", "file://", "wh/raw/t/a.parquet");
        check("file:/wh/a b/c%20d.parquet", "file://", "wh/a b/c%20d.parquet");
        check("/wh/도서/x", "file://", "wh/도서/x");
        check("s3://bucket/key/x=1", "s3://bucket", "key/x=1");
        check("s3a://bucket_2/%20/x", "s3://bucket_2", "%20/x");
        assert_eq!(Location::parse("wh/x").unwrap_err().kind(), ErrorKind::Invalid);
    }
}
