//! Encodes the write node for the engine's plan codec: the spec as JSON. The input is encoded separately.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

use super::{IcebergWriteExec, WriteSpec};
use crate::error::{Error, ErrorKind, Result};

/// Encodes the node without its input.
pub fn encode(exec: &IcebergWriteExec) -> Result<Vec<u8>> {
    serde_json::to_vec(exec.spec())
        .map_err(|e| Error::new(ErrorKind::Internal, "encoding an IcebergWriteExec").with_source(e))
}

/// Decodes a node from [`encode`], with `input` as its input.
pub fn decode(bytes: &[u8], input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let spec: WriteSpec = serde_json::from_slice(bytes)
        .map_err(|e| Error::new(ErrorKind::Internal, "decoding an IcebergWriteExec").with_source(e))?;
    Ok(Arc::new(IcebergWriteExec::try_new(input, Arc::new(spec))?))
}
