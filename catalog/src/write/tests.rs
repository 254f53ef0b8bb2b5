//! Writes from plan to files, read back with the Parquet reader.

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
    DataFile, Datum, ListType, Literal, MapType, NestedField, NullOrder, PrimitiveType, Schema, SortDirection, SortField,
    SortOrder, Struct, StructType, TableMetadata, TableMetadataBuilder, Transform, Type, UnboundPartitionSpec,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::file::metadata::ParquetMetaData;

use super::*;
use crate::error::{Error, ErrorKind};

/// A folder that is gone after the test.
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

/// A table's metadata, with no catalog behind it.
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
        Ok(data_files(&rows, &self.metadata)?)
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
    Error::find(error).map(Error::kind)
}

fn all_types() -> Vec<NestedField> {
    let decimal = |id, precision, scale| field(id, &format!("decimal_{precision}"), PrimitiveType::Decimal { precision, scale });
    let device = StructType::new(vec![
        field(30, "type", PrimitiveType::String).into(),
        field(31, "version", PrimitiveType::Double).into(),
        NestedField::optional(
            32,
            "os",
            Type::Struct(StructType::new(vec![required(33, "name", PrimitiveType::String).into()])),
        )
        .into(),
    ]);
    let images = ListType::new(NestedField::list_element(34, Type::Primitive(PrimitiveType::String), true).into());
    let scores = MapType::new(
        NestedField::map_key_element(35, Type::Primitive(PrimitiveType::String)).into(),
        NestedField::map_value_element(36, Type::Primitive(PrimitiveType::Long), false).into(),
    );
    vec![
        field(1, "boolean", PrimitiveType::Boolean),
        field(2, "int", PrimitiveType::Int),
        field(3, "long", PrimitiveType::Long),
        field(4, "float", PrimitiveType::Float),
        field(5, "double", PrimitiveType::Double),
        decimal(6, 9, 2),
        decimal(7, 18, 0),
        decimal(8, 19, 4),
        decimal(9, 38, 10),
        field(10, "date", PrimitiveType::Date),
        field(11, "time", PrimitiveType::Time),
        field(12, "timestamp", PrimitiveType::Timestamp),
        field(13, "timestamptz", PrimitiveType::Timestamptz),
        field(14, "string", PrimitiveType::String),
        field(15, "uuid", PrimitiveType::Uuid),
        field(16, "fixed", PrimitiveType::Fixed(3)),
        field(17, "binary", PrimitiveType::Binary),
        NestedField::optional(18, "device", Type::Struct(device)),
        NestedField::optional(19, "images", Type::List(images)),
        NestedField::optional(20, "scores", Type::Map(scores)),
    ]
}

/// Three rows of every type: values, other values, nulls.
fn all_values() -> RecordBatch {
    let decimal = |values: [i128; 2], p, s| -> ArrayRef {
        let values = Decimal128Array::from(vec![Some(values[0]), Some(values[1]), None]);
        Arc::new(values.with_precision_and_scale(p, s).unwrap())
    };
    let os = StructArray::new(
        Fields::from(vec![Field::new("name", DataType::Utf8, true)]),
        vec![Arc::new(StringArray::from(vec![Some("안드로이드"), None, None]))],
        Some(vec![true, false, false].into()),
    );
    let device = StructArray::new(
        Fields::from(vec![
            Field::new("type", DataType::Utf8, true),
            Field::new("version", DataType::Float64, true),
            Field::new("os", os.data_type().clone(), true),
        ]),
        vec![
            Arc::new(StringArray::from(vec![Some("mobile"), None, Some("hidden by a null struct")])),
            Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0), Some(f64::NAN)])),
            Arc::new(os),
        ],
        Some(vec![true, true, false].into()),
    );
    let mut images = ListBuilder::new(StringBuilder::new());
    images.append_value([Some("a.jpg"), Some("나.jpg")]);
    images.append_value(Vec::<Option<&str>>::new());
    images.append_null();
    let mut scores = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    scores.keys().append_value("품질");
    scores.values().append_value(5);
    scores.keys().append_value("배송");
    scores.values().append_null();
    scores.append(true).unwrap();
    scores.append(true).unwrap();
    scores.append(false).unwrap();
    let fixed = |a: &[u8], b: &[u8], n| -> ArrayRef {
        let values = [Some(a), Some(b), None].into_iter();
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, n).unwrap())
    };
    batch(vec![
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("int", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(7), None]))),
        ("long", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-7), None]))),
        ("float", Arc::new(Float32Array::from(vec![Some(1.5), Some(f32::NAN), None]))),
        ("double", Arc::new(Float64Array::from(vec![Some(0.0), Some(-2.5), None]))),
        ("decimal_9", decimal([-123_456_789, 1_999], 9, 2)),
        ("decimal_18", decimal([123_456_789_012_345_678, -1], 18, 0)),
        ("decimal_19", decimal([-1_234_567_890_123_456_789, 5], 19, 4)),
        ("decimal_38", decimal([10i128.pow(38) - 1, -(10i128.pow(38) - 1)], 38, 10)),
        ("date", Arc::new(Date32Array::from(vec![Some(-719_162), Some(20_498), None]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), None]))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1_771_059_600_123_456), None]))),
        (
            "timestamptz",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(1_771_059_600_000_001), None]).with_timezone("UTC")),
        ),
        ("string", Arc::new(StringArray::from(vec![Some("한국어 리뷰: 배송이 빨라요, 품질도 좋아요"), Some(""), None]))),
        ("uuid", fixed(&[0xF0; 16], &[0x0F; 16], 16)),
        ("fixed", fixed(b"abc", b"\xFF\x00\x01", 3)),
        ("binary", Arc::new(BinaryArray::from(vec![Some(&b"\x00\x01"[..]), Some(&[0xFF; 20][..]), None]))),
        ("device", Arc::new(device)),
        ("images", Arc::new(images.finish())),
        ("scores", Arc::new(scores.finish())),
    ])
}

