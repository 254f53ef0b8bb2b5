//! One row per key, from a hash table of the best row of each key instead of a sort of all rows.
//!
//! When memory runs out, the operator falls back to a sort.

use std::collections::HashSet;
use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayData, ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt64Array,
};
use datafusion::arrow::compute::{SortOptions, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::once_stream::once_stream;

/// Keeps, of the rows with equal key columns, the first in an order; of equals, the one that arrived first. Adds a
/// column with the row number, which is always 1. All rows of a key must be in one partition.
#[derive(Debug)]
pub struct FirstRowExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<usize>,
    order: Vec<(usize, SortOptions)>,
    number: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Encoded form of the operator, without its input. Columns are positions in the input's schema.
#[derive(Serialize, Deserialize)]
struct Wire {
    keys: Vec<usize>,
    /// Column, descending, nulls first.
    order: Vec<(usize, bool, bool)>,
    number: String,
}

impl FirstRowExec {
    /// `keys` are columns of `input`, at least one; `order` are the columns that decide which row is first; `number` is
    /// the name of the added column.
    ///
    /// # Errors
    /// `Internal` if there is no key, or a column does not exist.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<usize>,
        order: Vec<(usize, SortOptions)>,
        number: String,
    ) -> Result<Self> {
        let from = input.schema();
        let width = from.fields().len();
        if keys.is_empty() || keys.iter().chain(order.iter().map(|(at, _)| at)).any(|at| *at >= width) {
            return Err(DataFusionError::Internal(
                "FirstRowExec needs at least one key, and only columns of its input".to_string(),
            ));
        }
        let mut fields = from.fields().to_vec();
        fields.push(Arc::new(Field::new(&number, DataType::UInt64, false)));
        let schema = Arc::new(Schema::new_with_metadata(fields, from.metadata().clone()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, keys, order, number, properties: Arc::new(properties), metrics })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let order = self.order.iter().map(|(at, o)| (*at, o.descending, o.nulls_first)).collect();
        let wire = Wire { keys: self.keys.clone(), order, number: self.number.clone() };
        serde_json::to_vec(&wire).map_err(|e| DataFusionError::External(Box::new(e)))
    }

    pub(crate) fn decode(bytes: &[u8], input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let Wire { keys, order, number } =
            serde_json::from_slice(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let options = |(at, descending, nulls_first)| (at, SortOptions { descending, nulls_first });
        Self::try_new(input, keys, order.into_iter().map(options).collect(), number)
    }

    fn key_columns(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let schema = self.input.schema();
        self.keys.iter().map(|at| Arc::new(Column::new(schema.field(*at).name(), *at)) as _).collect()
    }

    /// Sorts by key, then by the order that decides which row is first.
    fn ordering(&self) -> Option<LexOrdering> {
        let schema = self.input.schema();
        let order = self
            .order
            .iter()
            .map(|(at, options)| PhysicalSortExpr::new(Arc::new(Column::new(schema.field(*at).name(), *at)), *options));
        LexOrdering::new(self.key_columns().into_iter().map(PhysicalSortExpr::new_default).chain(order))
    }
}

impl DisplayAs for FirstRowExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.input.schema();
        let name = |at: &usize| format!("{}@{at}", schema.field(*at).name());
        let keys = self.keys.iter().map(name).collect::<Vec<_>>().join(", ");
        let order = self.order.iter().map(|(at, options)| format!("{} {options}", name(at)));
        write!(f, "FirstRowExec: keys=[{keys}], order=[{}]", order.collect::<Vec<_>>().join(", "))
    }
}

