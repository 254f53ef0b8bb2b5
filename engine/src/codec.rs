//! How our plan nodes travel to executors.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use bergmill_catalog::{RowPositionExec, write};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::first_row::FirstRowExec;
use crate::property_barrier::PropertyBarrierExec;
use crate::whole_query::WholeQueryExec;

/// Begin the bytes of a node of ours. No protobuf message begins so: field number 8, wire type 2 is not one of
/// Ballista's, which take what does not begin with it.
const WRITE_TAG: &[u8] = b"BERGMILL/write/1:";

const WHOLE_TAG: &[u8] = b"BERGMILL/whole/2:";
const FIRST_TAG: &[u8] = b"BERGMILL/first/1:";
const POSITION_TAG: &[u8] = b"BERGMILL/position/1:";
const BARRIER_TAG: &[u8] = b"BERGMILL/barrier/1:";

/// Ballista's codec plus our nodes.
#[derive(Debug, Default)]
pub struct PlanCodec {
    ballista: BallistaPhysicalExtensionCodec,
}

impl PhysicalExtensionCodec for PlanCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(whole) = buf.strip_prefix(WHOLE_TAG) {
            return Ok(Arc::new(WholeQueryExec::decode(whole, only(inputs)?, ctx, self)?));
        }
        if let Some(first) = buf.strip_prefix(FIRST_TAG) {
            return Ok(Arc::new(FirstRowExec::decode(first, only(inputs)?)?));
        }
        if buf == POSITION_TAG {
            return Ok(Arc::new(RowPositionExec::try_new(only(inputs)?)?));
        }
        if buf == BARRIER_TAG {
            return Ok(Arc::new(PropertyBarrierExec::new(only(inputs)?)));
        }
        match buf.strip_prefix(WRITE_TAG) {
            Some(node) => Ok(write::decode(node, only(inputs)?)?),
            None => self.ballista.try_decode(buf, inputs, ctx, converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(whole) = node.downcast_ref::<WholeQueryExec>() {
            buf.extend_from_slice(WHOLE_TAG);
            buf.extend_from_slice(&whole.encode(self)?);
            return Ok(());
        }
        if let Some(first) = node.downcast_ref::<FirstRowExec>() {
            buf.extend_from_slice(FIRST_TAG);
            buf.extend_from_slice(&first.encode()?);
            return Ok(());
        }
        if node.is::<RowPositionExec>() {
            buf.extend_from_slice(POSITION_TAG);
            return Ok(());
        }
        if node.is::<PropertyBarrierExec>() {
            buf.extend_from_slice(BARRIER_TAG);
            return Ok(());
        }
        match node.downcast_ref::<write::IcebergWriteExec>() {
            Some(exec) => {
                buf.extend_from_slice(WRITE_TAG);
                buf.extend_from_slice(&write::encode(exec)?);
                Ok(())
            }
            None => self.ballista.try_encode(node, buf, converter),
        }
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.ballista.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udf(node, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.ballista.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.ballista.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udwf(node, buf)
    }
}

fn only(inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    match inputs {
        [input] => Ok(Arc::clone(input)),
        _ => Err(DataFusionError::Internal(format!("a node of ours has one input, not {}", inputs.len()))),
    }
}