#[tokio::test]
async fn every_type_goes_round_unchanged() {
    let table = Table::new(all_types(), Layout::default());
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    assert_eq!(files.len(), 1);
    let file = &files[0];
    assert_eq!(file.record_count(), 3);
    assert_eq!(file.file_size_in_bytes(), std::fs::metadata(local(file)).unwrap().len());
    assert_eq!(text(&read(file)), text(&all_values()));
}

#[tokio::test]
async fn files_have_the_types_and_ids_of_the_table() {
    let table = Table::new(all_types(), Layout::default());
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    let metadata = footer(&files[0]);
    assert!(metadata.file_metadata().key_value_metadata().is_none_or(|all| all.iter().all(|kv| kv.key != "ARROW:schema")));
    let schema = metadata.file_metadata().schema_descr();
    let leaf = |path: &str| schema.columns().iter().find(|c| c.path().string() == path).unwrap_or_else(|| panic!("{path}"));
    let table_schema = table.metadata.current_schema();
    for (path, name) in [
        ("int", "int"),
        ("device.type", "device.type"),
        ("device.os.name", "device.os.name"),
        ("images.list.element", "images.element"),
        ("scores.key_value.key", "scores.key"),
        ("scores.key_value.value", "scores.value"),
    ] {
        let id = table_schema.field_by_name(name).unwrap().id;
        assert_eq!(leaf(path).self_type().get_basic_info().id(), id, "{path}");
    }
    let groups: BTreeMap<_, _> =
        schema.root_schema().get_fields().iter().map(|f| (f.name(), f.get_basic_info().id())).collect();
    assert_eq!(groups["device"], table_schema.field_by_name("device").unwrap().id);
    assert_eq!(groups["scores"], table_schema.field_by_name("scores").unwrap().id);

    let physical = |path: &str| (leaf(path).physical_type(), leaf(path).type_length().max(0));
    assert_eq!(physical("decimal_9"), (PhysicalType::INT32, 0));
    assert_eq!(physical("decimal_18"), (PhysicalType::INT64, 0));
    assert_eq!(physical("decimal_19"), (PhysicalType::FIXED_LEN_BYTE_ARRAY, 9));
    assert_eq!(physical("decimal_38"), (PhysicalType::FIXED_LEN_BYTE_ARRAY, 16));
    assert_eq!(physical("uuid"), (PhysicalType::FIXED_LEN_BYTE_ARRAY, 16));
    assert_eq!(leaf("uuid").logical_type_ref(), Some(&LogicalType::Uuid));
    assert_eq!(leaf("string").logical_type_ref(), Some(&LogicalType::String));
    let adjusted = |path: &str| match leaf(path).logical_type_ref() {
        Some(LogicalType::Timestamp(t)) => t.is_adjusted_to_u_t_c,
        Some(LogicalType::Time(t)) => t.is_adjusted_to_u_t_c,
        other => panic!("{path}: {other:?}"),
    };
    assert!(!adjusted("timestamp") && adjusted("timestamptz") && !adjusted("time"));
    assert!(metadata.offset_index().is_some() || metadata.row_group(0).column(0).offset_index_offset().is_some());
}

