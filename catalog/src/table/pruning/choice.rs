//! The data files of a snapshot that a scan selects: by a predicate, and by their numbers.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use iceberg::spec::{ManifestFile, TableMetadata};

use super::{Predicate, may_list, may_match};
use crate::table::live_file::LiveFile;

/// A data file with its number: the index among the data files of its snapshot, in manifest order.
pub(crate) type Numbered = (usize, Arc<LiveFile>);

/// The data files that a scan selects from a snapshot.
#[derive(Debug)]
pub(crate) struct FileChoice<'a> {
    /// The predicate that the selected rows match.
    pub(crate) predicate: &'a Predicate,
    /// The table's metadata.
    pub(crate) metadata: &'a TableMetadata,
    /// The numbers of the selected files; `None` selects all.
    pub(crate) only: Option<&'a BTreeSet<usize>>,
    /// Whether the scan returns file numbers, which must then be the same in each scan.
    pub(crate) needs_numbers: bool,
}

impl FileChoice<'_> {
    /// Whether the manifest may list a selected file. `numbers` are the numbers of its files, if they are known without
    /// reading it.
    pub(crate) fn may_list(&self, manifest: &ManifestFile, numbers: Option<Range<usize>>) -> bool {
        let Some(numbers) = numbers else { return true };
        let has_only = |only: &BTreeSet<usize>| only.range(numbers).next().is_some();
        may_list(self.predicate, manifest, self.metadata) && self.only.is_none_or(has_only)
    }

    /// The selected ones of `files`; `first` is the number of the first of `files`.
    pub(crate) fn of(&self, files: &[Arc<LiveFile>], first: usize) -> Vec<Numbered> {
        let is_selected = |number: usize| self.only.is_none_or(|only| only.contains(&number));
        let may_match = |file: &LiveFile| may_match(self.predicate, &file.data_file, file.spec_id, self.metadata);
        let numbered = files.iter().enumerate().map(|(at, file)| (first + at, file));
        numbered
            .filter(|(number, file)| is_selected(*number) && may_match(file))
            .map(|(n, file)| (n, Arc::clone(file)))
            .collect()
    }
}
