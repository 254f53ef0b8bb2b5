//! Encodes our plan nodes for executors.

use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use bergmill_catalog::{RowPositionExec, write};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::compact::CompactExec;
use crate::first_row::FirstRowExec;
use crate::property_barrier::PropertyBarrierExec;
use crate::shared::SharedExec;
use crate::whole_query::WholeQueryExec;

/// Prefix of the bytes of one of our nodes. Its first byte, read as protobuf, is field number 8 with wire type 2, which
/// no message of Ballista's codec starts with; bytes without the prefix go to that codec.
const WRITE_TAG: &[u8] = b"BERGMILL/write/1:";

const WHOLE_TAG: &[u8] = b"BERGMILL/whole/2:";
const FIRST_TAG: &[u8] = b"BERGMILL/first/1:";
const POSITION_TAG: &[u8] = b"BERGMILL/position/1:";
const BARRIER_TAG: &[u8] = b"BERGMILL/barrier/1:";
const COMPACT_TAG: &[u8] = b"BERGMILL/compact/1:";
const SHARED_TAG: &[u8] = b"BERGMILL/shared/1:";

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
        if let Some(shared) = buf.strip_prefix(SHARED_TAG) {
            return Ok(Arc::new(SharedExec::decode(shared, only(inputs)?)?));
        }
        if buf == POSITION_TAG {
            return Ok(Arc::new(RowPositionExec::try_new(only(inputs)?)?));
        }
        if buf == BARRIER_TAG {
            return Ok(Arc::new(PropertyBarrierExec::new(only(inputs)?)));
        }
        if buf == COMPACT_TAG {
            return Ok(Arc::new(CompactExec::new(only(inputs)?)));
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
        if let Some(shared) = node.downcast_ref::<SharedExec>() {
            buf.extend_from_slice(SHARED_TAG);
            buf.extend_from_slice(&shared.encode()?);
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
        if node.is::<CompactExec>() {
            buf.extend_from_slice(COMPACT_TAG);
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
        _ => Err(DataFusionError::Internal(format!("expected one input, found {}", inputs.len()))),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::compute::SortOptions;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
    use datafusion::datasource::source::DataSourceExec;
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion_proto::physical_plan::DefaultPhysicalProtoConverter;

    use super::*;

    /// An encoded `IcebergWriteExec` for a table `id BIGINT, day DATE`, partitioned by day and sorted by id.
    const WRITE_SPEC: &str = concat!(
        r#"{"data_location":"file:///wh/raw/t/data","hashed_paths":null,"#,
        r#""schema":{"schema-id":0,"type":"struct","fields":["#,
        r#"{"id":1,"name":"id","required":true,"type":"long"},{"id":2,"name":"day","required":false,"type":"date"}]},"#,
        r#""partition_spec":{"spec-id":0,"fields":"#,
        r#"[{"source-id":2,"field-id":1000,"name":"day","transform":"identity"}]},"#,
        r#""sort_order":{"order-id":1,"fields":"#,
        r#"[{"source-id":1,"transform":"identity","direction":"asc","null-order":"nulls-first"}]},"#,
        r#""properties":{"write.distribution-mode":"hash"},"format_version":2,"#,
        r#""write_id":"0197c3a1-9f2e-7a1b-8c3d-4e5f60718293","vended_to":null}"#,
    );

    fn columns() -> Arc<Schema> {
        let fields = [Field::new("id", DataType::Int64, false), Field::new("day", DataType::Date32, true)];
        Arc::new(Schema::new(Vec::from(fields)))
    }

    fn rows() -> Arc<dyn ExecutionPlan> {
        Arc::new(EmptyExec::new(columns()))
    }

    fn text(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }

    fn encoded(node: &Arc<dyn ExecutionPlan>) -> Vec<u8> {
        let mut bytes = Vec::new();
        PlanCodec::default().try_encode(Arc::clone(node), &mut bytes, &DefaultPhysicalProtoConverter {}).unwrap();
        bytes
    }

    /// Names of the nodes of a plan, from the top.
    fn names(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
        let mut names = Vec::new();
        let walked = plan.apply(|node| {
            names.push(node.name().to_string());
            Ok(TreeNodeRecursion::Continue)
        });
        walked.unwrap();
        names
    }

    /// A scheduler of another build may send these bytes, or an executor of another build read them: if they change, so
    /// must the number in the node's tag.
    #[track_caller]
    fn check(node: Arc<dyn ExecutionPlan>, bytes: &[u8]) {
        assert_eq!(text(&encoded(&node)), text(bytes));
        let inputs: Vec<_> = node.children().into_iter().cloned().collect();
        let context = TaskContext::default();
        let codec = PlanCodec::default();
        let arrived = codec.try_decode(bytes, &inputs, &context, &DefaultPhysicalProtoConverter {}).unwrap();
        assert_eq!(names(&arrived), names(&node));
        assert_eq!(text(&encoded(&arrived)), text(bytes));
    }

    #[test]
    fn encoded_nodes_keep_their_bytes() {
        let descending = SortOptions { descending: true, nulls_first: false };
        let first = FirstRowExec::try_new(rows(), vec![1], vec![(0, descending)], "n".to_string()).unwrap();
        check(Arc::new(first), br#"BERGMILL/first/1:{"keys":[1],"order":[[0,true,false]],"number":"n"}"#);

        check(Arc::new(PropertyBarrierExec::new(rows())), b"BERGMILL/barrier/1:");
        check(Arc::new(CompactExec::new(rows())), b"BERGMILL/compact/1:");
        check(Arc::new(SharedExec::new(rows(), 3, 2)), br#"BERGMILL/shared/1:{"id":3,"readers":2}"#);

        let source = Arc::new(ParquetSource::new(columns()));
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source).build();
        let numbered = RowPositionExec::try_new(DataSourceExec::from_data_source(scan)).unwrap();
        check(Arc::new(numbered), b"BERGMILL/position/1:");

        let write = write::decode(WRITE_SPEC.as_bytes(), rows()).unwrap();
        check(write, format!("BERGMILL/write/1:{WRITE_SPEC}").as_bytes());
    }

    /// The plan inside is in DataFusion's own format, which a release of DataFusion may change.
    #[test]
    fn a_whole_query_keeps_its_bytes() {
        let whole = WholeQueryExec::try_new(rows(), 2).unwrap();
        let bytes = b"\x1a\x1c\n\x18\n\x08\n\x02id\x12\x02R\x00\n\x0c\n\x03day\x12\x03\x8a\x01\x00\x18\x01\x10\x01";
        check(Arc::new(whole), &[WHOLE_TAG, bytes].concat());
    }
}
