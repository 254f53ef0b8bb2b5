//! Planning: DataFusion's planner with our rules and our logical plan nodes.

pub(crate) mod cardinality;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
mod write_node;

use std::sync::Arc;

use async_trait::async_trait;
use bergmill_catalog::VersionedTables;
use bergmill_engine::{aggregate_functions, scalar_functions, window_functions};
use datafusion::catalog::{CatalogProviderList, Session};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;

use crate::planner::rules::{
    FirstRow, has_physical_optimizer_rules, optimizer_rules, physical_optimizer_rules, stage_optimizer_rules,
};
pub(crate) use write_node::WriteNode;

/// A session with these settings, our functions, our plan nodes and the given catalogs.
pub(crate) fn session_state(
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    catalogs: Arc<dyn CatalogProviderList>,
) -> SessionState {
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_catalog_list(catalogs)
        .with_default_features()
        .with_scalar_functions(scalar_functions())
        .with_aggregate_functions(aggregate_functions())
        .with_window_functions(window_functions())
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_optimizer_rules(optimizer_rules())
        .with_physical_optimizer_rules(physical_optimizer_rules(&PhysicalOptimizer::new().rules))
        .with_relation_planners(vec![Arc::new(VersionedTables)])
        .with_query_planner(Arc::new(NodePlanner))
        .with_statistics_registry(cardinality::registry())
        .build()
}

/// DataFusion's planner, extended by our nodes.
#[derive(Debug)]
struct NodePlanner;

#[async_trait]
impl QueryPlanner for NodePlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        let rules = session.physical_optimizers();
        if has_physical_optimizer_rules(rules) {
            return planner.create_physical_plan(plan, session).await;
        }
        // Ballista's adaptive planner creates its initial plan with the session, but replaces the session's rules by
        // its own.
        let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("the session is not a SessionState");
        };
        let rules = stage_optimizer_rules(rules);
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
            return write.physical(Arc::clone(input), session).map(Some);
        }
        node.as_any().downcast_ref::<FirstRow>().map(|first| first.plan(Arc::clone(input))).transpose()
    }
}