impl ExecutionPlan for FirstRowExec {
    bergmill_catalog::one_input!(input, |this, input| {
        Self::try_new(input, this.keys.clone(), this.order.clone(), this.number.clone())
    });

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(self.key_columns())])
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let reserve = |what: &str, spills: bool| {
            let consumer = MemoryConsumer::new(format!("{what}[{partition}]")).with_can_spill(spills);
            consumer.register(context.memory_pool())
        };
        let reservation = reserve("FirstRowExec", true);
        let sorted = Sorted {
            room: reserve("FirstRowExecSort", false),
            merge_bytes: context.session_config().options().execution.sort_spill_reservation_bytes,
            ordering: self.ordering(),
            keys: self.keys.clone(),
            used: MetricBuilder::new(&self.metrics).counter("sorted_instead", partition),
            partition,
            context,
        };
        let firsts = Firsts::try_new(&input.schema(), &self.keys, &self.order, reservation)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        let numbered = Arc::clone(&schema);
        let rows = futures::stream::once(first_rows(input, firsts, sorted, metrics.clone())).try_flatten();
        let rows = rows.map(move |batch| {
            let batch = batch?;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(UInt64Array::from_value(1, batch.num_rows())));
            metrics.record_output(batch.num_rows());
            Ok(RecordBatch::try_new(Arc::clone(&numbered), columns)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

async fn first_rows(
    mut input: SendableRecordBatchStream,
    mut firsts: Firsts,
    mut sorted: Sorted,
    metrics: BaselineMetrics,
) -> Result<SendableRecordBatchStream> {
    let schema = input.schema();
    while let Some(batch) = input.try_next().await? {
        let _timer = metrics.elapsed_compute().timer();
        let room = sorted.keep_room(&batch);
        match firsts.push(batch).and(room) {
            Err(DataFusionError::ResourcesExhausted(_)) => {
                return sorted.rows(firsts.into_batches(), input);
            }
            other => other?,
        }
    }
    // No sort was needed: release the memory reserved for it.
    drop(sorted);
    let rows = futures::stream::iter(firsts.into_first_rows());
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Position of a row: batch, row in the batch.
type RowPosition = (u32, u32);

/// All batches so far, and the position of the best row of each key.
struct Firsts {
    keys: Vec<usize>,
    order: Vec<usize>,
    converter: Option<RowConverter>,
    table: Box<dyn GroupValues>,
    /// Indexed by the group number that `table` assigned to the key.
    best: Vec<RowPosition>,
    batches: Vec<RecordBatch>,
    /// Bytes of each batch that no earlier batch shares.
    batch_bytes: Vec<usize>,
    /// The order's columns of each batch, in comparable form; empty when the first row to arrive is the best.
    ranks: Vec<Rows>,
    /// Addresses of the buffers counted so far: batches often share them.
    counted: HashSet<usize>,
    /// Bytes of batches and ranks.
    bytes: usize,
    reservation: MemoryReservation,
    scratch: Vec<usize>,
}

impl Firsts {
    fn try_new(
        schema: &Schema,
        keys: &[usize],
        order: &[(usize, SortOptions)],
        reservation: MemoryReservation,
    ) -> Result<Self> {
        let field = |at: usize| schema.field(at);
        let ranks = order.iter().map(|(at, o)| SortField::new_with_options(field(*at).data_type().clone(), *o));
        let converter = if order.is_empty() { None } else { Some(RowConverter::new(ranks.collect())?) };
        Ok(Self {
            keys: keys.to_vec(),
            order: order.iter().map(|(at, _)| *at).collect(),
            converter,
            table: new_group_values(Arc::new(schema.project(keys)?), &GroupOrdering::None)?,
            best: Vec::new(),
            batches: Vec::new(),
            batch_bytes: Vec::new(),
            ranks: Vec::new(),
            counted: HashSet::new(),
            bytes: 0,
            reservation,
            scratch: Vec::new(),
        })
    }

    /// Takes a batch, even if the reservation of memory for it fails: see `into_batches`.
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let columns = |of: &[usize]| of.iter().map(|at| Arc::clone(batch.column(*at))).collect::<Vec<ArrayRef>>();
        let (keys, order) = (columns(&self.keys), columns(&self.order));
        let at = u32::try_from(self.batches.len()).map_err(too_many)?;
        let rows = u32::try_from(batch.num_rows()).map_err(too_many)?;
        let bytes = batch.columns().iter().map(|c| new_bytes(&c.to_data(), &mut self.counted)).sum();
        self.bytes += bytes;
        self.batch_bytes.push(bytes);
        self.batches.push(batch);
        self.reservation.try_resize(self.size())?;

        if let Some(converter) = &self.converter {
            let ranks = converter.convert_columns(&order)?;
            self.bytes += ranks.size();
            self.ranks.push(ranks);
        }
        self.table.intern(&keys, &mut self.scratch)?;
        for (row, key) in (0..rows).zip(&self.scratch) {
            match self.best.get_mut(*key) {
                None => self.best.push((at, row)),
                Some(best) if !self.ranks.is_empty() => {
                    let rank = |(batch, row): RowPosition| self.ranks[batch as usize].row(row as usize);
                    if rank((at, row)) < rank(*best) {
                        *best = (at, row);
                    }
                }
                Some(_) => {}
            }
        }
        self.reservation.try_resize(self.size())
    }

    fn size(&self) -> usize {
        self.bytes + self.table.size() + self.best.capacity() * size_of::<RowPosition>()
    }

    /// All batches taken. The memory of each stays reserved until it is passed on.
    fn into_batches(self) -> impl Iterator<Item = RecordBatch> + Send {
        let Self { batches, batch_bytes, table, ranks, reservation, .. } = self;
        drop((table, ranks));
        // The reservation for the last batch may have failed.
        let bytes: usize = batch_bytes.iter().sum();
        reservation.shrink(reservation.size().saturating_sub(bytes));
        batches.into_iter().zip(batch_bytes).map(move |(batch, bytes)| {
            reservation.shrink(bytes.min(reservation.size()));
            batch
        })
    }

    /// The best rows, in order of arrival.
    fn into_first_rows(self) -> impl Iterator<Item = Result<RecordBatch>> {
        let Self { best, batches, table, ranks, reservation, .. } = self;
        drop((table, ranks));
        let empty = |batch: &RecordBatch| {
            let mut kept = BooleanBufferBuilder::new(batch.num_rows());
            kept.append_n(batch.num_rows(), false);
            kept
        };
        let mut kept: Vec<BooleanBufferBuilder> = batches.iter().map(empty).collect();
        for (batch, row) in best {
            kept[batch as usize].set_bit(row as usize, true);
        }
        batches.into_iter().zip(kept).map(move |(batch, mut kept)| {
            // Held until the last batch is returned.
            let _reservation = &reservation;
            Ok(filter_record_batch(&batch, &BooleanArray::new(kept.finish(), None))?)
        })
    }
}

fn too_many<E>(_: E) -> DataFusionError {
    DataFusionError::Execution("more than 4 billion rows in one partition of a deduplication".to_string())
}

/// Bytes of the buffers of an array that are not in `counted`, which they are added to.
fn new_bytes(data: &ArrayData, counted: &mut HashSet<usize>) -> usize {
    let buffers = data.buffers().iter().chain(data.nulls().map(|n| n.buffer()));
    let own = buffers.filter(|b| counted.insert(b.data_ptr().as_ptr() as usize)).map(|b| b.capacity()).sum::<usize>();
    own + data.child_data().iter().map(|child| new_bytes(child, counted)).sum::<usize>()
}

/// The same result by a sort, which can spill.
struct Sorted {
    /// Memory that the sort needs to start. Released when the sort starts, which reserves it at once.
    room: MemoryReservation,
    /// Bytes that the sort reserves for its merges.
    merge_bytes: usize,
    ordering: Option<LexOrdering>,
    keys: Vec<usize>,
    used: Count,
    partition: usize,
    context: Arc<TaskContext>,
}

impl Sorted {
    /// Reserves memory for the merges of a sort and for sorting the largest batch so far, which takes twice its size.
    fn keep_room(&mut self, batch: &RecordBatch) -> Result<()> {
        let needed = self.merge_bytes + 2 * batch.get_array_memory_size();
        if needed > self.room.size() { self.room.try_resize(needed) } else { Ok(()) }
    }

    fn rows(
        self,
        taken: impl Iterator<Item = RecordBatch> + Send + 'static,
        rest: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream> {
        self.used.add(1);
        tracing::debug!(partition = self.partition, "too little memory for a table of keys; sorting instead");
        let schema = rest.schema();
        let all = futures::stream::iter(taken.map(Ok)).chain(rest);
        let mut plan = once_stream(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), all)))?;
        if let Some(ordering) = self.ordering {
            plan = Arc::new(SortExec::new(ordering, plan));
        }
        self.room.free();
        let sorted = plan.execute(0, self.context)?;
        let fields = self.keys.iter().map(|at| SortField::new(schema.field(*at).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let (keys, mut last) = (self.keys, None::<OwnedRow>);
        let rows = sorted.map(move |batch| {
            let batch = batch?;
            let columns: Vec<ArrayRef> = keys.iter().map(|at| Arc::clone(batch.column(*at))).collect();
            let keys = converter.convert_columns(&columns)?;
            let mut kept = BooleanBufferBuilder::new(batch.num_rows());
            for row in 0..keys.num_rows() {
                let is_new = match (row.checked_sub(1), &last) {
                    (Some(before), _) => keys.row(row) != keys.row(before),
                    (None, Some(last)) => keys.row(row) != last.row(),
                    (None, None) => true,
                };
                kept.append(is_new);
            }
            if let Some(end) = keys.num_rows().checked_sub(1) {
                last = Some(keys.row(end).owned());
            }
            Ok(filter_record_batch(&batch, &BooleanArray::new(kept.finish(), None))?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};

    use super::*;

    /// Otherwise the pool would hand out the memory of batches waiting for the sort a second time.
    #[test]
    fn batches_are_reserved_until_they_are_passed_on() {
        let rows = |n: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..100).map(|i| format!("{i:0200}{n}"))))
        };
        let batches: Vec<RecordBatch> =
            (0..20).map(|n| RecordBatch::try_from_iter([("key", rows(n))]).unwrap()).collect();
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(400_000));
        let reservation = MemoryConsumer::new("test").register(&pool);
        let mut firsts =
            Firsts::try_new(&batches[0].schema(), &[0], &[(0, SortOptions::default())], reservation).unwrap();
        let refused = batches.iter().position(|batch| firsts.push(batch.clone()).is_err()).unwrap();
        assert!((2..20).contains(&refused), "{refused}");
        assert!(pool.reserved() > 200_000);

        let bytes = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        let mut passed = 0;
        for batch in firsts.into_batches() {
            assert_eq!(batch, batches[passed]);
            passed += 1;
            // The refused batch is not in the pool.
            assert!(pool.reserved() <= bytes(&batches[passed..=refused]), "{passed}: {}", pool.reserved());
            assert!(
                pool.reserved() + bytes(&batches[refused..=refused]) >= bytes(&batches[passed..=refused]),
                "{passed}"
            );
        }
        assert_eq!((passed, pool.reserved()), (refused + 1, 0));
    }
}
