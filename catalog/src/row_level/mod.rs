//! `DELETE`, `UPDATE` and `MERGE` as copy-on-write: files with changed rows are rewritten.
//!
//! A statement is carried out in two plans, which can run anywhere and in any number of tasks. [`RowChange::search`]
//! finds the data files with rows to change, and counts those rows; [`RowChange::rewrite`] returns the rows that
//! replace these files. Files of which all rows are deleted are only removed from the table; if the condition of a
//! `DELETE` fully matches a file by its partition or its bounds (strict projection), the file is not even read. Both
//! plans read the same snapshot, and [`RowChange::operation`] makes the commit fail if a concurrent commit changed what
//! they read.
//!
//! A row is identified by its file and its position in it, so a row that several conditions match, or that a join finds
//! twice, is still one row.

mod delete_update;
mod found;
mod merge;
mod plan;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan, WriteOp};

pub use found::FoundFiles;
use target::Target;

use crate::error::{Error, ErrorKind};
use crate::read::IcebergTable;
use crate::table::commit::{Isolation, Operation, Overwrite, ReadFilter};

/// A statement that changes rows of one table.
#[derive(Debug)]
pub struct RowChange {
    target: Target,
    statement: Statement,
    /// Which rows change, and how. The entries are disjoint.
    affected: Vec<Affected>,
    /// Rows to insert.
    inserted: Option<Inserted>,
    /// Filters of the table's rows that the statement reads, without those that depend on the rows of the source.
    filters: Vec<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    Delete,
    Update,
    Merge,
}

/// Some rows of the table and how they change: the first clause whose condition holds decides. A row for which none
/// holds stays unchanged.
#[derive(Debug)]
struct Affected {
    rows: Rows,
    clauses: Vec<Clause>,
}

#[derive(Debug)]
enum Rows {
    /// Rows that a condition holds for; all rows if there is none.
    Where(Option<Expr>),
    /// Rows joined with the rows of a source that they match.
    MatchedBy { source: LogicalPlan, on: Expr },
    /// Rows that no row of the source matches.
    NotMatchedBy { source: LogicalPlan, on: Expr },
}

#[derive(Debug)]
struct Clause {
    condition: Option<Expr>,
    /// New values by column; `None` deletes the row.
    update: Option<Vec<(String, Expr)>>,
}

/// Rows of a source that match no row of the table, and the values to insert for them; the first clause whose condition
/// holds decides.
#[derive(Debug)]
struct Inserted {
    source: LogicalPlan,
    on: Expr,
    clauses: Vec<InsertClause>,
}

#[derive(Debug)]
struct InsertClause {
    condition: Option<Expr>,
    /// Values by column; a column without a value is NULL.
    values: Vec<(String, Expr)>,
}

impl RowChange {
    /// The change that a planned and analysed `DELETE`, `UPDATE` or `MERGE` makes to `table` at its pinned snapshot.
    ///
    /// # Errors
    /// `Unsupported` for statements that cannot be carried out exactly: volatile conditions, and `UPDATE` of a join
    /// (use `MERGE`).
    pub fn new(statement: &DmlStatement, table: &IcebergTable) -> Result<Self> {
        let change = match &statement.op {
            WriteOp::Delete => delete_update::delete(statement, table)?,
            WriteOp::Update => delete_update::update(statement, table)?,
            WriteOp::MergeInto(merge) => merge::merge(statement, merge, table)?,
            other => return Err(DataFusionError::Internal(format!("{other} changes no rows"))),
        };
        change.check_repeatable()?;
        Ok(change)
    }

    /// The files to change as far as the manifests decide, before any row is read: files that may have rows to change
    /// (inclusive projection), and files of which all rows are deleted (strict projection).
    pub async fn begin(&self) -> Result<FoundFiles> {
        let deletes_all = |c: &Clause| c.update.is_none() && c.condition.is_none();
        let (condition, deletes) = match self.affected.as_slice() {
            [Affected { rows: Rows::Where(condition), clauses }] => {
                (condition.as_ref(), clauses.iter().all(deletes_all))
            }
            _ => (None, false),
        };
        let files = self.target.table().files_for(condition).await?;
        let fully_matched = files.iter().filter(|(_, _, fully_matches)| deletes && *fully_matches);
        let whole = fully_matched.map(|(number, _, _)| *number).collect();
        Ok(FoundFiles::new(files.into_iter().map(|(number, file, _)| (number, file)).collect(), whole))
    }

    /// The plan that finds the files with rows to change, for [`FoundFiles::add`]; `None` when no file has to be read.
    pub fn search(&self, found: &FoundFiles) -> Result<Option<LogicalPlan>> {
        let files = found.unread();
        if files.is_empty() || self.affected.is_empty() {
            return Ok(None);
        }
        self.tallied(&files).map(Some)
    }

    /// The plan of the rows to write, with the table's columns; `None` when no row is written.
    pub fn rewrite(&self, found: &FoundFiles) -> Result<Option<LogicalPlan>> {
        let files = found.rewritten();
        let kept = if files.is_empty() { None } else { Some(self.replaced_rows(&files)?) };
        let inserted = self.inserted.as_ref().map(|inserted| self.inserted_rows(inserted)).transpose()?;
        Ok(match (kept, inserted) {
            (Some(kept), Some(inserted)) => Some(plan::union(kept, inserted)?),
            (one, other) => one.or(other),
        })
    }

    /// The commit's operation: the files to remove, and what concurrent commits must not have changed.
    pub fn operation(&self, found: &FoundFiles) -> std::result::Result<Operation, Error> {
        let metadata = self.target.table().table().metadata();
        let property = match self.statement {
            Statement::Delete => "write.delete.isolation-level",
            Statement::Update => "write.update.isolation-level",
            Statement::Merge => "write.merge.isolation-level",
        };
        let isolation = match metadata.properties().get(property) {
            Some(level) => level.parse::<Isolation>().map_err(|e| e.context(format_args!("property {property}")))?,
            None => Isolation::default(),
        };
        let read = match self.filters.is_empty() {
            true => ReadFilter::all(),
            false => self.target.table().read_filter(&self.filters),
        };
        Ok(Operation::Overwrite(Overwrite { removed: found.removed(), read, isolation }))
    }

    /// Refuses volatile expressions: the search and the rewrite would see different values.
    fn check_repeatable(&self) -> Result<()> {
        let mut volatile = BTreeSet::new();
        let mut visit = |e: &Expr| {
            if e.is_volatile() {
                volatile.insert(e.to_string());
            }
        };
        let mut conditions = Vec::new();
        for affected in &self.affected {
            match &affected.rows {
                Rows::Where(condition) => conditions.extend(condition),
                Rows::MatchedBy { source, on } | Rows::NotMatchedBy { source, on } => {
                    conditions.push(on);
                    plan::for_each_expression(source, &mut visit)?;
                }
            }
            conditions.extend(affected.clauses.iter().filter_map(|clause| clause.condition.as_ref()));
        }
        if let Some(inserted) = &self.inserted {
            plan::for_each_expression(&inserted.source, &mut visit)?;
            conditions.push(&inserted.on);
        }
        for condition in conditions {
            plan::with_subqueries(condition, &mut visit)?;
        }
        match volatile.pop_first() {
            Some(expression) => {
                let what = format!(
                    "{expression} is volatile, and the statement evaluates it twice; store its values in a table first"
                );
                Err(Error::new(ErrorKind::Unsupported, what).into())
            }
            None => Ok(()),
        }
    }
}
