//! The reference engine: plain DataFusion in this process, over tables in memory.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::FutureExt;

use crate::{Answer, Order, difference};

/// A session of plain DataFusion.
pub struct Reference {
    context: SessionContext,
}

impl Reference {
    /// An empty session, with those settings of Bergmill's sessions that change results.
    pub fn new() -> Self {
        Self { context: SessionContext::new_with_config(config().with_target_partitions(1)) }
    }

    /// The session itself.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Creates or replaces a table.
    ///
    /// # Errors
    /// When a batch has another schema.
    pub fn register(&self, table: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<()> {
        let provider = MemTable::try_new(schema, vec![batches])?;
        self.context.deregister_table(table)?;
        self.context.register_table(table, Arc::new(provider))?;
        Ok(())
    }

    /// The guaranteed order of a query's rows.
    ///
    /// # Errors
    /// When DataFusion rejects the query.
    pub async fn order(&self, sql: &str) -> Result<Order> {
        Ok(order(self.context.sql(sql).await?.logical_plan()))
    }

    /// The rows of a query, and their guaranteed order.
    ///
    /// # Errors
    /// When DataFusion rejects the query, or fails or panics while running it.
    pub async fn query(&self, sql: &str) -> Result<(Answer, Order)> {
        let answer = AssertUnwindSafe(self.answer(sql)).catch_unwind().await;
        answer.unwrap_or_else(|_| Err(anyhow!("plain DataFusion panicked")))
    }

    async fn answer(&self, sql: &str) -> Result<(Answer, Order)> {
        let frame = self.context.sql(sql).await?;
        let order = order(frame.logical_plan());
        let plan = frame.create_physical_plan().await?;
        let schema = plan.schema();
        let batches = datafusion::physical_plan::collect(plan, self.context.task_ctx()).await?;
        Ok((Answer { schema, batches }, order))
    }
}

impl Reference {
    /// Whether the result is the same when the rows of all tables are in another order and in other partitions. If not,
    /// no engine need return it: a LIMIT without an order, an array in input order. `views` are the statements that
    /// created the views.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn decides(
        &self,
        views: &[String],
        sql: &str,
        right: &Answer,
        order: &Order,
        timeout: Duration,
    ) -> Result<bool> {
        for (is_reversed, parts) in [(true, 1), (false, 3), (true, 3)] {
            let other = self.rearranged(views, is_reversed, parts).await?;
            // A failure decides nothing.
            if let Ok(Ok((answer, _))) = tokio::time::timeout(timeout, other.query(sql)).await
                && difference(right, &answer, order)?.is_some()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Another session with the same tables in a different arrangement.
    async fn rearranged(&self, views: &[String], is_reversed: bool, parts: usize) -> Result<Self> {
        let config = config().with_target_partitions(parts).with_batch_size(if parts > 1 { 2 } else { 8192 });
        let other = Self { context: SessionContext::new_with_config(config) };
        let Some(schema) = self.context.catalog("datafusion").and_then(|c| c.schema("public")) else {
            return Ok(other);
        };
        for name in schema.table_names() {
            let Some(table) = schema.table(&name).await? else { continue };
            if table.table_type() == TableType::View {
                continue;
            }
            let batches = self.context.read_table(Arc::clone(&table))?.collect().await?;
            let rows = concat_batches(&table.schema(), &batches)?;
            let rows = if is_reversed { reversed(&rows)? } else { rows };
            let part = rows.num_rows().div_ceil(parts).max(1);
            let parts: Vec<_> = (0..rows.num_rows())
                .step_by(part)
                .map(|first| vec![rows.slice(first, part.min(rows.num_rows() - first))])
                .collect();
            let parts = if parts.is_empty() { vec![vec![]] } else { parts };
            let name = format!("\"{}\"", name.replace('"', "\"\""));
            other.context.register_table(name, Arc::new(MemTable::try_new(table.schema(), parts)?))?;
        }
        for view in views {
            // A view over tables that are missing here was not read either.
            let _ = other.context.sql(view).await;
        }
        Ok(other)
    }
}

fn reversed(rows: &RecordBatch) -> Result<RecordBatch> {
    let indices: UInt64Array = (0..rows.num_rows() as u64).rev().collect();
    Ok(take_record_batch(rows, &indices)?)
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference").finish_non_exhaustive()
    }
}

/// Settings of Bergmill's sessions that change results, their types or their names.
fn config() -> SessionConfig {
    SessionConfig::new()
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_str("datafusion.execution.time_zone", "UTC")
}

/// The columns by which a result is ordered: those of its last sort, up to the first that is not in the result.
fn order(plan: &LogicalPlan) -> Order {
    let columns = match plan {
        LogicalPlan::Sort(sort) => {
            let schema = sort.input.schema();
            let shown = |e: &Expr| e.try_as_col().and_then(|c| schema.maybe_index_of_column(c));
            sort.expr.iter().map_while(|s| shown(&s.expr)).collect()
        }
        LogicalPlan::Limit(limit) => return order(&limit.input),
        LogicalPlan::Projection(projection) => {
            let Order::By(below) = order(&projection.input) else { return Order::Any };
            let schema = projection.input.schema();
            let index = |e: &Expr| e.clone().unalias().try_as_col().and_then(|c| schema.maybe_index_of_column(c));
            let shown: Vec<_> = projection.expr.iter().map(index).collect();
            below.iter().map_while(|column| shown.iter().position(|s| *s == Some(*column))).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    if columns.is_empty() { Order::Any } else { Order::By(columns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_sort_says_which_columns_come_in_order() {
        let reference = Reference::new();
        let check = async |sql: &str, expected: Order| assert_eq!(reference.query(sql).await.unwrap().1, expected);
        let t = "FROM (VALUES (1, 2, 3)) t(a, b, c)";
        check(&format!("SELECT a, b, c {t}"), Order::Any).await;
        check(&format!("SELECT a, b, c {t} ORDER BY c, a DESC"), Order::By(vec![2, 0])).await;
        check(&format!("SELECT c AS x, b {t} ORDER BY b LIMIT 3"), Order::By(vec![1])).await;
        check(&format!("SELECT a {t} ORDER BY a, b"), Order::By(vec![0])).await;
        check(&format!("SELECT a {t} ORDER BY b, a"), Order::Any).await;
        // An inner sort guarantees nothing outside.
        check(&format!("SELECT * FROM (SELECT a, b {t} ORDER BY b) s"), Order::Any).await;
    }
}
