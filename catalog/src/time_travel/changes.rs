//! `table_changes('ns.t', from, to)`: the rows that were appended after one snapshot, up to another.
//!
//! The rule is that of Java's `IncrementalAppendScan`: the files that each snapshot between the two added, as it added
//! them. A later compaction (operation `replace`) that moved their rows to other files does not matter, because the
//! files are taken from the snapshot that first wrote them. Java skips snapshots that removed rows; here they are
//! refused, since a reader that adds the changes up would get a wrong result.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bergmill_statement::TABLE_CHANGES;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::TableType;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{
    Manifest, ManifestContentType, ManifestFile, ManifestStatus, Operation, SnapshotRef, TableMetadata,
};
use iceberg::table::Table;

use crate::deferred::Deferred;
use crate::error::{Error, ErrorKind, Result};
use crate::read::IcebergTable;
use crate::table::files::{SnapshotFiles, load_manifests, manifest_list};
use crate::table::history::{ancestors_of, no_snapshot};
use crate::table::live_file::{LiveFile, live_files};
use crate::table::version::{State, Version};
use crate::unreadable::Unreadable;

/// The states of a table between which rows were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// The last state without them; `None` for the empty table.
    from: Option<Version>,
    /// The first state with all of them; `None` for the current one.
    to: Option<Version>,
}

impl Range {
    /// The range that the arguments after the table's name define.
    pub(crate) fn of_call(
        call: Function,
        mut constant: impl FnMut(SqlExpr) -> DataFusionResult<ScalarValue>,
    ) -> DataFusionResult<Self> {
        let FunctionArguments::List(list) = call.args else {
            return Err(Error::new(ErrorKind::Internal, format!("{TABLE_CHANGES} has lost its arguments")).into());
        };
        let mut versions = list.args.into_iter().map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => version(&constant(expr)?),
            other => {
                let what = format!("{TABLE_CHANGES}: {other} is not a snapshot");
                Err(Error::new(ErrorKind::Invalid, what).into())
            }
        });
        let from = versions.next().transpose()?.flatten();
        let to = versions.next().transpose()?.flatten();
        Ok(Self { from, to })
    }

    /// The snapshots that came after `from`, up to `to`, oldest first.
    fn snapshots<'a>(&self, metadata: &'a TableMetadata) -> Result<Vec<&'a SnapshotRef>> {
        let to = match &self.to {
            Some(version) => version.state(metadata)?.snapshot,
            None => State::current(metadata).snapshot,
        };
        let from = match &self.from {
            Some(version) => version.state(metadata)?.snapshot.map(|s| s.snapshot_id()),
            None => None,
        };
        let head = to.as_ref().and_then(|s| metadata.snapshot_by_id(s.snapshot_id()));
        let is_from = |s: &&SnapshotRef| Some(s.snapshot_id()) == from;
        let mut between: Vec<_> = ancestors_of(metadata, head).take_while(|s| !is_from(s)).collect();
        between.reverse();
        let before = match between.first() {
            Some(oldest) => oldest.parent_snapshot_id(),
            None => head.map(|s| s.snapshot_id()),
        };
        match (before, from) {
            (before, from) if before == from => Ok(between),
            // The chain ends at a snapshot that has expired.
            (Some(gone), None) => Err(no_snapshot(metadata, gone)),
            (_, from) => {
                let text = |id: Option<i64>| id.map_or("the empty table".to_string(), |id| format!("snapshot {id}"));
                let what = format!("{} is not an ancestor of {}", text(from), text(head.map(|s| s.snapshot_id())));
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }
}

fn version(value: &ScalarValue) -> DataFusionResult<Option<Version>> {
    if value.is_null() {
        return Ok(None);
    }
    Ok(Some(match value {
        moment if moment.data_type().is_temporal() => Version::of_moment(moment)?,
        other => Version::of_constant(other)?,
    }))
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |of: &Option<Version>, none: &str| of.as_ref().map_or(none.to_string(), ToString::to_string);
        write!(f, "({}, {}]", text(&self.from, "nothing"), text(&self.to, "now"))
    }
}

