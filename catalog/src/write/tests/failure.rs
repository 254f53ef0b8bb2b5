use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::*;

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
    // A null struct needs no fields.
    let rows = batch(vec![
        ("price", Arc::new(Int64Array::from(vec![1, 2]))),
        ("brand", brands(vec![Some("a"), None], vec![true, false])),
    ]);
    assert_eq!(table.write(vec![vec![rows]]).await.unwrap()[0].record_count(), 2);
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
async fn files_can_be_deleted_again() {
    let table = Table::new(shop(), shop_layout());
    let runtime = SessionContext::new().runtime_env();
    let spec = table.spec();
    let plan = || plan_write(input(vec![vec![events(0, 96)]]), &spec, &ConfigOptions::default()).unwrap();
    let lost = table.run(plan()).await.unwrap();
    let kept = table.run(plan()).await.unwrap();
    let other = table.write(vec![vec![events(0, 96)]]).await.unwrap();
    let count = |files: &[DataFile]| files.iter().filter(|f| local(f).exists()).count();

    assert_eq!(delete_orphan_files(&runtime, &spec, &kept).await.unwrap(), lost.len());
    assert_eq!((count(&lost), count(&kept), count(&other)), (0, kept.len(), other.len()));
    assert_eq!(delete_files(&runtime, kept.iter().map(|f| f.file_path())).await.unwrap(), kept.len());
    assert_eq!(delete_files(&runtime, kept.iter().map(|f| f.file_path())).await.unwrap(), 0);
    assert_eq!((count(&kept), count(&other)), (0, other.len()));
}

#[tokio::test]
async fn an_object_store_keeps_the_files_of_a_write_together() {
    let table = Table::new(shop(), shop_layout());
    let (runtime, bucket) = (Arc::<RuntimeEnv>::default(), Arc::new(InMemory::new()));
    runtime.register_object_store(&"s3://raw/".parse().unwrap(), Arc::clone(&bucket) as _);
    let context = Arc::new(TaskContext::default().with_runtime(Arc::clone(&runtime)));
    let spec = WriteSpec { data_location: "s3://raw/events/data".to_string(), ..table.spec() };
    let write = async |spec: &WriteSpec| {
        let plan = plan_write(input(vec![vec![events(0, 96)]]), spec, &ConfigOptions::default()).unwrap();
        files_of(&collect(plan, Arc::clone(&context)).await.unwrap(), &table.metadata).unwrap()
    };
    let (lost, kept) = (write(&spec).await, write(&spec).await);
    let other = write(&WriteSpec { write_id: uuid::Uuid::new_v4(), ..spec.clone() }).await;
    let own = format!("s3://raw/events/data/{}/", spec.write_id);
    assert!(lost.iter().chain(&kept).all(|f| f.file_path().starts_with(&own)));
    assert!(other.iter().all(|f| !f.file_path().starts_with(&own)));

    assert_eq!(delete_orphan_files(&runtime, &spec, &kept).await.unwrap(), lost.len());
    let remaining: BTreeSet<_> =
        bucket.list(None).map_ok(|o| format!("s3://raw/{}", o.location)).try_collect().await.unwrap();
    assert_eq!(remaining, kept.iter().chain(&other).map(|f| f.file_path().to_string()).collect());
}

#[tokio::test]
async fn a_small_memory_pool_does_not_stop_a_write() {
    let table = Table::new(vec![field(1, "s", PrimitiveType::String)], Layout::default());
    let noise = |i: usize| {
        let random = |n: usize| ((i * 6 + n) as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        (0..6).map(|n| format!("{:x}", random(n))).collect::<String>()
    };
    let batches = (0..20).map(|b| {
        let texts = StringArray::from_iter_values((0..8_192).map(|i| noise(b * 8_192 + i)));
        batch(vec![("s", Arc::new(texts))])
    });
    let plan = plan_write(input(vec![batches.collect()]), &table.spec(), &ConfigOptions::default()).unwrap();
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(1 << 20, 1.0).build_arc().unwrap();
    let context = SessionContext::new_with_config_rt(SessionConfig::new(), runtime).task_ctx();
    let files = files_of(&collect(plan, context).await.unwrap(), &table.metadata).unwrap();
    assert_eq!(files.iter().map(|f| f.record_count()).sum::<u64>(), 20 * 8_192);
    // A row group that fills the pool is closed early.
    let rows = footer(&files[0]).row_group(0).num_rows();
    assert!(rows < 20 * 8_192, "{rows}");
}
