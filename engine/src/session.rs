//! Session settings for plans in stages, whole plans, and plans in the scheduler's own process.

use ballista_core::config::BallistaConfig;
use ballista_core::extension::SessionConfigExt;
use bergmill_statement::CATALOG;
use datafusion::prelude::SessionConfig;

/// Largest gRPC message between our processes: plans over many files exceed Ballista's 16 MiB.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024 * 1024;

/// Namespace of an unqualified table name.
pub const DEFAULT_NAMESPACE: &str = "raw";

/// Estimated bytes up to which the hashed side of a join is shared by the partitions of a process.
const SHARED_BUILD_BYTES: usize = 16 * 1024 * 1024;

/// Settings of a query that runs in stages, on executors with `vcores` task slots in total.
pub fn cluster_config(vcores: usize) -> SessionConfig {
    common(SessionConfig::new_with_ballista())
        .with_target_partitions(vcores.max(1))
        .with_ballista_grpc_client_max_message_size(MAX_MESSAGE_BYTES)
}

/// Settings of a query that one executor runs whole, on `vcores` task slots, with all features of DataFusion in one
/// process.
pub fn whole_config(vcores: usize) -> SessionConfig {
    let plain = SessionConfig::new().with_option_extension(BallistaConfig::default());
    estimated(common(plain))
        .with_target_partitions(vcores.max(1))
        .with_ballista_grpc_client_max_message_size(MAX_MESSAGE_BYTES)
}

/// Settings of a query that runs in the scheduler's own process: one task, because it is small.
pub fn local_config() -> SessionConfig {
    estimated(common(SessionConfig::new())).with_target_partitions(1)
}

/// Joins are planned by the estimates of the session. The side that is hashed is shared by all partitions up to a size
/// that one thread hashes in a tenth of a second: distributing the rows of both sides costs more.
fn estimated(config: SessionConfig) -> SessionConfig {
    config
        .set_bool("datafusion.optimizer.use_statistics_registry", true)
        .set_usize("datafusion.optimizer.hash_join_single_partition_threshold", SHARED_BUILD_BYTES)
}

fn common(config: SessionConfig) -> SessionConfig {
    config
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, DEFAULT_NAMESPACE)
        .with_information_schema(true)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.execution.time_zone", "UTC")
        // The check compares nullability too, which logical and physical expressions infer differently; results are
        // nullable.
        .set_bool("datafusion.execution.skip_physical_aggregate_schema_check", true)
        // One batch per spill file. An exchange with two open spill files can wait forever on the one without batches;
        // closing each file after its first batch avoids that: apache/datafusion#24883.
        .set_usize("datafusion.execution.max_spill_file_size_bytes", 1)
}