#[tokio::test]
async fn bounds_and_counts_are_those_of_the_data() {
    let table = Table::new(all_types(), Layout::default());
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    let file = &files[0];
    let schema = table.metadata.current_schema();
    let id = |name: &str| schema.field_by_name(name).unwrap_or_else(|| panic!("{name}")).id;
    let lower = |name: &str| file.lower_bounds().get(&id(name)).cloned();
    let upper = |name: &str| file.upper_bounds().get(&id(name)).cloned();
    let check = |name: &str, low: Datum, high: Datum| {
        assert_eq!((lower(name), upper(name)), (Some(low), Some(high)), "{name}");
    };
    let decimal = |v: i128, precision, scale| {
        Datum::try_from_bytes(&v.to_be_bytes(), PrimitiveType::Decimal { precision, scale }).unwrap()
    };
    check("boolean", Datum::bool(false), Datum::bool(true));
    check("int", Datum::int(i32::MIN), Datum::int(7));
    check("long", Datum::long(-7), Datum::long(i64::MAX));
    check("float", Datum::float(1.5), Datum::float(1.5));
    check("decimal_9", decimal(-123_456_789, 9, 2), decimal(1_999, 9, 2));
    check("decimal_18", decimal(-1, 18, 0), decimal(123_456_789_012_345_678, 18, 0));
    check("decimal_19", decimal(-1_234_567_890_123_456_789, 19, 4), decimal(5, 19, 4));
    check("decimal_38", decimal(-(10i128.pow(38) - 1), 38, 10), decimal(10i128.pow(38) - 1, 38, 10));
    check("date", Datum::date(-719_162), Datum::date(20_498));
    check("time", Datum::time_micros(0).unwrap(), Datum::time_micros(86_399_999_999).unwrap());
    check("timestamp", Datum::timestamp_micros(-1), Datum::timestamp_micros(1_771_059_600_123_456));
    check("timestamptz", Datum::timestamptz_micros(0), Datum::timestamptz_micros(1_771_059_600_000_001));
    // 16 characters of the greatest, the last one raised.
    check("string", Datum::string(""), Datum::string("한국어 리뷰: 배송이 빨라욕"));
    check("uuid", Datum::uuid(uuid::Uuid::from_bytes([0x0F; 16])), Datum::uuid(uuid::Uuid::from_bytes([0xF0; 16])));
    check("device.type", Datum::string("mobile"), Datum::string("mobile"));
    // Nothing is above 16 bytes of 0xFF but what is longer: no bound.
    assert_eq!((lower("binary"), upper("binary")), (Some(Datum::binary(*b"\x00\x01")), None));
    // A zero in a column of floats bounds both zeros.
    let double = |d: Option<Datum>| d.unwrap().to_bytes().unwrap().to_vec();
    assert_eq!(double(upper("double")), 0.0f64.to_le_bytes());
    assert_eq!(double(lower("device.version")), (-0.0f64).to_le_bytes());
    assert_eq!(double(upper("device.version")), 0.0f64.to_le_bytes());
    for repeated in ["images.element", "scores.key", "scores.value"] {
        assert_eq!((lower(repeated), upper(repeated)), (None, None), "{repeated}");
    }

    let counts = |name: &str| {
        let of = |counts: &HashMap<i32, u64>| counts.get(&id(name)).copied();
        (of(file.value_counts()), of(file.null_value_counts()), of(file.nan_value_counts()))
    };
    assert_eq!(counts("int"), (Some(3), Some(1), None));
    assert_eq!(counts("float"), (Some(3), Some(1), Some(1)));
    assert_eq!(counts("double"), (Some(3), Some(1), Some(0)));
    assert_eq!(counts("device.type"), (Some(3), Some(2), None));
    // The NaN under the null struct is no value.
    assert_eq!(counts("device.version"), (Some(3), Some(1), Some(1)));
    assert!(file.column_sizes()[&id("images.element")] > 0);
    assert_eq!(file.split_offsets(), Some(&[4i64][..]));
    assert_eq!(file.sort_order_id(), Some(0));
}

