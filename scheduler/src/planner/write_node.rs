//! `INSERT` and `CREATE TABLE AS` as a node of the logical plan, so that the adaptive planner sees the whole statement.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use bergmill_catalog::write::{self, WriteSpec};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::Expr;

use crate::planner::rules::{FirstRow, physical_optimizer_rules};

/// Writes its input's rows into data files of one table; its own rows name the files.
#[derive(Debug, Clone)]
pub(crate) struct WriteNode {
    spec: Arc<WriteSpec>,
    input: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl WriteNode {
    /// The plan that writes `input` as `spec` says.
    pub(crate) fn plan(spec: WriteSpec, input: LogicalPlan) -> Result<LogicalPlan> {
        let schema = Arc::new(DFSchema::try_from(write::output_schema().as_ref().clone())?);
        let node = Self { spec: Arc::new(spec), input: Arc::new(input), schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

// A write is equal to itself only: two writes of the same rows are two sets of files.
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
            _ => Err(DataFusionError::Internal("a write has one input".to_string())),
        }
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        // Every column is written, whichever of ours a parent reads.
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }
}

/// DataFusion's planner, taught our nodes and our rules over physical plans.
#[derive(Debug)]
pub(crate) struct NodePlanner;

#[async_trait]
impl QueryPlanner for NodePlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        // Here rather than in the session: Ballista plans in stages by the session, but with rules of its own.
        let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("a session of another kind plans a query");
        };
        let rules = physical_optimizer_rules(state.physical_optimizers());
        let state = SessionStateBuilder::from(state.clone()).with_physical_optimizer_rules(rules).build();
        planner.create_physical_plan(plan, &state).await
    }
}

#[async_trait]
impl ExtensionPlanner for NodePlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let [input] = inputs else { return Ok(None) };
        if let Some(write) = node.as_any().downcast_ref::<WriteNode>() {
            return Ok(Some(write::plan_write(Arc::clone(input), &write.spec, session.config_options())?));
        }
        node.as_any().downcast_ref::<FirstRow>().map(|first| first.plan(Arc::clone(input))).transpose()
    }
}
