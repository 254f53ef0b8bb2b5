//! The settings of a session, on the cluster and in the scheduler's own process.

use std::sync::Arc;

use ballista_core::config::BallistaConfig;
use ballista_core::extension::{SessionConfigExt, ballista_aggregate_functions};
use bergmill_catalog::VersionedTables;
use datafusion::catalog::CatalogProviderList;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SessionState, SessionStateDefaults};
use datafusion::prelude::SessionConfig;

use crate::functions::{scalar_functions, window_functions};
use crate::rules::optimizer_rules;
use crate::write_node::NodePlanner;

/// Largest gRPC message between our processes: plans over many files pass Ballista's 16 MiB.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024 * 1024;

/// Name of the catalog in SQL: `bergmill.namespace.table`.
pub const CATALOG: &str = "bergmill";
/// Namespace of an unqualified table name.
pub const DEFAULT_NAMESPACE: &str = "raw";

/// Settings of a query that runs on executors with `vcores` task slots in all.
pub fn cluster_config(vcores: usize) -> SessionConfig {
    common(SessionConfig::new_with_ballista())
        .with_target_partitions(vcores.max(1))
        .with_ballista_grpc_client_max_message_size(MAX_MESSAGE_BYTES)
}

/// Settings of a query that one executor runs whole, on `vcores` task slots: all that DataFusion can do in one process.
pub fn whole_config(vcores: usize) -> SessionConfig {
    let plain = SessionConfig::new().with_option_extension(BallistaConfig::default());
    common(plain).with_target_partitions(vcores.max(1)).with_ballista_grpc_client_max_message_size(MAX_MESSAGE_BYTES)
}

/// Settings of a query that runs in the scheduler's own process: one task, because it is small.
pub fn local_config() -> SessionConfig {
    common(SessionConfig::new()).with_target_partitions(1)
}

fn common(config: SessionConfig) -> SessionConfig {
    config
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, DEFAULT_NAMESPACE)
        .with_information_schema(true)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.execution.time_zone", "UTC")
        // It compares nullability too, of which logical and physical expressions make different guesses; results are nullable.
        .set_bool("datafusion.execution.skip_physical_aggregate_schema_check", true)
        // One batch a spill file. An exchange that has two spill files open at once can wait for ever on the one without
        // batches, which a file that is closed after its first batch cannot cause: apache/datafusion#24883.
        .set_usize("datafusion.execution.max_spill_file_size_bytes", 1)
}

/// A session over these settings: our functions, our plan nodes, the given catalogs.
pub fn session_state(
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
        .with_aggregate_functions(ballista_aggregate_functions())
        .with_window_functions(window_functions())
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_optimizer_rules(optimizer_rules())
        .with_relation_planners(vec![Arc::new(VersionedTables)])
        .with_query_planner(Arc::new(NodePlanner))
        .build()
}