#[tokio::test]
async fn metrics_modes_are_honoured() {
    let fields = || vec![
        field(1, "a", PrimitiveType::String),
        field(2, "b", PrimitiveType::String),
        field(3, "c", PrimitiveType::String),
        field(4, "d", PrimitiveType::String),
    ];
    let long = "x".repeat(200);
    let column = || -> ArrayRef { Arc::new(StringArray::from(vec![long.as_str()])) };
    let rows = batch(vec![("a", column()), ("b", column()), ("c", column()), ("d", column())]);
    let table = Table::new(fields(), Layout {
        properties: vec![
            ("write.metadata.metrics.default", "full"),
            ("write.metadata.metrics.column.b", "truncate(3)"),
            ("write.metadata.metrics.column.c", "counts"),
            ("write.metadata.metrics.column.d", "none"),
        ],
        ..Layout::default()
    });
    let files = table.write(vec![vec![rows]]).await.unwrap();
    let upper = |id: i32| files[0].upper_bounds().get(&id).cloned();
    assert_eq!(upper(1), Some(Datum::string(&long)));
    assert_eq!(upper(2), Some(Datum::string("xxy")));
    assert_eq!((upper(3), upper(4)), (None, None));
    assert_eq!(files[0].value_counts().keys().collect::<BTreeSet<_>>(), BTreeSet::from([&1, &2, &3]));

    let wrong = Table::new(fields(), Layout { properties: vec![("write.metadata.metrics.default", "some")], ..Layout::default() });
    assert_eq!(WriteSpec::from_metadata(&wrong.metadata).unwrap_err().kind(), ErrorKind::Invalid);
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

/// `rows` events from `first` on, an hour apart, going round through the types.
fn events(first: i64, rows: i64) -> RecordBatch {
    let types = [Some("view"), Some("add_cart"), Some("구매 / 결제*"), None];
    let device = StructArray::from(vec![(
        Arc::new(Field::new("type", DataType::Utf8, true)),
        Arc::new(StringArray::from_iter((0..rows).map(|i| Some(["ios", "web"][i as usize % 2])))) as ArrayRef,
    )]);
    // Scattered, so that sorting has something to do.
    let scattered = |i: i64| i * 7_919 % rows;
    batch(vec![
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(|i| first + scattered(i) * DAY / 24)))),
        ("event_type", Arc::new(StringArray::from_iter((0..rows).map(|i| types[i as usize % 4])))),
        ("product_id", Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i % 10)))),
        ("device", Arc::new(device)),
    ])
}

