//! SQL functions: Ballista's and our own, the same for planning and for execution.

use std::sync::Arc;

use ballista_core::extension::{ballista_aggregate_functions, ballista_scalar_functions, ballista_window_functions};
use ballista_core::registry::BallistaFunctionRegistry;
use bergmill_catalog::nested_cast_udf;
use bergmill_catalog::write::partition_udf;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::lead_lag::with_nulls_ignored;
use crate::session::cluster_config;
use crate::zoned_timestamps::with_zones;
use crate::zorder::zorder_udf;

/// All scalar functions: DataFusion's, including those on nested values, those that our own plans call, and `zorder`.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = with_zones(ballista_scalar_functions());
    functions.push(Arc::new(partition_udf()));
    functions.push(Arc::new(nested_cast_udf()));
    functions.push(Arc::new(zorder_udf()));
    functions
}

/// All aggregates.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    ballista_aggregate_functions()
}

/// All window functions that are not aggregates as well.
pub fn window_functions() -> Vec<Arc<WindowUDF>> {
    with_nulls_ignored(ballista_window_functions())
}

/// All functions, for an executor, with the settings of the session that planned them: an encoded plan names a function
/// without those settings, and `to_timestamp` takes the time zone of its result type from them.
pub fn function_registry() -> BallistaFunctionRegistry {
    let settings = cluster_config(1);
    let planned = |function: Arc<ScalarUDF>| {
        let updated = function.inner().with_updated_config(settings.options());
        updated.map_or(function, Arc::new)
    };
    // Ballista's default registry lacks the functions on nested values, such as `make_array`.
    let functions = scalar_functions().into_iter().map(planned).map(|f| (f.name().to_string(), f));
    let windows = window_functions().into_iter().map(|f| (f.name().to_string(), f));
    BallistaFunctionRegistry {
        scalar_functions: functions.collect(),
        window_functions: windows.collect(),
        ..BallistaFunctionRegistry::default()
    }
}
