//! An existing stream as a plan.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};

/// A plan of one partition that returns the batches of `input`. It can be executed once.
pub fn once_stream(input: SendableRecordBatchStream) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = input.schema();
    let stream = Arc::new(OnceStream { schema: Arc::clone(&schema), input: Mutex::new(Some(input)) });
    Ok(Arc::new(StreamingTableExec::try_new(schema, vec![stream], None, Vec::new(), false, None)?))
}

struct OnceStream {
    schema: SchemaRef,
    input: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for OnceStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceStream")
    }
}

impl PartitionStream for OnceStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        match taken {
            Some(input) => input,
            None => {
                let e = DataFusionError::Internal("OnceStream was executed twice".to_string());
                let once = futures::stream::once(std::future::ready(Err(e)));
                Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), once))
            }
        }
    }
}
