//! `INSERT` and `CREATE TABLE AS` as a node of the logical plan, so that the adaptive planner sees the whole statement.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bergmill_catalog::write::{self, WriteSpec};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::Expr;

/// Writes its input's rows into data files of one table, and returns rows that name the files.
#[derive(Debug, Clone)]
pub(crate) struct WriteNode {
    spec: Arc<WriteSpec>,
    input: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl WriteNode {
    /// The plan that writes `input` according to `spec`.
    pub(crate) fn plan(spec: WriteSpec, input: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::new(DFSchema::try_from(write::output_schema().as_ref().clone())?);
        let node = Self { spec: Arc::new(spec), input: Arc::new(input), schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// Whether files get the rows of the input in its order.
    pub(crate) fn keeps_order(&self) -> bool {
        self.spec.keeps_order()
    }

    /// The operators that write the rows of `input`.
    pub(super) fn physical(
        &self,
        input: Arc<dyn ExecutionPlan>,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(write::plan_write(input, &self.spec, session.config_options())?)
    }
}

// A write is equal only to itself: two writes of the same rows are two sets of files.
impl PartialEq for WriteNode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.spec, &other.spec) && self.input == other.input
    }
}

impl Eq for WriteNode {}

impl PartialOrd for WriteNode {
    fn partial_cmp(&self, _: &Self) -> Option<std::cmp::Ordering> {
        None
    }
}

impl Hash for WriteNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.spec).hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for WriteNode {
    fn name(&self) -> &str {
        "IcebergWrite"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "IcebergWrite: {}", self.spec.data_location)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { input: Arc::new(input), ..self.clone() }),
            _ => Err(DataFusionError::Internal("IcebergWrite must have one input".to_string())),
        }
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        // Every column is written, whatever output columns a parent reads.
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }
}
