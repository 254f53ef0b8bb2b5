//! Writes from plan to files, read back with the Parquet reader.

mod failure;
mod layout;
mod plan;
mod pruning;
mod types;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Int64Type, Schema as ArrowSchema, TimestampMicrosecondType,
};
use arrow::util::pretty::pretty_format_batches;
use datafusion::config::ConfigOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::TableCreation;
use iceberg::spec::{
    DataFile, Datum, ListType, Literal, MapType, NestedField, NullOrder, PrimitiveType, Schema, SortDirection,
    SortField, SortOrder, Struct, StructType, TableMetadata, TableMetadataBuilder, Transform, Type,
    UnboundPartitionSpec,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::file::metadata::ParquetMetaData;

use super::written_file::files_of;
use super::*;
use crate::error::{Error, ErrorKind};

/// A folder that is removed after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("bergmill-write-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: PathBuf, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(self.0.clone(), &mut found);
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A table's metadata without a catalog.
struct Table {
    folder: Folder,
    metadata: TableMetadata,
}

#[derive(Default)]
struct Layout {
    partitions: Vec<(&'static str, Transform)>,
    sort: Vec<(&'static str, Transform, SortDirection, NullOrder)>,
    properties: Vec<(&'static str, &'static str)>,
}

impl Table {
    fn new(fields: Vec<NestedField>, layout: Layout) -> Self {
        let schema = Schema::builder().with_fields(fields.into_iter().map(Arc::new)).build().unwrap();
        let id = |name: &str| schema.field_by_name(name).unwrap().id;
        let mut partitions = UnboundPartitionSpec::builder();
        for (name, transform) in &layout.partitions {
            let field = match transform {
                Transform::Identity => name.replace('.', "_"),
                _ => format!("{}_{}", name.replace('.', "_"), transform.to_string().split('[').next().unwrap()),
            };
            partitions = partitions.add_partition_field(id(name), field, *transform).unwrap();
        }
        let sort = layout.sort.iter().map(|(name, transform, direction, null_order)| SortField {
            source_id: id(name),
            transform: *transform,
            direction: *direction,
            null_order: *null_order,
        });
        let sort = SortOrder { order_id: i64::from(!layout.sort.is_empty()), fields: sort.collect() };
        let folder = Folder::new();
        let creation = TableCreation::builder()
            .name("t".to_string())
            .location(format!("file://{}", folder.0.display()))
            .schema(schema)
            .partition_spec(partitions.build())
            .sort_order(sort)
            .properties(layout.properties.iter().map(|(k, v)| (k.to_string(), v.to_string())))
            .build();
        let metadata = TableMetadataBuilder::from_table_creation(creation).unwrap().build().unwrap().metadata;
        Self { folder, metadata }
    }

    fn spec(&self) -> WriteSpec {
        WriteSpec::from_metadata(&self.metadata).unwrap()
    }

    async fn write(&self, partitions: Vec<Vec<RecordBatch>>) -> Result<Vec<DataFile>, DataFusionError> {
        let plan = plan_write(input(partitions), &self.spec(), &ConfigOptions::default())?;
        self.run(plan).await
    }

    async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Vec<DataFile>, DataFusionError> {
        let rows = collect(plan, context()).await?;
        Ok(files_of(&rows, &self.metadata)?)
    }
}

fn context() -> Arc<TaskContext> {
    SessionContext::new().task_ctx()
}

fn input(partitions: Vec<Vec<RecordBatch>>) -> Arc<dyn ExecutionPlan> {
    let schema = partitions[0][0].schema();
    MemorySourceConfig::try_new_exec(&partitions, schema, None).unwrap()
}

fn field(id: i32, name: &str, ty: PrimitiveType) -> NestedField {
    NestedField::optional(id, name, Type::Primitive(ty))
}

fn required(id: i32, name: &str, ty: PrimitiveType) -> NestedField {
    NestedField::required(id, name, Type::Primitive(ty))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn local(file: &DataFile) -> PathBuf {
    PathBuf::from(file.file_path().strip_prefix("file://").unwrap())
}

fn read(file: &DataFile) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(local(file)).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(|b| b.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn footer(file: &DataFile) -> Arc<ParquetMetaData> {
    Arc::clone(ParquetRecordBatchReaderBuilder::try_new(File::open(local(file)).unwrap()).unwrap().metadata())
}

fn text(batch: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(batch)).unwrap().to_string()
}

fn kind(error: &DataFusionError) -> Option<ErrorKind> {
    Error::find(error).map(|e| e.kind())
}

fn shop() -> Vec<NestedField> {
    let device = StructType::new(vec![field(10, "type", PrimitiveType::String).into()]);
    vec![
        required(1, "ts", PrimitiveType::Timestamp),
        field(2, "event_type", PrimitiveType::String),
        field(3, "product_id", PrimitiveType::Long),
        NestedField::optional(4, "device", Type::Struct(device)),
    ]
}

const DAY: i64 = 86_400_000_000;

fn shop_layout() -> Layout {
    Layout {
        partitions: vec![("ts", Transform::Day), ("event_type", Transform::Identity)],
        sort: vec![
            ("ts", Transform::Identity, SortDirection::Ascending, NullOrder::First),
            ("product_id", Transform::Identity, SortDirection::Descending, NullOrder::Last),
        ],
        ..Layout::default()
    }
}

/// `rows` events from `first` on, an hour apart, cycling through the types.
fn events(first: i64, rows: i64) -> RecordBatch {
    let types = [Some("view"), Some("add_cart"), Some("구매 / 결제*"), None];
    let device = StructArray::from(vec![(
        Arc::new(Field::new("type", DataType::Utf8, true)),
        Arc::new(StringArray::from_iter((0..rows).map(|i| Some(["ios", "web"][i as usize % 2])))) as ArrayRef,
    )]);
    // Scattered, so that sorting has something to do.
    let scattered = |i: i64| i * 7_919 % rows;
    batch(vec![
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(|i| first + scattered(i) * DAY / 24))),
        ),
        ("event_type", Arc::new(StringArray::from_iter((0..rows).map(|i| types[i as usize % 4])))),
        ("product_id", Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i % 10)))),
        ("device", Arc::new(device)),
    ])
}
