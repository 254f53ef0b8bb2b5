//! What another sort order of a table gains: the same queries of the same events in several orders.
//!
//! The measurements of all orders and queries are interleaved, in a random order, so that a slow minute of the machine
//! affects all alike. What is skipped does not depend on the machine.

mod layout;
mod measurement;
mod query;
mod report;

use std::path::Path;
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

pub use self::layout::PartSizes;
use self::layout::{Layout, layouts, metadata_table};
pub use self::measurement::{SortOrderMeasurement, TableSize};
use self::query::{Query, queries};
pub use self::report::SortOrderReport;
use crate::cluster::{Cluster, ClusterSettings, Process, rows};
use crate::compare::{difference, fingerprint};
use crate::error::{Error, Result};
use crate::experiment::ExperimentProgress;
use crate::machine::{Load, Machine};
use crate::measurement::{append, now};
use crate::random::SplitMix64;

/// The experiment's name in measurements.
pub(crate) const EXPERIMENT: &str = "sort-order";

/// Options of the experiment.
#[derive(Debug, Clone)]
pub struct SortOrderSettings {
    /// Timed repetitions, after one that warms up and is checked.
    pub repeat: usize,
    /// Seed of the order of measurements.
    pub seed: u64,
    /// Sizes of the tables' files and their parts.
    pub sizes: PartSizes,
}

/// Writes the events of the cluster's shop in all orders, measures the queries, and adds each measurement to the file
/// in `out`.
///
/// # Errors
/// If the cluster does not start, a statement fails, or the results of two tables differ.
pub async fn run_sort_order(
    settings: &SortOrderSettings,
    cluster: &ClusterSettings,
    out: &Path,
    progress: &dyn ExperimentProgress,
) -> Result<SortOrderReport> {
    progress.step("start a cluster of one worker");
    let cluster = Cluster::start(cluster, 1, None).await?;
    let client = cluster.client();
    let layouts = layouts(client, settings.sizes).await?;
    let queries = queries(client).await?;
    let seconds = layout::write(client, &layouts, |what| progress.step(what)).await?;
    let mut tables = Vec::new();
    for (layout, seconds) in layouts.iter().zip(seconds) {
        tables.push(table_size(&cluster, layout, seconds).await?);
    }
    let storage = layout::storage(client, layouts[0].table).await?;
    let mut experiment = Experiment {
        cluster,
        settings,
        machine: Machine::here(),
        storage,
        layouts,
        tables,
        queries,
        references: Vec::new(),
    };
    experiment.warm_up(progress).await?;
    let mut order: Vec<(usize, usize)> = (0..experiment.queries.len())
        .flat_map(|query| (0..experiment.layouts.len()).map(move |layout| (query, layout)))
        .collect();
    let mut random = SplitMix64(settings.seed);
    let mut measurements = Vec::new();
    for repetition in 1..=settings.repeat.max(1) {
        random.shuffle(&mut order);
        for (query, layout) in &order {
            let measurement = experiment.measure(*query, *layout, repetition).await?;
            append(out, &measurement)?;
            progress.measured(&measurement);
            measurements.push(measurement);
        }
    }
    Ok(SortOrderReport::new(measurements))
}

struct Experiment<'a> {
    cluster: Cluster,
    settings: &'a SortOrderSettings,
    machine: Machine,
    storage: String,
    layouts: Vec<Layout>,
    /// For each of the layouts.
    tables: Vec<TableSize>,
    queries: Vec<Query>,
    /// The result of each query.
    references: Vec<Vec<RecordBatch>>,
}

impl Experiment<'_> {
    /// Runs each query once on each table, and compares the results.
    async fn warm_up(&mut self, progress: &dyn ExperimentProgress) -> Result<()> {
        for query in &self.queries {
            progress.step(&format!("check {}", query.name));
            let mut reference: Option<Vec<RecordBatch>> = None;
            for layout in &self.layouts {
                let result = rows(self.cluster.client(), query.name, &query.sql(layout.table)).await?;
                match &reference {
                    None => reference = Some(result),
                    Some(reference) => check(query, layout, reference, &result)?,
                }
            }
            self.references.extend(reference);
        }
        Ok(())
    }

    async fn measure(&self, query: usize, layout: usize, repetition: usize) -> Result<SortOrderMeasurement> {
        let (reference, table) = (&self.references[query], self.tables[layout]);
        let (query, layout) = (&self.queries[query], &self.layouts[layout]);
        let (client, sql) = (self.cluster.client(), query.sql(layout.table));
        let cpu = || self.cluster.processes().iter().map(Process::usage).map(|usage| usage.cpu_seconds).sum::<f64>();
        let (started_at, cpu_before, load) = (now(), cpu(), Load::begin());
        let began = Instant::now();
        let result = rows(client, query.name, &sql).await?;
        let wall_seconds = began.elapsed().as_secs_f64();
        let cpu_seconds = cpu() - cpu_before;
        let other_cores = load.other_cores(cpu_seconds);
        check(query, layout, reference, &result)?;
        let skipped = Skipped::by_last_query(&self.cluster).await?;
        Ok(SortOrderMeasurement {
            experiment: EXPERIMENT.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            machine: self.machine.clone(),
            started_at,
            seed: self.settings.seed,
            storage: self.storage.clone(),
            layout: layout.name.to_string(),
            table,
            query: query.name.to_string(),
            sql,
            repetition,
            execution: skipped.execution,
            wall_seconds,
            cpu_seconds,
            files_pruned: skipped.files_pruned,
            row_groups: skipped.row_groups,
            row_groups_pruned: skipped.row_groups_pruned,
            page_rows: skipped.page_rows,
            page_rows_pruned: skipped.page_rows_pruned,
            scanned_bytes: skipped.scanned_bytes,
            result_hash: fingerprint(&result).map_err(|e| differs(query, layout, e.to_string()))?,
            other_cores,
        })
    }
}

