//! How plans are made: DataFusion's planner with our rules and our nodes of logical plans.

pub(crate) mod rules;
#[cfg(test)]
mod tests;
mod write_node;

use std::sync::Arc;

use bergmill_catalog::VersionedTables;
use bergmill_engine::{aggregate_functions, scalar_functions, window_functions};
use datafusion::catalog::CatalogProviderList;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::prelude::SessionConfig;

use crate::planner::rules::optimizer_rules;
use crate::planner::write_node::NodePlanner;
pub(crate) use write_node::WriteNode;

/// A session over these settings: our functions, our plan nodes, the given catalogs.
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
        .with_relation_planners(vec![Arc::new(VersionedTables)])
        .with_query_planner(Arc::new(NodePlanner))
        .build()
}
