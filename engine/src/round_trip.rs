//! Checks that a plan decodes to the plan that was encoded.
//!
//! Plans travel as protobuf messages of `datafusion-proto`, which do not carry everything: `IGNORE NULLS` and `FILTER`
//! of a window function, the settings that a function was planned with. A plan that lost something still runs, but
//! returns a wrong result. So a plan is decoded where it was encoded, as an executor would decode it, and compared node
//! by node before it is sent.

use std::fmt;
use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::not_impl_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionConfig;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::{
    DeduplicatingProtoConverter, DefaultPhysicalProtoConverter, PhysicalProtoConverterExtension,
};

use crate::codec::PlanCodec;
use crate::functions::function_registry;
use crate::session::cluster_config;

/// How a plan is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As Ballista encodes the plan of a task.
    Task,
    /// As [`WholeQueryExec`](crate::WholeQueryExec) encodes the plan that it holds.
    Whole,
}

/// Encodes plans and decodes them as an executor does.
pub struct RoundTrip {
    codec: PlanCodec,
    context: TaskContext,
}

impl fmt::Debug for RoundTrip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoundTrip").finish_non_exhaustive()
    }
}

impl RoundTrip {
    /// Decodes with the functions and settings of executors and the object stores of `runtime`.
    pub fn new(runtime: Arc<RuntimeEnv>) -> Self {
        Self { codec: PlanCodec::default(), context: executor_context(cluster_config(1), runtime) }
    }

    /// Returns `plan` as an executor decodes it.
    ///
    /// # Errors
    /// `NotImplemented` that describes the difference if the decoded plan differs; and any error of encoding or
    /// decoding.
    pub fn arrived(&self, plan: &Arc<dyn ExecutionPlan>, encoding: Encoding) -> Result<Arc<dyn ExecutionPlan>> {
        let arrived = match encoding {
            Encoding::Task => self.sent(plan, &DefaultPhysicalProtoConverter {})?,
            Encoding::Whole => self.sent(plan, &DeduplicatingProtoConverter {})?,
        };
        match difference(plan, &arrived)? {
            None => Ok(arrived),
            Some(what) => not_impl_err!("the plan changes when it is encoded: {what}"),
        }
    }

    fn sent(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let bytes = physical_plan_to_bytes_with_proto_converter(Arc::clone(plan), &self.codec, converter)?;
        physical_plan_from_bytes_with_proto_converter(&bytes, &self.context, &self.codec, converter)
    }
}

/// A plan as executors get it.
///
/// # Errors
/// If an operator or a function cannot be encoded.
pub fn encoded(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
    let (codec, converter) = (PlanCodec::default(), DefaultPhysicalProtoConverter {});
    Ok(physical_plan_to_bytes_with_proto_converter(Arc::clone(plan), &codec, &converter)?.to_vec())
}

/// Whether two operators do the same, by all that they show of it. Their inputs are not compared.
///
/// # Errors
/// If their expressions cannot be visited.
pub fn is_same_operator(a: &Arc<dyn ExecutionPlan>, b: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    Ok(node_difference(a, b)?.is_none())
}

/// The context with which an executor decodes plans.
fn executor_context(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> TaskContext {
    let BallistaFunctionRegistry { scalar_functions, aggregate_functions, window_functions, higher_order_functions } =
        function_registry();
    TaskContext::new(
        None,
        "round-trip".to_string(),
        config,
        scalar_functions,
        higher_order_functions,
        aggregate_functions,
        window_functions,
        runtime,
    )
}

fn difference(made: &Arc<dyn ExecutionPlan>, arrived: &Arc<dyn ExecutionPlan>) -> Result<Option<String>> {
    if let Some(what) = node_difference(made, arrived)? {
        return Ok(Some(format!("{}: {what}", made.name())));
    }
    let (of_made, of_arrived) = (made.children(), arrived.children());
    if of_made.len() != of_arrived.len() {
        return Ok(Some(format!("{}: {} inputs became {}", made.name(), of_made.len(), of_arrived.len())));
    }
    for (made, arrived) in of_made.into_iter().zip(of_arrived) {
        if let Some(what) = difference(made, arrived)? {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

fn node_difference(made: &Arc<dyn ExecutionPlan>, arrived: &Arc<dyn ExecutionPlan>) -> Result<Option<String>> {
    let became = |what: &str, made: &dyn fmt::Display, arrived: &dyn fmt::Display| {
        Some(format!("{what} was {made:.400} and became {arrived:.400}"))
    };
    if made.name() != arrived.name() {
        return Ok(became("the operator", &made.name(), &arrived.name()));
    }
    let schemas = (columns(&made.schema()), columns(&arrived.schema()));
    if schemas.0 != schemas.1 {
        return Ok(became("the schema", &format!("{:?}", schemas.0), &format!("{:?}", schemas.1)));
    }
    let partitions = [made, arrived].map(|plan| plan.output_partitioning().partition_count());
    if partitions[0] != partitions[1] {
        return Ok(became("the number of partitions", &partitions[0], &partitions[1]));
    }
    let orders = [made, arrived].map(|plan| plan.output_ordering().map(ToString::to_string).unwrap_or_default());
    if orders[0] != orders[1] {
        return Ok(became("the order", &orders[0], &orders[1]));
    }
    let texts = [made, arrived].map(|plan| without_hints(Shown(plan.as_ref()).to_string()));
    if texts[0] != texts[1] {
        return Ok(became("what it does", &texts[0], &texts[1]));
    }
    let functions = [made, arrived].map(functions);
    if functions[0] != functions[1] {
        return Ok(became("its functions", &functions[0], &functions[1]));
    }
    let expressions = [expressions(made)?, expressions(arrived)?];
    if expressions[0].len() != expressions[1].len() {
        return Ok(became("the number of its expressions", &expressions[0].len(), &expressions[1].len()));
    }
    let differs = expressions[0].iter().zip(&expressions[1]).find(|(made, arrived)| !is_same(made, arrived));
    Ok(differs.and_then(|(made, arrived)| became("an expression", &format!("{made:?}"), &format!("{arrived:?}"))))
}

/// Names, types and nullability; other attributes of fields change no value.
fn columns(schema: &Schema) -> Vec<(String, DataType, bool)> {
    schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone(), f.is_nullable())).collect()
}

/// A node's verbose display.
struct Shown<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DisplayAs::fmt_as(self.0, DisplayFormatType::Verbose, f)
    }
}