#[tokio::test]
async fn rows_lie_in_their_partitions_in_order() {
    let table = Table::new(shop(), shop_layout());
    let first = -2 * DAY;
    let parts: Vec<_> = (0..3).map(|i| vec![events(first + i * 1_000, 96), events(first + i * 1_000 + 500, 96)]).collect();
    let files = table.write(parts).await.unwrap();

    assert_eq!(files.iter().map(|f| f.record_count()).sum::<u64>(), 3 * 2 * 96);
    // Distribution by hash: one file a partition, although three tasks had rows of each.
    let partitions: Vec<_> = files.iter().map(|f| f.partition().clone()).collect();
    assert_eq!(partitions.len(), 4 * 4);
    assert_eq!(partitions.iter().collect::<std::collections::HashSet<_>>().len(), 16);
    for file in &files {
        let rows = read(file);
        let ts = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
        let days: BTreeSet<_> = ts.iter().map(|v| v.div_euclid(DAY)).collect();
        let types: BTreeSet<_> = rows.column(1).as_string::<i32>().iter().collect();
        assert_eq!((days.len(), types.len()), (1, 1));
        let kind = types.first().unwrap().map(Literal::string);
        assert_eq!(*file.partition(), Struct::from_iter([Some(Literal::date(*days.first().unwrap() as i32)), kind]));
        let products = rows.column(2).as_primitive::<Int64Type>().values();
        let keys: Vec<_> = ts.iter().zip(products).map(|(t, p)| (*t, -*p)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(file.sort_order_id(), Some(1));
        let sorting = footer(file).row_group(0).sorting_columns().cloned().unwrap();
        assert_eq!(sorting.iter().map(|s| (s.column_idx, s.descending)).collect::<Vec<_>>(), [(0, false), (2, true)]);
    }
    let purchases = Struct::from_iter([Some(Literal::date(-2)), Some(Literal::string("구매 / 결제*"))]);
    let path = files.iter().find(|f| *f.partition() == purchases).unwrap().file_path();
    let folder = "/data/ts_day=1969-12-30/event_type=%EA%B5%AC%EB%A7%A4+%2F+%EA%B2%B0%EC%A0%9C%2A/00";
    assert!(path.contains(folder), "{path}");
    assert!(files.iter().any(|f| f.file_path().contains("/event_type=null/")));
}

#[tokio::test]
async fn nested_fields_and_all_transforms_can_partition_and_sort() {
    let table = Table::new(shop(), Layout {
        partitions: vec![
            ("device.type", Transform::Identity),
            ("ts", Transform::Month),
            ("product_id", Transform::Bucket(3)),
            ("event_type", Transform::Truncate(1)),
        ],
        sort: vec![
            ("product_id", Transform::Truncate(5), SortDirection::Descending, NullOrder::First),
            ("ts", Transform::Hour, SortDirection::Ascending, NullOrder::Last),
        ],
        ..Layout::default()
    });
    let files = table.write(vec![vec![events(-20 * DAY, 1_000)], vec![events(0, 500)]]).await.unwrap();
    assert_eq!(files.iter().map(|f| f.record_count()).sum::<u64>(), 1_500);
    for file in &files {
        let rows = read(file);
        let device = rows.column(3).as_struct().column(0).as_string::<i32>();
        let devices: BTreeSet<_> = device.iter().collect();
        assert_eq!(devices.len(), 1);
        assert_eq!(file.partition().fields()[0], Some(Literal::string(devices.first().unwrap().unwrap())));
        let keys: Vec<_> = rows
            .column(2)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .zip(rows.column(0).as_primitive::<TimestampMicrosecondType>().values())
            .map(|(p, t)| (-(p - p % 5), t.div_euclid(DAY / 24)))
            .collect();
        assert!(keys.is_sorted());
    }
    let path = files[0].file_path();
    assert!(path.contains("/device_type=") && path.contains("/ts_month=19") | path.contains("/ts_month=1970-0"), "{path}");
}

#[tokio::test]
async fn partition_values_of_every_type_come_back() {
    let types = ["boolean", "int", "long", "decimal_9", "decimal_38", "date", "time", "timestamp", "timestamptz", "string", "uuid", "fixed", "binary"];
    let table = Table::new(all_types(), Layout {
        partitions: types.into_iter().map(|name| (name, Transform::Identity)).collect(),
        ..Layout::default()
    });
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    assert_eq!(files.len(), 3);
    let nulls = files.iter().find(|f| f.partition().is_null_at_index(0)).unwrap();
    assert!(nulls.partition().iter().all(|v| v.is_none()));
    let first = files.iter().find(|f| f.partition()[0] == Some(Literal::bool(true))).unwrap();
    let expected = [
        Literal::bool(true),
        Literal::int(i32::MIN),
        Literal::long(i64::MAX),
        Literal::decimal(-123_456_789),
        Literal::decimal(10i128.pow(38) - 1),
        Literal::date(-719_162),
        Literal::time(0),
        Literal::timestamp(-1),
        Literal::timestamptz(0),
        Literal::string("한국어 리뷰: 배송이 빨라요, 품질도 좋아요"),
        Literal::uuid(uuid::Uuid::from_bytes([0xF0; 16])),
        Literal::fixed(*b"abc"),
        Literal::binary(*b"\x00\x01"),
    ];
    assert_eq!(*first.partition(), Struct::from_iter(expected.map(Some)));
    let path = first.file_path();
    assert!(path.contains("/decimal_9=-1234567.89/decimal_38=9999999999999999999999999999.9999999999/date=0001-01-01/"), "{path}");
    assert!(path.contains("/time=00%3A00%3A00/timestamp=1969-12-31T23%3A59%3A59.999999/"), "{path}");
    assert!(local(first).exists());
}

#[tokio::test]
async fn rows_that_are_not_clustered_are_written_right() {
    let table = Table::new(shop(), shop_layout());
    let plan = Arc::new(IcebergWriteExec::try_new(input(vec![vec![events(0, 40)]]), Arc::new(table.spec())).unwrap());
    let files = table.run(plan).await.unwrap();
    assert!(files.len() > 8);
    assert_eq!(files.iter().map(|f| f.record_count()).sum::<u64>(), 40);
    for file in &files {
        let types: BTreeSet<_> = read(file).column(1).as_string::<i32>().iter().map(|v| v.map(str::to_string)).collect();
        assert_eq!(file.partition()[1], types.first().unwrap().as_ref().map(Literal::string));
    }
}

#[tokio::test]
async fn files_roll_at_the_target_size() {
    let table = Table::new(vec![field(1, "n", PrimitiveType::Long)], Layout {
        properties: vec![
            ("write.target-file-size-bytes", "100000"),
            ("write.parquet.compression-codec", "uncompressed"),
            ("write.parquet.dictionary-enabled", "false"),
            ("write.parquet.row-group-limit", "1000"),
        ],
        ..Layout::default()
    });
    let batches = (0..10).map(|b| batch(vec![("n", Arc::new(Int64Array::from_iter_values(b * 8_000..(b + 1) * 8_000)))]));
    let files = table.write(vec![batches.collect()]).await.unwrap();
    assert_eq!(files.len(), 5);
    for file in &files {
        assert_eq!(file.record_count(), 16_000);
        let offsets = file.split_offsets().unwrap();
        assert_eq!(offsets.len(), 16);
        assert!(offsets.is_sorted() && offsets[0] == 4);
    }
    let bounds: BTreeSet<_> = files.iter().map(|f| f.lower_bounds()[&1].to_string()).collect();
    assert_eq!(bounds.len(), 5);
}

#[tokio::test]
async fn settings_come_from_the_properties() {
    use parquet::basic::Compression;
    let fields = || vec![field(1, "id", PrimitiveType::Long), field(2, "name", PrimitiveType::String)];
    let rows = || batch(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..1_000))),
        ("name", Arc::new(StringArray::from_iter_values((0..1_000).map(|i| format!("n{i}"))))),
    ]);
    let table = Table::new(fields(), Layout::default());
    let usual = footer(&table.write(vec![vec![rows()]]).await.unwrap()[0]);
    assert!(matches!(usual.row_group(0).column(0).compression(), Compression::ZSTD(_)));
    assert!(usual.row_group(0).column(0).bloom_filter_offset().is_none());

    let table = Table::new(fields(), Layout {
        properties: vec![
            ("write.parquet.compression-codec", "SNAPPY"),
            ("write.parquet.bloom-filter-enabled.column.id", "true"),
            ("write.parquet.row-group-limit", "300"),
            ("write.data.path", "file:///nowhere/"),
        ],
        ..Layout::default()
    });
    let mut spec = table.spec();
    assert_eq!(spec.data_location, "file:///nowhere");
    spec.data_location = format!("file://{}/elsewhere", table.folder.0.display());
    let plan = plan_write(input(vec![vec![rows()]]), &spec, &ConfigOptions::default()).unwrap();
    let files = table.run(plan).await.unwrap();
    let footer = footer(&files[0]);
    assert_eq!(footer.num_row_groups(), 4);
    assert_eq!(footer.row_group(0).column(0).compression(), Compression::SNAPPY);
    assert!(footer.row_group(0).column(0).bloom_filter_offset().is_some());
    assert!(footer.row_group(0).column(1).bloom_filter_offset().is_none());

    for (key, value) in [
        ("write.parquet.compression-codec", "best"),
        ("write.parquet.compression-level", "99"),
        ("write.target-file-size-bytes", "big"),
        ("write.distribution-mode", "everywhere"),
        ("write.parquet.bloom-filter-fpp.column.id", "2"),
    ] {
        let properties = vec![(key, value), ("write.parquet.bloom-filter-enabled.column.id", "true")];
        let wrong = Table::new(fields(), Layout { properties, ..Layout::default() });
        assert_eq!(WriteSpec::from_metadata(&wrong.metadata).unwrap_err().kind(), ErrorKind::Invalid, "{key}");
    }
    let avro = Table::new(fields(), Layout { properties: vec![("write.format.default", "avro")], ..Layout::default() });
    assert_eq!(WriteSpec::from_metadata(&avro.metadata).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_null_in_a_required_column_is_refused_by_name() {
    let inner = StructType::new(vec![required(3, "name", PrimitiveType::String).into()]);
    let table = Table::new(
        vec![required(1, "price", PrimitiveType::Long), NestedField::optional(2, "brand", Type::Struct(inner))],
        Layout::default(),
    );
    let brands = |names: Vec<Option<&str>>, present: Vec<bool>| -> ArrayRef {
        let fields = Fields::from(vec![Field::new("name", DataType::Utf8, true)]);
        Arc::new(StructArray::new(fields, vec![Arc::new(StringArray::from(names))], Some(present.into())))
    };
    let check = async |price: Vec<Option<i64>>, brand: ArrayRef, column: &str| {
        let rows = batch(vec![("price", Arc::new(Int64Array::from(price))), ("brand", brand)]);
        let error = table.write(vec![vec![rows]]).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Invalid));
        assert!(error.to_string().contains(&format!("column {column} is required")), "{error}");
        assert!(table.folder.files().is_empty());
    };
    check(vec![Some(1), None], brands(vec![Some("a"), Some("b")], vec![true, true]), "price").await;
    check(vec![Some(1), Some(2)], brands(vec![Some("a"), None], vec![true, true]), "brand.name").await;
    // A struct that is absent needs no fields.
    let rows = batch(vec![
        ("price", Arc::new(Int64Array::from(vec![1, 2]))),
        ("brand", brands(vec![Some("a"), None], vec![true, false])),
    ]);
    assert_eq!(table.write(vec![vec![rows]]).await.unwrap()[0].record_count(), 2);
}

