//! Result of the search for rows to change: files, and how many of their rows change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};

use crate::error::{Error, ErrorKind, Result};
use crate::table::live_file::LiveFile;

/// Columns of [`RowChange::search`](super::RowChange::search): the number of a file, how many of its rows change, how
/// many of them are deleted, and the maximum number of changes to one row.
pub(super) const FILE: &str = "file";
pub(super) const CHANGED: &str = "changed";
pub(super) const DELETED: &str = "deleted";
pub(super) const MOST: &str = "most";

/// The files with rows that a statement changes.
#[derive(Debug)]
pub struct FoundFiles {
    /// Candidates: files that may have such rows.
    files: BTreeMap<usize, Arc<LiveFile>>,
    /// Files of which all rows are deleted, known without reading them.
    whole: BTreeSet<usize>,
    touched: BTreeMap<usize, Touched>,
}

#[derive(Debug, Clone, Copy)]
struct Touched {
    changed: u64,
    deleted: u64,
}

impl FoundFiles {
    /// `files` may have rows to change; all rows of the files in `whole` are deleted.
    pub(super) fn new(files: BTreeMap<usize, Arc<LiveFile>>, whole: BTreeSet<usize>) -> Self {
        Self { files, whole, touched: BTreeMap::new() }
    }

    /// Adds rows returned by the search.
    ///
    /// # Errors
    /// `Invalid` if several rows of the source change the same row of the table.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| Error::new(ErrorKind::Internal, format!("a search lacks {name}")))
        };
        let wrong = || Error::new(ErrorKind::Internal, "a search returned a column of the wrong type");
        let files = column(FILE)?.as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
        let [changed, deleted, most] = [column(CHANGED)?, column(DELETED)?, column(MOST)?];
        let number = |c: &arrow::array::ArrayRef, row: usize| -> Result<u64> {
            let value = c.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.value(row);
            u64::try_from(value).map_err(|_| wrong())
        };
        for row in 0..batch.num_rows() {
            let file = usize::try_from(files.value(row)).map_err(|_| wrong())?;
            let Some(live) = self.files.get(&file) else { return Err(wrong()) };
            if number(most, row)? > 1 {
                let what = format!(
                    "a row of the table is matched by more than one row of the source, so the change is ambiguous \
                     (file {}); make the source's rows unique by the columns of ON",
                    live.data_file.file_path()
                );
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            self.touched.insert(file, Touched { changed: number(changed, row)?, deleted: number(deleted, row)? });
        }
        Ok(())
    }

    /// Files whose rows must be read.
    pub(super) fn unread(&self) -> BTreeSet<usize> {
        self.files.keys().filter(|number| !self.whole.contains(number)).copied().collect()
    }

    /// Changed files that keep some rows.
    pub(super) fn rewritten(&self) -> BTreeSet<usize> {
        let stays = |(number, touched): &(&usize, &Touched)| touched.deleted < self.rows_of(**number);
        self.touched.iter().filter(stays).map(|(number, _)| *number).collect()
    }

    /// Files to remove from the table.
    pub(super) fn removed(&self) -> Vec<Arc<LiveFile>> {
        let numbers: BTreeSet<&usize> = self.whole.iter().chain(self.touched.keys()).collect();
        numbers.into_iter().filter_map(|number| self.files.get(number)).cloned().collect()
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.touched.is_empty()
    }

    /// Rows that are updated or deleted.
    pub fn changed_rows(&self) -> u64 {
        let whole: u64 = self.whole.iter().map(|number| self.rows_of(*number)).sum();
        whole + self.touched.values().map(|t| t.changed).sum::<u64>()
    }

    /// Rows of the rewritten files that stay, updated or unchanged. All other written rows are inserted ones.
    pub fn kept_rows(&self) -> u64 {
        self.rewritten().iter().map(|n| self.rows_of(*n) - self.touched.get(n).map_or(0, |t| t.deleted)).sum()
    }

    fn rows_of(&self, number: usize) -> u64 {
        self.files.get(&number).map_or(0, |f| f.data_file.record_count())
    }
}
