//! The SQL functions: Ballista's set and ours, the same for planning and for execution.

use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use bergmill_catalog::write::partition_udf;
use datafusion::logical_expr::ScalarUDF;

/// The functions that our own plans call and that are not DataFusion's.
pub(crate) fn own_scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(partition_udf())]
}

/// All functions, for an executor.
pub fn function_registry() -> BallistaFunctionRegistry {
    let mut registry = BallistaFunctionRegistry::default();
    for f in own_scalar_functions() {
        registry.scalar_functions.insert(f.name().to_string(), f);
    }
    registry
}