#[tokio::test]
async fn columns_are_found_by_name_and_cast() {
    let table = Table::new(
        vec![
            field(1, "a", PrimitiveType::Int),
            field(2, "b", PrimitiveType::Decimal { precision: 10, scale: 2 }),
            field(3, "c", PrimitiveType::Timestamptz),
            field(4, "d", PrimitiveType::String),
        ],
        Layout { partitions: vec![("c", Transform::Day)], ..Layout::default() },
    );
    let rows = batch(vec![
        ("c", Arc::new(TimestampNanosecondArray::from(vec![1_771_059_600_000_000_999]).with_timezone("Asia/Seoul"))),
        ("b", Arc::new(Float64Array::from(vec![19.99]))),
        ("a", Arc::new(Int64Array::from(vec![7]))),
    ]);
    let files = table.write(vec![vec![rows]]).await.unwrap();
    let back = read(&files[0]);
    assert_eq!(back.column(0).as_primitive::<Int32Type>().value(0), 7);
    assert_eq!(back.column(1).as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 1_999);
    assert_eq!(back.column(2).as_primitive::<TimestampMicrosecondType>().value(0), 1_771_059_600_000_000);
    assert!(back.column(3).is_null(0));

    let refused = |columns: Vec<(&str, ArrayRef)>| {
        plan_write(input(vec![vec![batch(columns)]]), &table.spec(), &ConfigOptions::default()).unwrap_err()
    };
    let int = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let error = refused(vec![("a", int()), ("z", int())]);
    assert!(error.to_string().contains("no column z"), "{error}");
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]));
    let error = refused(vec![("a", list)]);
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("column a"), "{error}");
    // A value that does not fit is an error, not a null.
    let rows = batch(vec![("a", Arc::new(Int64Array::from(vec![i64::MAX])))]);
    assert!(table.write(vec![vec![rows]]).await.is_err());
}

