//! Which data files of a snapshot are looked for: by a condition, and by their numbers.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use iceberg::spec::{ManifestFile, TableMetadata};

use super::{Predicate, may_fit, may_list};
use crate::table::live_file::LiveFile;

/// A data file with its number: how many data files of its snapshot are listed before it.
pub(crate) type Numbered = (usize, Arc<LiveFile>);

/// The data files that a scan wants of a snapshot.
#[derive(Debug)]
pub(crate) struct FileChoice<'a> {
    /// What holds for a row that is looked for.
    pub(crate) predicate: &'a Predicate,
    /// The table's metadata.
    pub(crate) metadata: &'a TableMetadata,
    /// The numbers of the files, if only some are meant.
    pub(crate) only: Option<&'a BTreeSet<usize>>,
    /// Whether rows are told the numbers of their files, which must then be the same in each scan.
    pub(crate) tells_numbers: bool,
}

impl FileChoice<'_> {
    /// Whether a file that the manifest lists may be wanted; `numbers` are theirs, if they are known without reading
    /// it.
    pub(crate) fn may_list(&self, manifest: &ManifestFile, numbers: Option<Range<usize>>) -> bool {
        let Some(numbers) = numbers else { return true };
        let has_only = |only: &BTreeSet<usize>| only.range(numbers).next().is_some();
        may_list(self.predicate, manifest, self.metadata) && self.only.is_none_or(has_only)
    }

    /// Those of the files that are wanted; `first` is the number of the first of them.
    pub(crate) fn of(&self, files: &[Arc<LiveFile>], first: usize) -> Vec<Numbered> {
        let is_meant = |number: usize| self.only.is_none_or(|only| only.contains(&number));
        let fits = |file: &LiveFile| may_fit(self.predicate, &file.data_file, file.spec_id, self.metadata);
        let numbered = files.iter().enumerate().map(|(at, file)| (first + at, file));
        numbered
            .filter(|(number, file)| is_meant(*number) && fits(file))
            .map(|(n, file)| (n, Arc::clone(file)))
            .collect()
    }
}