/// The rows that were appended by some snapshots of a table, with its metadata columns, which name the snapshot.
#[derive(Debug)]
pub(crate) struct ChangesTable {
    current: IcebergTable,
    /// Oldest first.
    snapshots: Vec<SnapshotRef>,
}

impl ChangesTable {
    /// The rows that were added to `table` in `range`.
    ///
    /// # Errors
    /// `Invalid` if the range does not lie on one line of history, `NotFound` if a part of it has expired. A snapshot
    /// that removed rows is found when the table is scanned.
    pub(crate) fn try_new(table: &TableReference, current: &dyn TableProvider, range: &Range) -> Result<Self> {
        let Some(current) = current.downcast_ref::<IcebergTable>() else {
            let what = || Error::new(ErrorKind::Invalid, format!("{TABLE_CHANGES}: {table} is not a table"));
            return Err(Unreadable::reason(current).unwrap_or_else(what));
        };
        let snapshots = range.snapshots(current.table().metadata());
        let snapshots = snapshots.map_err(|e| e.context(format_args!("{TABLE_CHANGES} of {table}")))?;
        let snapshots = snapshots.into_iter().cloned().collect();
        Ok(Self { current: current.with_metadata_columns(), snapshots })
    }

    async fn files(&self) -> Result<SnapshotFiles> {
        let table = self.current.table();
        // A compaction only writes the same rows to other files.
        let mut changed_rows = self.snapshots.clone();
        changed_rows.retain(|s| s.summary().operation != Operation::Replace);
        let added = futures::stream::iter(changed_rows).map(|snapshot| {
            let table = table.clone();
            async move { added_by(&table, &snapshot).await }
        });
        let added: Result<Vec<_>> = added.buffered(SNAPSHOTS_IN_FLIGHT).try_collect().await;
        let added = added.map_err(|e| e.context(format_args!("{TABLE_CHANGES} of {}", table.identifier())))?;
        Ok(SnapshotFiles { data: added.concat(), deletes: Vec::new() })
    }
}

/// How many snapshots' manifests are read concurrently.
const SNAPSHOTS_IN_FLIGHT: usize = 4;

