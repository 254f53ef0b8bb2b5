//! What a statement does with each file, over data files that are made up: manifests decide, and a search reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use bergmill_storage::Stores;
use datafusion::common::TableReference;
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, NestedField, PrimitiveType, Schema, Struct,
    Transform, Type, UnboundPartitionSpec,
};
use iceberg::{NamespaceIdent, TableIdent};
use tempfile::TempDir;

use super::found::{CHANGED, DELETED, FILE, MOST};
use super::*;
use crate::pointers::sql::SqlCatalog;
use crate::table::commit::{Commit, CommitKey, MAIN_BRANCH};
use crate::table::{NewTable, Warehouse};

/// `raw.events`, partitioned by `kind`: files `view` (100 rows), `cart` (10) and `buy` (1).
struct Events {
    _folder: TempDir,
    table: IcebergTable,
}

impl Events {
    async fn open(properties: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open(folder.path().join("catalog.db"), "test").await.unwrap();
        let location = format!("file://{}/wh", folder.path().display());
        let warehouse = Warehouse::new(Arc::new(catalog), Stores::local(), &location).unwrap();
        warehouse.catalog().create_namespace(&NamespaceIdent::new("raw".into()), &BTreeMap::new()).await.unwrap();
        let optional = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
        let columns = [optional(1, "id", PrimitiveType::Long), optional(2, "kind", PrimitiveType::String)];
        let spec = UnboundPartitionSpec::builder().add_partition_field(2, "kind", Transform::Identity).unwrap();
        let schema = Schema::builder().with_fields(columns).build().unwrap();
        let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let new = NewTable { partition_spec: spec.build(), properties, ..NewTable::new(schema) };
        let ident = TableIdent::from_strs(["raw", "events"]).unwrap();
        let created = warehouse.create(&ident, new).await.unwrap();
        let files = [("view", 100), ("cart", 10), ("buy", 1)].map(|(kind, rows)| file(kind, rows)).into();
        let commit = Commit::new(&created, MAIN_BRANCH, Operation::Append, CommitKey::unique());
        warehouse.commit(Commit { added: files, ..commit }).await.unwrap();
        let table = IcebergTable::current(warehouse.load(&ident).await.unwrap()).unwrap();
        Self { _folder: folder, table }
    }

    /// The change that a statement asks for. `other` is another table, of the same columns.
    async fn change(&self, sql: &str) -> Result<RowChange> {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        for name in ["events", "other"] {
            context.register_table(TableReference::bare(name), Arc::new(self.table.clone())).unwrap();
        }
        let plan = context.state().create_logical_plan(sql).await?;
        let LogicalPlan::Dml(statement) = &plan else { panic!("{sql} is no change of rows") };
        RowChange::new(statement, &self.table)
    }

    /// The number by which scans know the file of a kind.
    async fn number(&self, kind: &str) -> usize {
        let all = self.change("DELETE FROM events").await.unwrap().begin().await.unwrap();
        let of_kind = |file: &Arc<crate::table::live_file::LiveFile>| file.data_file.file_path() == kind;
        let numbered = self.table.files_for(None).await.unwrap();
        assert_eq!(all.removed().len(), numbered.len());
        numbered.into_iter().find(|(_, file, _)| of_kind(file)).unwrap().0
    }
}

fn file(kind: &str, rows: u64) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(kind.to_string())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::string(kind))]))
        .record_count(rows)
        .file_size_in_bytes(rows * 10)
        .build()
        .unwrap()
}

/// A search's rows: file, rows that change, rows that go, how often the most changed row is changed.
fn searched(rows: &[(usize, i64, i64, i64)]) -> RecordBatch {
    let column = |of: fn(&(usize, i64, i64, i64)) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of)));
    let files = Int32Array::from_iter_values(rows.iter().map(|row| row.0 as i32));
    RecordBatch::try_from_iter([
        (FILE, Arc::new(files) as _),
        (CHANGED, column(|row| row.1) as _),
        (DELETED, column(|row| row.2) as _),
        (MOST, column(|row| row.3) as _),
    ])
    .unwrap()
}

fn kinds(files: &[Arc<crate::table::live_file::LiveFile>]) -> Vec<&str> {
    let mut kinds: Vec<&str> = files.iter().map(|f| f.data_file.file_path()).collect();
    kinds.sort_unstable();
    kinds
}

#[tokio::test]
async fn manifests_decide_what_is_read_and_what_goes_unread() {
    let events = Events::open(&[]).await;
    let check = async |sql: &str, gone: &[&str], unread: usize| {
        let change = events.change(sql).await.unwrap();
        let found = change.begin().await.unwrap();
        assert_eq!(kinds(&found.removed()), gone, "{sql}");
        assert_eq!(found.unread().len(), unread, "{sql}");
        assert_eq!(change.search(&found).unwrap().is_some(), unread > 0, "{sql}");
        let rows: u64 = found.removed().iter().map(|f| f.data_file.record_count()).sum();
        assert_eq!((found.changed_rows(), found.is_empty()), (rows, gone.is_empty()), "{sql}");
    };
    check("DELETE FROM events", &["buy", "cart", "view"], 0).await;
    check("DELETE FROM events WHERE kind = 'cart'", &["cart"], 0).await;
    check("DELETE FROM events WHERE kind = 'none'", &[], 0).await;
    check("DELETE FROM events WHERE kind >= 'cart'", &["cart", "view"], 0).await;
    check("DELETE FROM events WHERE kind = 'cart' AND id = 1", &[], 1).await;
    check("DELETE FROM events WHERE kind = 'cart' OR id = 1", &["cart"], 2).await;
    check("DELETE FROM events WHERE id = 1", &[], 3).await;
    // An updated row is written again, so its file is read.
    check("UPDATE events SET id = 0 WHERE kind = 'cart'", &[], 1).await;
    check("MERGE INTO events USING other ON events.id = other.id WHEN MATCHED THEN DELETE", &[], 3).await;
}

