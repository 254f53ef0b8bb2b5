//! `reports/spill_two_files.md`

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::spill::spill_pool::mpsc_channel;
use futures::StreamExt;

use crate::FIXED;

fn batch(rows: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    RecordBatch::try_from_iter([("n", numbers)]).unwrap()
}

#[tokio::test]
async fn a_batch_in_the_second_of_two_open_files_is_not_read() {
    let (long, short) = (batch(1_000_000), batch(1));
    for _ in 0..100 {
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let manager = SpillManager::new(Arc::new(RuntimeEnv::default()), metrics, long.schema());
        let (writer, mut reader) = mpsc_channel(usize::MAX, Arc::new(manager));
        // While one writer fills the first file, the other opens a second, unless it comes too early or too late and
        // both share one file.
        let other = writer.new_sink();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.push_batch(&long).unwrap());
            std::thread::sleep(Duration::from_millis(1));
            other.push_batch(&short).unwrap();
        });
        let rows = reader.next().await.unwrap().unwrap().num_rows();
        if tokio::time::timeout(Duration::from_millis(200), reader.next()).await.is_err() {
            // The second batch was available, but was read only after its writers had ended.
            drop((writer, other));
            let left = reader.next().await.unwrap().unwrap().num_rows();
            assert_eq!(rows + left, long.num_rows() + short.num_rows());
            return;
        }
    }
    panic!("{FIXED}");
}