#[tokio::test]
async fn lists_of_other_layouts_are_taken() {
    let element = NestedField::list_element(2, Type::Primitive(PrimitiveType::String), true);
    let table = Table::new(vec![NestedField::optional(1, "tags", Type::List(ListType::new(element.into())))], Layout::default());
    let mut tags = LargeListBuilder::new(StringViewBuilder::new());
    tags.append_value([None::<&str>]);
    tags.append_value([Some("a"), Some("나")]);
    tags.append_null();
    // The null lies outside the slice.
    let rows = batch(vec![("tags", Arc::new(tags.finish()))]).slice(1, 2);
    let files = table.write(vec![vec![rows]]).await.unwrap();
    assert!(text(&read(&files[0])).contains("[a, 나]"));
    assert_eq!(files[0].record_count(), 2);
}

/// A partition of batches that ends in an error, or never.
#[derive(Debug)]
struct Broken {
    batches: Vec<RecordBatch>,
    hangs: bool,
}

impl PartitionStream for Broken {
    fn schema(&self) -> &arrow::datatypes::SchemaRef {
        self.batches[0].schema_ref()
    }

    fn execute(&self, _: Arc<TaskContext>) -> datafusion::execution::SendableRecordBatchStream {
        use futures::StreamExt;
        let batches = futures::stream::iter(self.batches.clone().into_iter().map(Ok));
        let end = if self.hangs {
            futures::stream::pending().boxed()
        } else {
            futures::stream::iter([Err(DataFusionError::Execution("the disk is gone".into()))]).boxed()
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.schema()), batches.chain(end)))
    }
}

fn broken(hangs: bool, table: &Table) -> Arc<dyn ExecutionPlan> {
    let source = Broken { batches: vec![events(0, 96), events(DAY, 96)], hangs };
    let schema = Arc::clone(source.schema());
    let input = StreamingTableExec::try_new(schema, vec![Arc::new(source)], None, vec![], false, None).unwrap();
    Arc::new(IcebergWriteExec::try_new(Arc::new(input), Arc::new(table.spec())).unwrap())
}

#[tokio::test]
async fn a_failed_write_leaves_no_files() {
    let table = Table::new(shop(), shop_layout());
    let error = table.run(broken(false, &table)).await.unwrap_err();
    assert!(error.to_string().contains("the disk is gone"));
    assert_eq!(table.folder.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_cancelled_write_leaves_no_files() {
    let table = Table::new(shop(), shop_layout());
    let run = collect(broken(true, &table), context());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), run).await.is_err());
    for _ in 0..100 {
        if table.folder.files().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{:?}", table.folder.files());
}

#[tokio::test]
async fn an_empty_input_writes_nothing() {
    let table = Table::new(shop(), shop_layout());
    let files = table.write(vec![vec![events(0, 10).slice(0, 0)]]).await.unwrap();
    assert!(files.is_empty() && table.folder.files().is_empty());
}

#[tokio::test]
async fn files_can_be_deleted_again() {
    let table = Table::new(shop(), shop_layout());
    let runtime = SessionContext::new().runtime_env();
    let spec = table.spec();
    let plan = || plan_write(input(vec![vec![events(0, 96)]]), &spec, &ConfigOptions::default()).unwrap();
    let lost = table.run(plan()).await.unwrap();
    let kept = table.run(plan()).await.unwrap();
    let other = table.write(vec![vec![events(0, 96)]]).await.unwrap();
    let count = |files: &[DataFile]| files.iter().filter(|f| local(f).exists()).count();

    assert_eq!(delete_leftovers(&runtime, &spec, &kept).await.unwrap(), lost.len());
    assert_eq!((count(&lost), count(&kept), count(&other)), (0, kept.len(), other.len()));
    assert_eq!(delete_files(&runtime, kept.iter().map(|f| f.file_path())).await.unwrap(), kept.len());
    assert_eq!(delete_files(&runtime, kept.iter().map(|f| f.file_path())).await.unwrap(), 0);
    assert_eq!((count(&kept), count(&other)), (0, other.len()));
}

