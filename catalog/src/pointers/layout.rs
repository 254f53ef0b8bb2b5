//! Where new tables go: a folder for each namespace.

use bergmill_storage::Location;
use iceberg::NamespaceIdent;

use crate::error::{Error, ErrorKind, Result};

/// The placeholder for a namespace's name in a warehouse's location.
const NAMESPACE: &str = "{namespace}";

/// The property of a namespace with the location of its tables. Java's `JdbcCatalog` and PyIceberg's `SqlCatalog` read
/// the same property.
pub(crate) const LOCATION: &str = "location";

/// The location of a warehouse. `{namespace}` in it stands for the name of a namespace, as in `s3://{namespace}` for a
/// bucket each; without it namespaces are folders of one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout(String);

impl Layout {
    pub(crate) fn new(location: &str) -> Self {
        Self(location.trim_end_matches('/').to_string())
    }

    /// Refuses a location that cannot hold files.
    pub(crate) fn check(&self) -> Result<()> {
        check_location(&self.0.replace(NAMESPACE, "namespace"))?;
        match self.0.replace(NAMESPACE, "").contains(['{', '}']) {
            true => {
                let what = format!("warehouse {}: the only placeholder is {NAMESPACE}", self.0);
                Err(Error::new(ErrorKind::Invalid, what))
            }
            false => Ok(()),
        }
    }

    /// The location as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder of a namespace that has no location property, without a trailing slash.
    pub(crate) fn folder(&self, namespace: &NamespaceIdent) -> String {
        let path = namespace.as_ref().join("/");
        match self.is_templated() {
            true => self.0.replace(NAMESPACE, &path),
            false => format!("{}/{path}", self.0),
        }
    }

    /// The location property of a new namespace, if it needs one. Other engines derive the folders of one location
    /// themselves, but know no templates.
    pub(crate) fn location_property(&self, namespace: &NamespaceIdent) -> Option<String> {
        self.is_templated().then(|| self.folder(namespace))
    }

    fn is_templated(&self) -> bool {
        self.0.contains(NAMESPACE)
    }
}

/// Refuses a location that cannot hold files; returns it without trailing slashes.
pub(crate) fn check_location(location: &str) -> Result<String> {
    let at = Location::parse(location)?;
    at.path()?;
    let is_known = at.is_local() || at.store_url().strip_prefix("s3://").is_some_and(|bucket| !bucket.is_empty());
    if !is_known {
        let what = format!("{location} is not a supported location; use s3://bucket/folder or file:///folder");
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    Ok(location.trim_end_matches('/').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_folders_or_buckets() {
        let check = |location: &str, namespace: &str, folder: &str, has_property: bool| {
            let layout = Layout::new(location);
            layout.check().unwrap();
            let namespace = NamespaceIdent::from_strs(namespace.split('.')).unwrap();
            assert_eq!(layout.folder(&namespace), folder);
            assert_eq!(layout.location_property(&namespace), has_property.then(|| folder.to_string()));
        };
        check("file:///wh/", "raw", "file:///wh/raw", false);
        check("s3://lake/wh", "raw.eu", "s3://lake/wh/raw/eu", false);
        check("s3://{namespace}", "raw", "s3://raw", true);
        check("s3://shop-{namespace}/tables/", "raw", "s3://shop-raw/tables", true);
    }

    #[test]
    fn wrong_locations_are_refused() {
        for location in ["s3://", "wh", "hdfs://x/y", "s3://{name}/x", "s3://x/{namespace", "s3://b//x"] {
            assert_eq!(Layout::new(location).check().unwrap_err().kind(), ErrorKind::Invalid, "{location}");
        }
    }
}