fn check(query: &Query, layout: &Layout, reference: &[RecordBatch], result: &[RecordBatch]) -> Result<()> {
    match difference(reference, result) {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(differs(query, layout, what)),
        Err(e) => Err(differs(query, layout, e.to_string())),
    }
}

fn differs(query: &Query, layout: &Layout, difference: String) -> Error {
    Error::LayoutsDiffer { query: query.name.to_string(), layout: layout.name.to_string(), difference }
}

async fn table_size(cluster: &Cluster, layout: &Layout, write_seconds: f64) -> Result<TableSize> {
    let sql = format!(
        "SELECT CAST(sum(record_count) AS BIGINT), count(*), CAST(sum(cardinality(split_offsets)) AS BIGINT),
            CAST(sum(file_size_in_bytes) AS BIGINT) FROM {}",
        metadata_table(layout.table, "files")
    );
    let [rows, files, row_groups, bytes] = numbers(&rows(cluster.client(), &sql, &sql).await?, &sql)?;
    Ok(TableSize { rows, files, row_groups, bytes, write_seconds })
}

/// What `system.queries` has of a query.
struct Skipped {
    execution: String,
    files_pruned: u64,
    row_groups: u64,
    row_groups_pruned: u64,
    page_rows: u64,
    page_rows_pruned: u64,
    scanned_bytes: u64,
}

impl Skipped {
    /// Of the cluster's last query, apart from those of its own tables.
    async fn by_last_query(cluster: &Cluster) -> Result<Self> {
        const SQL: &str =
            "SELECT files_pruned, row_groups, row_groups_pruned, page_rows, page_rows_pruned, scanned_bytes,
                execution
            FROM system.queries WHERE statement NOT LIKE '%system.queries%' ORDER BY submitted_at DESC LIMIT 1";
        let found = rows(cluster.client(), "system.queries", SQL).await?;
        let [files_pruned, row_groups, row_groups_pruned, page_rows, page_rows_pruned, scanned_bytes] =
            numbers(&found, SQL)?;
        let execution = found.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| {
            let column = batch.column(6).as_string_opt::<i32>()?;
            Some(column.value(0).to_string())
        });
        let execution = execution.ok_or_else(|| Error::NoData(format!("{SQL}: no execution")))?;
        Ok(Self { execution, files_pruned, row_groups, row_groups_pruned, page_rows, page_rows_pruned, scanned_bytes })
    }
}

/// The first `N` columns of the first row, with 0 for NULL.
fn numbers<const N: usize>(batches: &[RecordBatch], sql: &str) -> Result<[u64; N]> {
    let missing = || Error::NoData(format!("{sql}: no numbers"));
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).ok_or_else(missing)?;
    let mut numbers = [0; N];
    for (number, column) in numbers.iter_mut().zip(batch.columns()) {
        let column = column.as_primitive_opt::<Int64Type>().ok_or_else(missing)?;
        *number = column.iter().next().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    }
    Ok(numbers)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::tests::machine;

    pub(crate) fn measurement(
        query: &str,
        layout: &str,
        repetition: usize,
        wall_seconds: f64,
        scanned_bytes: u64,
    ) -> SortOrderMeasurement {
        SortOrderMeasurement {
            experiment: EXPERIMENT.to_string(),
            version: "0.0.0".to_string(),
            machine: machine(),
            started_at: 1_790_000_000,
            seed: 42,
            storage: "file".to_string(),
            layout: layout.to_string(),
            table: TableSize { rows: 1_000_000, files: 4, row_groups: 16, bytes: 300 << 20, write_seconds: 9.0 },
            query: query.to_string(),
            sql: "SELECT 1".to_string(),
            repetition,
            execution: "whole".to_string(),
            wall_seconds,
            cpu_seconds: wall_seconds,
            files_pruned: 1,
            row_groups: 12,
            row_groups_pruned: 2,
            page_rows: 20_000,
            page_rows_pruned: 15_000,
            scanned_bytes,
            result_hash: "00ff".to_string(),
            other_cores: Some(0.0),
        }
    }
}