#[tokio::test]
async fn a_plan_survives_the_codec() {
    let table = Table::new(shop(), shop_layout());
    let plan = IcebergWriteExec::try_new(input(vec![vec![events(0, 96)]]), Arc::new(table.spec())).unwrap();
    let bytes = encode(&plan).unwrap();
    let decoded = decode(&bytes, Arc::clone(plan.input())).unwrap();
    let decoded = decoded.downcast_ref::<IcebergWriteExec>().unwrap();
    assert_eq!(decoded.spec(), plan.spec());
    assert_eq!(decoded.required_input_ordering(), plan.required_input_ordering());
    assert!(decode(b"{}", Arc::clone(plan.input())).is_err());
}

#[tokio::test]
async fn the_rest_of_the_plan_survives_the_codec_too() {
    use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
    let table = Table::new(shop(), shop_layout());
    let plan = plan_write(input(vec![vec![events(0, 8)], vec![events(0, 8)]]), &table.spec(), &ConfigOptions::default()).unwrap();
    let sorted = plan.children()[0];
    let session = SessionContext::new();
    session.register_udf(partition_udf());
    let decoded = physical_plan_from_bytes(&physical_plan_to_bytes(Arc::clone(sorted)).unwrap(), &session.task_ctx()).unwrap();
    let shown = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(shown(&decoded), shown(sorted));
    // The decoded order is still what the write asks for.
    let again = sorted_again(decoded, &table);
    assert!(again.children()[0].is::<SortExec>(), "{}", shown(&again));
    assert!(!again.children()[0].children()[0].is::<SortExec>(), "{}", shown(&again));
}

fn sorted_again(input: Arc<dyn ExecutionPlan>, table: &Table) -> Arc<dyn ExecutionPlan> {
    plan_write(input, &table.spec(), &ConfigOptions::default()).unwrap()
}

#[test]
fn a_plan_distributes_and_sorts_only_as_needed() {
    let check = |layout: Layout, tasks: usize, expected: &str| {
        let table = Table::new(shop(), layout);
        let parts = vec![vec![events(0, 8)]; tasks];
        let mut config = ConfigOptions::default();
        config.execution.target_partitions = 4;
        let plan = plan_write(input(parts), &table.spec(), &config).unwrap();
        let mut names = Vec::new();
        let mut next = Some(&plan);
        while let Some(node) = next {
            names.push(format!("{}:{}", node.name(), node.output_partitioning().partition_count()));
            next = node.children().first().copied();
        }
        assert_eq!(names.join(" "), expected);
    };
    check(Layout::default(), 2, "IcebergWriteExec:2 DataSourceExec:2");
    check(shop_layout(), 1, "IcebergWriteExec:1 SortExec:1 DataSourceExec:1");
    check(shop_layout(), 2, "IcebergWriteExec:4 SortExec:4 RepartitionExec:4 DataSourceExec:2");
    let mode = |mode| Layout { properties: vec![("write.distribution-mode", mode)], ..shop_layout() };
    check(mode("none"), 2, "IcebergWriteExec:2 SortExec:2 DataSourceExec:2");
    let unpartitioned = Layout { partitions: vec![], ..shop_layout() };
    check(unpartitioned, 2, "IcebergWriteExec:2 SortExec:2 DataSourceExec:2");
}

#[test]
fn the_optimizer_keeps_the_order_of_a_write() {
    let table = Table::new(shop(), shop_layout());
    let config = SessionConfig::new().with_target_partitions(4);
    let session = SessionContext::new_with_config(config.clone()).state();
    let bare = IcebergWriteExec::try_new(input(vec![vec![events(0, 8)]; 2]), Arc::new(table.spec())).unwrap();
    let planned = plan_write(input(vec![vec![events(0, 8)]; 2]), &table.spec(), config.options()).unwrap();
    let bare: Arc<dyn ExecutionPlan> = Arc::new(bare);
    for plan in [bare, planned] {
        let optimized = optimize(plan, &session);
        let shown = displayable(optimized.as_ref()).indent(false).to_string();
        assert!(shown.contains("SortExec") && shown.contains("RepartitionExec: partitioning=Hash"), "{shown}");
        assert_eq!(shown.matches("SortExec").count(), 1, "{shown}");
    }
}

fn optimize(
    plan: Arc<dyn ExecutionPlan>,
    session: &datafusion::execution::SessionState,
) -> Arc<dyn ExecutionPlan> {
    let rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = PhysicalOptimizer::new().rules;
    rules.iter().fold(plan, |plan, rule| rule.optimize(plan, session.config_options()).unwrap())
}

#[test]
fn column_schema_of_a_result_is_one_text_column() {
    let table = Table::new(shop(), shop_layout());
    let plan = plan_write(input(vec![vec![events(0, 8)]]), &table.spec(), &ConfigOptions::default()).unwrap();
    assert_eq!(*plan.schema(), ArrowSchema::new(vec![Field::new(DATA_FILE_COLUMN, DataType::Utf8, false)]));
}
