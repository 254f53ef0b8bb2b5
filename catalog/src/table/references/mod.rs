//! Branches and tags: named references to snapshots, for time travel and writes.

mod change;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use bergmill_statement::nearest;
use iceberg::spec::{SnapshotReference, SnapshotRetention, TableMetadata};
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// The branches and tags of a table, by name, including `main` once the table has a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct References {
    #[serde(default)]
    refs: BTreeMap<String, SnapshotReference>,
}

impl References {
    /// The references in the metadata. The iceberg crate can look up a name, but can neither list the names nor
    /// distinguish branches from tags, so they are read from the JSON form of the metadata.
    pub(crate) fn of(metadata: &TableMetadata) -> Result<Self> {
        let unreadable = |e: serde_json::Error| {
            Error::new(ErrorKind::Internal, "listing the table's branches and tags").with_source(e)
        };
        let text = serde_json::to_vec(metadata).map_err(unreadable)?;
        let mut found: Self = serde_json::from_slice(&text).map_err(unreadable)?;
        if let Some(current) = metadata.current_snapshot_id() {
            // Version 1 metadata may lack it.
            let main = || SnapshotReference::new(current, SnapshotRetention::branch(None, None, None));
            found.refs.entry(iceberg::spec::MAIN_BRANCH.to_string()).or_insert_with(main);
        }
        Ok(found)
    }

    /// All references, ordered by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &SnapshotReference)> {
        self.refs.iter().map(|(name, reference)| (name.as_str(), reference))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&SnapshotReference> {
        self.refs.get(name)
    }

    /// The branch or tag of this name; `NotFound`, with the nearest name, if there is none.
    pub(crate) fn find(&self, name: &str) -> Result<&SnapshotReference> {
        self.get(name).ok_or_else(|| self.missing("branch or tag", name, |_| true))
    }

    /// The branch of this name; `NotFound` if there is none, `Invalid` if it is a tag.
    pub(crate) fn branch(&self, name: &str) -> Result<&SnapshotReference> {
        match self.get(name) {
            Some(reference) if reference.is_branch() => Ok(reference),
            Some(_) => Err(Error::new(ErrorKind::Invalid, format!("{name} is a tag, not a branch"))),
            None => Err(self.missing("branch", name, SnapshotReference::is_branch)),
        }
    }

    /// The tag of this name; `NotFound` if there is none, `Invalid` if it is a branch.
    pub(crate) fn tag(&self, name: &str) -> Result<&SnapshotReference> {
        match self.get(name) {
            Some(reference) if !reference.is_branch() => Ok(reference),
            Some(_) => Err(Error::new(ErrorKind::Invalid, format!("{name} is a branch, not a tag"))),
            None => Err(self.missing("tag", name, |r| !r.is_branch())),
        }
    }

    fn missing(&self, what: &str, name: &str, is_candidate: impl Fn(&SnapshotReference) -> bool) -> Error {
        let known: Vec<String> =
            self.iter().filter(|(_, r)| is_candidate(r)).map(|(name, _)| name.to_string()).collect();
        let hint = match nearest(name, known.iter().cloned()) {
            Some(known) => format!("; did you mean {known}?"),
            None if known.is_empty() => String::new(),
            None => format!("; there are {}", known.join(", ")),
        };
        Error::new(ErrorKind::NotFound, format!("{what} {name} not found{hint}"))
    }
}