/// The files that a snapshot added; an error if it also removed rows.
async fn added_by(table: &Table, snapshot: &SnapshotRef) -> Result<Vec<Arc<LiveFile>>> {
    let id = snapshot.snapshot_id();
    let mut own = manifest_list(table, snapshot).await?;
    own.retain(|manifest| manifest.added_snapshot_id == id);
    let mut added = Vec::new();
    for (file, manifest) in load_manifests(table.file_io(), own).await? {
        if removes_rows(id, &file, &manifest) {
            let what = format!(
                "snapshot {id} ({}) removed rows, and changes are reported only for ranges that only add rows",
                snapshot.summary().operation.as_str()
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        added.extend(live_files(&file, manifest)?.into_iter().filter(|f| f.snapshot_id == Some(id)));
    }
    Ok(added)
}

/// Whether a manifest of this snapshot says that it removed a file of rows, or added a file of row-level deletes.
fn removes_rows(snapshot_id: i64, file: &ManifestFile, manifest: &Manifest) -> bool {
    let removing = match file.content {
        ManifestContentType::Data => ManifestStatus::Deleted,
        ManifestContentType::Deletes => ManifestStatus::Added,
    };
    manifest.entries().iter().any(|e| e.status() == removing && e.snapshot_id() == Some(snapshot_id))
}

#[async_trait]
impl Deferred for ChangesTable {
    const TYPE: TableType = TableType::Base;

    fn schema(&self) -> SchemaRef {
        self.current.schema()
    }

    async fn resolve(&self) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(self.current.with_list(self.files().await?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use bergmill_storage::Stores;
    use iceberg::TableIdent;
    use iceberg::spec::{
        DataContentType, DataFile, DataFileBuilder, DataFileFormat, NestedField, PrimitiveType, Schema, Snapshot,
        Struct, Summary, TableMetadataBuilder, Type,
    };

    use super::*;
    use crate::pointers::sql::SqlCatalog;
    use crate::table::commit::{Base, Commit, CommitKey, MAIN_BRANCH, Operation as Change, Replaced};
    use crate::table::{NewTable, Warehouse};

    fn ident() -> TableIdent {
        TableIdent::from_strs(["raw", "t"]).unwrap()
    }

    fn file(path: &str) -> DataFile {
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(path.to_string())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .record_count(1)
            .file_size_in_bytes(1)
            .build()
            .unwrap()
    }

    async fn commit(warehouse: &Warehouse, operation: Change, path: &str) -> i64 {
        let table = warehouse.load(&ident()).await.unwrap();
        let commit = Commit {
            table: ident(),
            branch: MAIN_BRANCH.to_string(),
            base: Base::of(&table, MAIN_BRANCH),
            operation,
            added: vec![file(path)],
            key: CommitKey::unique(),
            summary: BTreeMap::new(),
        };
        warehouse.commit(commit).await.unwrap().snapshot_id.unwrap()
    }

    /// A snapshot with the files of the one before, which says that it has the same rows in other files.
    async fn compact(warehouse: &Warehouse) {
        let compact = |metadata: &TableMetadata, builder: TableMetadataBuilder| {
            let current = metadata.current_snapshot().unwrap();
            let snapshot = Snapshot::builder()
                .with_snapshot_id(7)
                .with_parent_snapshot_id(Some(current.snapshot_id()))
                .with_sequence_number(metadata.next_sequence_number())
                .with_timestamp_ms(metadata.last_updated_ms() + 1)
                .with_manifest_list(current.manifest_list())
                .with_summary(Summary { operation: Operation::Replace, additional_properties: HashMap::new() })
                .with_schema_id(0)
                .build();
            Ok(Some(builder.set_branch_snapshot(snapshot, MAIN_BRANCH)?))
        };
        warehouse.alter(&ident(), compact).await.unwrap();
    }

    #[tokio::test]
    async fn rows_belong_to_the_snapshot_that_first_added_them() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open(folder.path().join("catalog.db"), "test").await.unwrap();
        let location = format!("file://{}/wh", folder.path().display());
        let warehouse = Warehouse::new(Arc::new(catalog), Stores::local(), &location).unwrap();
        warehouse.create_namespace("raw", None).await.unwrap();
        let id = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long));
        let new = NewTable::new(Schema::builder().with_fields([id.into()]).build().unwrap());
        warehouse.create(&ident(), new).await.unwrap();

        let a = commit(&warehouse, Change::Append, "a").await;
        let b = commit(&warehouse, Change::Append, "b").await;
        compact(&warehouse).await;
        let c = commit(&warehouse, Change::Append, "c").await;
        let replaced = commit(&warehouse, Change::Replace(Replaced::All), "d").await;
        let e = commit(&warehouse, Change::Append, "e").await;

        let current = IcebergTable::current(warehouse.load(&ident()).await.unwrap()).unwrap();
        let check = async |from: Option<i64>, to: i64, expected: &str| {
            let range = Range { from: from.map(Version::Snapshot), to: Some(Version::Snapshot(to)) };
            let files = match ChangesTable::try_new(&TableReference::bare("t"), &current, &range) {
                Ok(changes) => changes.files().await.map(|files| {
                    let described =
                        |f: &Arc<LiveFile>| format!("{}@{}", f.data_file.file_path(), f.snapshot_id.unwrap());
                    files.data.iter().map(described).collect::<Vec<_>>().join(" ")
                }),
                Err(e) => Err(e),
            };
            assert_eq!(files.unwrap_or_else(|e| e.to_string()), expected);
        };
        check(Some(a), c, &format!("b@{b} c@{c}")).await;
        check(None, c, &format!("a@{a} b@{b} c@{c}")).await;
        check(Some(b), 7, "").await;
        check(Some(7), c, &format!("c@{c}")).await;
        check(Some(replaced), e, &format!("e@{e}")).await;
        check(Some(e), e, "").await;
        let refused = format!(
            "table_changes of raw.t: snapshot {replaced} (overwrite) removed rows, and changes are reported only for \
             ranges that only add rows"
        );
        check(Some(c), e, &refused).await;
        check(Some(c), b, &format!("table_changes of t: snapshot {c} is not an ancestor of snapshot {b}")).await;
    }
}
