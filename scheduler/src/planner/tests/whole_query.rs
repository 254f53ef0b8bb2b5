//! Encoded whole plans, with our nodes in them.

use std::sync::Arc;

use bergmill_engine::{PlanCodec, WholeQueryExec};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect_partitioned};
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};

use super::{lines, ours, plain, sorted_lines};

fn table() -> Vec<RecordBatch> {
    let batch = |n: i64| {
        let rows = || n * 1_000..(n + 1) * 1_000;
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows()));
        let groups: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|i| i % 17)));
        RecordBatch::try_from_iter([("id", ids), ("g", groups)]).unwrap()
    };
    (0..20).map(batch).collect()
}

/// Features that a cut would break: a scalar subquery, a join whose build side filters the scan at run time, a top-k,
/// an exchange, a part with two readers.
const QUERIES: [&str; 5] = [
    "SELECT g, COUNT(*) AS n, SUM(id) AS s FROM t WHERE id > (SELECT AVG(id) FROM t) GROUP BY g",
    "SELECT a.id, b.g FROM t a JOIN (SELECT * FROM t WHERE id % 1000 = 7) b ON a.id = b.id",
    "SELECT id FROM t ORDER BY g DESC, id LIMIT 10",
    "SELECT id, g FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY g ORDER BY id DESC) AS n FROM t) WHERE n = 1",
    "WITH s AS (SELECT g, SUM(id) AS total FROM t GROUP BY g) SELECT a.g, b.total FROM s a JOIN s b ON a.g = b.g + 1",
];

#[tokio::test]
async fn a_whole_query_survives_encoding_for_an_executor() {
    let spill = tempfile::tempdir().unwrap();
    for sql in QUERIES {
        let context = SessionContext::new_with_state(ours(&table(), 1 << 30, spill.path()));
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let whole: Arc<dyn ExecutionPlan> = Arc::new(WholeQueryExec::try_new(plan, 2).unwrap());
        assert_eq!((whole.output_partitioning().partition_count(), whole.children().len()), (2, 1));
        let codec = PlanCodec::default();
        let bytes = physical_plan_to_bytes_with_extension_codec(whole, &codec).unwrap();
        let task = context.task_ctx();
        let arrived = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &codec).unwrap();
        let parts = collect_partitioned(arrived, task).await.unwrap();
        assert_eq!(parts.len(), 2);
        assert!(parts[1].is_empty(), "all rows are in the first partition");
        assert_eq!(sorted_lines(&parts[0]), lines(plain(&table()), sql).await, "{sql}");
    }
}

#[test]
fn damaged_bytes_are_an_error() {
    let spill = tempfile::tempdir().unwrap();
    let context = SessionContext::new_with_state(ours(&table(), 1 << 30, spill.path()));
    for bytes in [&b"BERGMILL/whole/2:"[..], b"BERGMILL/whole/2:\x02\0\0\0\xff\xff", b"BERGMILL/first/1:{}"] {
        use datafusion_proto::physical_plan::{DefaultPhysicalProtoConverter, PhysicalExtensionCodec};
        let decoded =
            PlanCodec::default().try_decode(bytes, &[], &context.task_ctx(), &DefaultPhysicalProtoConverter {});
        assert!(decoded.is_err(), "{bytes:?}");
    }
}