#[tokio::test]
async fn a_file_is_rewritten_while_some_of_its_rows_stay() {
    let events = Events::open(&[]).await;
    let [view, cart] = [events.number("view").await, events.number("cart").await];
    let change = events.change("DELETE FROM events WHERE id < 5").await.unwrap();
    let mut found = change.begin().await.unwrap();
    assert!(found.is_empty() && change.rewrite(&found).unwrap().is_none(), "nothing was found yet");

    found.add(&searched(&[(view, 4, 4, 1), (cart, 10, 10, 1)])).unwrap();
    assert_eq!(kinds(&found.removed()), ["cart", "view"]);
    assert_eq!(found.rewritten().into_iter().collect::<Vec<_>>(), [view], "of cart no row stays");
    assert_eq!((found.changed_rows(), found.kept_rows()), (14, 96));
    let plan = change.rewrite(&found).unwrap().unwrap();
    let columns: Vec<&String> = plan.schema().fields().iter().map(|f| f.name()).collect();
    assert_eq!(columns, ["id", "kind"], "what is written has the table's own columns");

    // Rows of an update stay, with other values.
    let update = events.change("UPDATE events SET id = 0 WHERE id < 5").await.unwrap();
    let mut found = update.begin().await.unwrap();
    found.add(&searched(&[(cart, 10, 0, 1)])).unwrap();
    assert_eq!(found.rewritten().into_iter().collect::<Vec<_>>(), [cart]);
    assert_eq!((found.changed_rows(), found.kept_rows()), (10, 10));
}

#[tokio::test]
async fn a_row_that_two_rows_of_the_source_match_is_an_error_that_names_its_file() {
    let events = Events::open(&[]).await;
    let cart = events.number("cart").await;
    let merge = "MERGE INTO events USING other ON events.id = other.id WHEN MATCHED THEN DELETE";
    let mut found = events.change(merge).await.unwrap().begin().await.unwrap();
    let e = found.add(&searched(&[(cart, 2, 2, 2)])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("(file cart)"), "{e}");

    let e = found.add(&searched(&[(99, 1, 1, 1)])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Internal, "a file that was not searched: {e}");
    let e = found.add(&searched(&[(cart, -1, 0, 1)])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Internal, "less than no rows: {e}");
}

#[tokio::test]
async fn what_cannot_be_carried_out_exactly_is_refused() {
    let events = Events::open(&[]).await;
    for (sql, expected) in [
        ("DELETE FROM events WHERE random() < 0.5", "random()"),
        ("UPDATE events SET id = 1 WHERE random() < 0.5", "random()"),
        ("MERGE INTO events USING (SELECT random() AS id) o ON events.id = o.id WHEN MATCHED THEN DELETE", "random()"),
        ("DELETE FROM events WHERE id IN (SELECT id FROM other WHERE random() < 0.5)", "random()"),
    ] {
        let e =
            Error::find(&events.change(sql).await.unwrap_err()).unwrap_or_else(|| panic!("{sql}: an error of ours"));
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{sql}");
        assert!(e.to_string().contains(expected), "{sql}: {e}");
    }
    // A value that is new for each row is no condition: it is asked once.
    events.change("UPDATE events SET id = CAST(random() * 10 AS BIGINT) WHERE kind = 'cart'").await.unwrap();
}

#[tokio::test]
async fn the_isolation_is_that_of_the_statements_property() {
    let properties = [("write.delete.isolation-level", "snapshot"), ("write.update.isolation-level", "dirty")];
    let events = Events::open(&properties).await;
    let operation = async |sql: &str| {
        let change = events.change(sql).await.unwrap();
        change.operation(&change.begin().await.unwrap())
    };
    let isolation = |operation: Operation| match operation {
        Operation::Overwrite(overwrite) => overwrite.isolation,
        other => panic!("{other:?}"),
    };
    assert_eq!(isolation(operation("DELETE FROM events WHERE id = 1").await.unwrap()), Isolation::Snapshot);
    let merge = "MERGE INTO events USING other ON events.id = other.id WHEN MATCHED THEN DELETE";
    assert_eq!(isolation(operation(merge).await.unwrap()), Isolation::Serializable, "the default");
    let e = operation("UPDATE events SET id = 1").await.unwrap_err().to_string();
    assert!(e.contains("write.update.isolation-level") && e.contains("dirty"), "{e}");
}