/// Cuts off what a scan displays about the order in which it reads row groups, which changes no row and is not encoded,
/// and what it derives from its filter.
fn without_hints(mut shown: String) -> String {
    const HINTS: [&str; 4] =
        [", sort_order_for_reorder=", ", reverse_row_groups=", ", dynamic_rg_pruning=", ", pruning_predicate="];
    if let Some(start) = HINTS.iter().filter_map(|hint| shown.find(hint)).min() {
        shown.truncate(start);
    }
    shown
}

/// The functions of a window or an aggregate, with everything that affects their result. Neither node displays all of
/// it.
fn functions(plan: &Arc<dyn ExecutionPlan>) -> String {
    if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
        without_schemas(format!("{:?}", window.window_expr()), window.input(), plan)
    } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        without_schemas(format!("{:?}", window.window_expr()), window.input(), plan)
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let functions = aggregate.aggr_expr().iter().map(|f| {
            (f.name(), f.fun().name(), f.is_distinct(), f.ignore_nulls(), f.is_reversed(), f.order_bys(), f.field())
        });
        format!("{:?} {:?}", functions.collect::<Vec<_>>(), aggregate.filter_expr())
    } else {
        String::new()
    }
}

/// Cuts out the schema that an aggregate of a window keeps of its input. An aggregate that was planned has the columns
/// of the window itself too, which it does not read, and one that was decoded has not.
fn without_schemas(functions: String, input: &Arc<dyn ExecutionPlan>, window: &Arc<dyn ExecutionPlan>) -> String {
    let schema = |plan: &Arc<dyn ExecutionPlan>| format!("schema: {:?}", plan.schema().as_ref());
    functions.replace(&schema(window), "schema: its input's").replace(&schema(input), "schema: its input's")
}

fn expressions(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let mut all = Vec::new();
    plan.apply_expressions(&mut |expression| {
        all.push(Arc::clone(expression));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(all)
}

/// Whether two expressions compute the same.
fn is_same(made: &Arc<dyn PhysicalExpr>, arrived: &Arc<dyn PhysicalExpr>) -> bool {
    let children = (made.children(), arrived.children());
    if children.0.len() != children.1.len() || !children.0.iter().zip(&children.1).all(|(m, a)| is_same(m, a)) {
        return false;
    }
    // Expressions filled at run time are equal only to themselves.
    if made.expression_id().is_some() || made.is::<ScalarSubqueryExpr>() {
        return made.to_string() == arrived.to_string();
    }
    if let (Some(made), Some(arrived)) =
        (made.downcast_ref::<ScalarFunctionExpr>(), arrived.downcast_ref::<ScalarFunctionExpr>())
    {
        // Of the session's settings, only those that the function has stored matter: they are part of it.
        return made.fun() == arrived.fun()
            && made.return_type() == arrived.return_type()
            && made.nullable() == arrived.nullable();
    }
    // With the same inputs, only the expression itself remains to be compared.
    let inputs = children.0.into_iter().cloned().collect();
    Arc::clone(arrived).with_new_children(inputs).is_ok_and(|arrived| &arrived == made)
}

#[cfg(test)]
mod tests {
    use bergmill_storage::Stores;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::{MemoryLimit, runtime_env, whole_config};

    #[tokio::test]
    async fn windows_arrive_unless_a_clause_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime_env(Some(MemoryLimit(64 << 20)), folder.path(), Stores::local()).unwrap();
        let session = SessionContext::new_with_config_rt(whole_config(2), Arc::clone(&runtime));
        let round_trip = RoundTrip::new(runtime);
        for (function, arrives) in [
            ("avg(v) OVER (ORDER BY w ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)", true),
            ("avg(v) OVER (PARTITION BY w)", true),
            ("sum(v) OVER (PARTITION BY w ORDER BY v), max(v) OVER (ORDER BY w)", true),
            ("count(DISTINCT v) OVER (PARTITION BY w)", true),
            ("first_value(v) OVER (ORDER BY w)", true),
            ("first_value(v) IGNORE NULLS OVER (ORDER BY w)", false),
            ("sum(v) FILTER (WHERE v > 1) OVER (PARTITION BY w)", false),
            ("sum(v) FILTER (WHERE v > 1) OVER (ORDER BY w ROWS 1 PRECEDING)", false),
        ] {
            let sql = format!("SELECT {function} FROM (VALUES (1, 2), (2, 2), (3, 4)) AS t (v, w)");
            let plan = session.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            for encoding in [Encoding::Task, Encoding::Whole] {
                let arrived = round_trip.arrived(&plan, encoding).map(|_| ()).map_err(|e| e.to_string());
                assert_eq!(arrived.is_ok(), arrives, "{function}: {arrived:.600?}");
            }
        }
    }
}
