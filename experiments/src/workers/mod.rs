//! What more executors gain: the same workloads on clusters of several sizes.
//!
//! All clusters run at the same time, and those that are not measured are idle. So the measurements of one workload can
//! be interleaved, in a random order of sizes, and a slow minute of the machine affects all sizes alike.

mod plain;
mod report;
mod workload;

use std::path::Path;
use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use bergmill_gateway::Client;

use self::plain::PlainDataFusion;
pub use self::plain::serve_plain_datafusion;
pub use self::report::WorkersReport;
pub use self::workload::{Timed, Workload, queries as workers_queries};
use crate::cluster::{Cluster, ClusterSettings, Process, Quotas, Usage, count, rows, texts};
use crate::compare::{difference, fingerprint};
use crate::error::{Error, Result};
use crate::machine::{Load, Machine};
use crate::measurement::{ExperimentProgress, Measurement, append, now};
use crate::random::SplitMix64;
use crate::timeline::{Breakdown, Task, Timeline, skew};

/// The experiment's name in measurements.
pub(crate) const EXPERIMENT: &str = "workers";

/// Options of the experiment.
#[derive(Debug, Clone)]
pub struct WorkersSettings {
    /// Numbers of executors.
    pub workers: Vec<usize>,
    /// Timed repetitions, after one that warms up and is checked.
    pub repeat: usize,
    /// Seed of the order of measurements, and of the intervals of the fit.
    pub seed: u64,
}

/// Measures the workloads on a cluster of each size, and adds each measurement to the file in `out`.
///
/// # Errors
/// If a cluster does not start, a statement fails, or the results of two sizes or of plain DataFusion differ.
pub async fn run_workers(
    settings: &WorkersSettings,
    cluster: &ClusterSettings,
    workloads: &[Workload],
    out: &Path,
    progress: &dyn ExperimentProgress<Measurement>,
) -> Result<WorkersReport> {
    if settings.workers.is_empty() || settings.workers.contains(&0) {
        return Err(Error::Setting("give numbers of workers from 1, for example 1,2,4,8".to_string()));
    }
    if let Some(twice) = settings.workers.iter().enumerate().find(|(n, w)| settings.workers[..*n].contains(w)) {
        return Err(Error::Setting(format!("{} workers are named twice", twice.1)));
    }
    let quotas = Quotas::open();
    let mut clusters = Vec::new();
    for workers in &settings.workers {
        progress.step(&format!("start a cluster of {workers} workers"));
        clusters.push(Cluster::start(cluster, *workers, quotas.as_ref().ok()).await?);
    }
    let Some(first) = clusters.first() else { return Err(Error::NoData("no cluster".to_string())) };
    progress.step("start plain DataFusion");
    let start_plain = |workers: &usize| PlainDataFusion::start(cluster, first.door(), *workers, quotas.as_ref().ok());
    let plain = settings.workers.iter().map(start_plain).collect::<Result<Vec<_>>>()?;
    let events = count(first.client(), "SELECT count(*) FROM raw.shopping_events").await?;
    let mut experiment = Experiment {
        share_cores: quotas.is_ok().then_some(cluster.share),
        input_rows: u64::try_from(events).unwrap_or_default(),
        clusters,
        plain,
        settings,
        machine: Machine::here(),
        references: Vec::new(),
    };
    experiment.warm_up(workloads, progress).await?;
    let mut random = SplitMix64(settings.seed);
    let mut measurements = Vec::new();
    for repetition in 1..=settings.repeat.max(1) {
        for (workload, n) in workloads.iter().zip(0..) {
            let mut order: Vec<usize> = (0..experiment.clusters.len()).collect();
            random.shuffle(&mut order);
            for size in order {
                let measured = experiment.measure(workload, n, size, repetition).await?;
                for measurement in
                    std::iter::once(measured).chain(experiment.measure_plain(workload, n, size, repetition)?)
                {
                    append(out, &measurement)?;
                    progress.measured(&measurement);
                    measurements.push(measurement);
                }
            }
        }
    }
    drop(experiment);
    let quotas = quotas.as_ref().map(Quotas::name).map_err(ToString::to_string);
    Ok(WorkersReport::new(measurements, quotas.map(ToString::to_string), settings.seed))
}

struct Experiment<'a> {
    clusters: Vec<Cluster>,
    /// For each of the clusters.
    plain: Vec<PlainDataFusion>,
    settings: &'a WorkersSettings,
    share_cores: Option<f64>,
    input_rows: u64,
    machine: Machine,
    /// The result of each workload.
    references: Vec<Vec<RecordBatch>>,
}

impl Experiment<'_> {
    /// Runs each workload once on each cluster, and compares the results.
    async fn warm_up(&mut self, workloads: &[Workload], progress: &dyn ExperimentProgress<Measurement>) -> Result<()> {
        for workload in workloads {
            for statement in &workload.setup {
                let failed = |source| Error::Cluster { what: workload.name.clone(), source };
                self.clusters[0].client().update(statement, None).await.map_err(failed)?;
            }
            let mut reference: Option<Vec<RecordBatch>> = None;
            for cluster in &self.clusters {
                progress.step(&format!("check {} on {} workers", workload.name, cluster.processes().count() - 1));
                let result = result(workload, cluster.client(), run(workload, cluster.client()).await?).await?;
                match &reference {
                    None => reference = Some(result),
                    Some(reference) => check(workload, reference, &result)?,
                }
            }
            self.references.extend(reference);
            if let Timed::Query(sql) = &workload.timed {
                progress.step(&format!("check {} on plain DataFusion", workload.name));
                let reference = self.fingerprint(workload, self.references.len() - 1)?;
                for plain in &mut self.plain {
                    check_plain(workload, &reference, &plain.run(&workload.name, sql)?.hash)?;
                }
            }
        }
        Ok(())
    }

    fn fingerprint(&self, workload: &Workload, n: usize) -> Result<String> {
        fingerprint(&self.references[n]).map_err(|e| differs(workload, e.to_string()))
    }

    /// A repetition of a query on plain DataFusion; none of a job, which writes tables.
    fn measure_plain(
        &mut self,
        workload: &Workload,
        n: usize,
        size: usize,
        repetition: usize,
    ) -> Result<Option<Measurement>> {
        let Timed::Query(sql) = &workload.timed else { return Ok(None) };
        let reference = self.fingerprint(workload, n)?;
        let plain = &mut self.plain[size];
        plain.process.forget_peak();
        let (before, started_at, load) = (plain.process.usage(), now(), Load::begin());
        let run = plain.run(&workload.name, sql)?;
        let after = plain.process.usage();
        check_plain(workload, &reference, &run.hash)?;
        let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
        Ok(Some(Measurement {
            experiment: EXPERIMENT.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            machine: self.machine.clone(),
            started_at,
            seed: self.settings.seed,
            workload: workload.name.clone(),
            engine: "datafusion".to_string(),
            workers: plain.workers,
            share_cores: self.share_cores,
            repetition,
            input_rows: self.input_rows,
            wall_seconds: run.seconds,
            scheduler_cpu_seconds: 0.0,
            executor_cpu_seconds: vec![cpu_seconds],
            peak_rss: vec![0, after.peak_rss],
            throttled_periods: vec![after.throttled - before.throttled],
            scanned_bytes: 0,
            shuffle_read_bytes: 0,
            shuffle_write_bytes: 0,
            spilled_bytes: 0,
            breakdown: Breakdown { compute: run.seconds, ..Breakdown::default() },
            skew: None,
            result_rows: run.rows,
            result_hash: run.hash,
            other_cores: load.other_cores(cpu_seconds),
        }))
    }

    async fn measure(&self, workload: &Workload, n: usize, cluster: usize, repetition: usize) -> Result<Measurement> {
        let cluster = &self.clusters[cluster];
        let client = cluster.client();
        let since = texts(client, "SELECT CAST(now() AS TEXT)").await?.concat();
        cluster.processes().for_each(Process::forget_peak);
        let usage = || cluster.processes().map(Process::usage).collect::<Vec<_>>();
        let all_seconds = || -> f64 {
            let processes = self.clusters.iter().flat_map(Cluster::processes);
            processes.map(|process| process.usage().cpu_seconds).sum()
        };
        let started_at = now();
        let (before, all_before) = (usage(), all_seconds());
        let (load, began) = (Load::begin(), Instant::now());
        let rows = run(workload, client).await?;
        let wall_seconds = began.elapsed().as_secs_f64();
        let (after, other_cores) = (usage(), load.other_cores(all_seconds() - all_before));
        let rows = result(workload, client, rows).await?;
        check(workload, &self.references[n], &rows)?;

        let workers = after.len() - 1;
        let statements = statements(client, &since).await?;
        let mut breakdown = Breakdown::default();
        for timeline in &statements.timelines {
            breakdown += Breakdown::of(timeline, workers);
        }
        let breakdown = breakdown.seen_by_client(wall_seconds);
        let changes = || before.iter().zip(&after);
        let cpu = |(before, after): (&Usage, &Usage)| after.cpu_seconds - before.cpu_seconds;
        Ok(Measurement {
            experiment: EXPERIMENT.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            machine: self.machine.clone(),
            started_at,
            seed: self.settings.seed,
            workload: workload.name.clone(),
            engine: "bergmill".to_string(),
            workers,
            share_cores: self.share_cores,
            repetition,
            input_rows: self.input_rows,
            wall_seconds,
            scheduler_cpu_seconds: changes().take(1).map(cpu).sum(),
            executor_cpu_seconds: changes().skip(1).map(cpu).collect(),
            peak_rss: after.iter().map(|usage| usage.peak_rss).collect(),
            throttled_periods: changes().skip(1).map(|(before, after)| after.throttled - before.throttled).collect(),
            scanned_bytes: statements.scanned_bytes,
            shuffle_read_bytes: statements.shuffle_read_bytes,
            shuffle_write_bytes: statements.shuffle_write_bytes,
            spilled_bytes: statements.spilled_bytes,
            breakdown,
            skew: statements.skew,
            result_rows: rows.iter().map(|batch| batch.num_rows() as u64).sum(),
            result_hash: fingerprint(&rows).map_err(|e| differs(workload, e.to_string()))?,
            other_cores,
        })
    }
}

fn check_plain(workload: &Workload, reference: &str, hash: &str) -> Result<()> {
    if hash == reference {
        return Ok(());
    }
    Err(differs(workload, "plain DataFusion has other rows".to_string()))
}

/// Runs what is timed, and returns the rows of a query.
async fn run(workload: &Workload, client: &Client) -> Result<Vec<RecordBatch>> {
    match &workload.timed {
        Timed::Query(sql) => rows(client, &workload.name, sql).await,
        Timed::Job { statements, .. } => {
            for statement in statements {
                let failed = |source| Error::Cluster { what: workload.name.clone(), source };
                client.update(statement, None).await.map_err(failed)?;
            }
            Ok(Vec::new())
        }
    }
}

/// The result of a workload that `returned` these rows: they, or the rows of all tables that it has written.
async fn result(workload: &Workload, client: &Client, returned: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let Timed::Job { written, .. } = &workload.timed else { return Ok(returned) };
    let mut all = Vec::new();
    for sql in written {
        all.extend(rows(client, &workload.name, sql).await?);
    }
    Ok(all)
}

fn check(workload: &Workload, reference: &[RecordBatch], rows: &[RecordBatch]) -> Result<()> {
    match difference(reference, rows) {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(differs(workload, what)),
        Err(e) => Err(differs(workload, e.to_string())),
    }
}

fn differs(workload: &Workload, difference: String) -> Error {
    Error::WorkersDiffer { workload: workload.name.clone(), difference }
}

/// What the scheduler knows of the statements of a repetition.
#[derive(Debug, Default)]
struct Statements {
    timelines: Vec<Timeline>,
    scanned_bytes: u64,
    shuffle_read_bytes: u64,
    shuffle_write_bytes: u64,
    spilled_bytes: u64,
    skew: Option<f64>,
}

/// Reads `system.queries` and the tables beside it for statements submitted after `since`.
async fn statements(client: &Client, since: &str) -> Result<Statements> {
    let ours = format!("submitted_at > CAST('{since}' AS TIMESTAMPTZ) AND statement NOT LIKE '%system.%'");
    let sql = format!(
        "SELECT query_id, date_part('epoch', submitted_at) AS submitted, date_part('epoch', ended_at) AS ended,
            COALESCE(scanned, 0), COALESCE(read_bytes, 0), COALESCE(written, 0), COALESCE(spilled, 0),
            COALESCE(read_seconds, 0), COALESCE(write_seconds, 0)
         FROM system.queries LEFT JOIN (
            SELECT query_id AS id, CAST(sum(scanned_bytes) AS BIGINT) AS scanned,
                CAST(sum(shuffle_read_bytes) AS BIGINT) AS read_bytes,
                CAST(sum(shuffle_write_bytes) AS BIGINT) AS written, CAST(sum(spilled_bytes) AS BIGINT) AS spilled,
                sum(shuffle_read_seconds) AS read_seconds, sum(shuffle_write_seconds) AS write_seconds
            FROM system.stages GROUP BY 1
         ) ON id = query_id WHERE {ours} AND ended_at IS NOT NULL"
    );
    let tasks = "SELECT query_id, stage_id, date_part('epoch', started_at), date_part('epoch', ended_at), partitions
         FROM system.tasks WHERE started_at IS NOT NULL AND ended_at IS NOT NULL";
    let (queries, tasks) = (rows(client, "system.queries", &sql).await?, rows(client, "system.tasks", tasks).await?);
    let mut found = Statements::default();
    for batch in &queries {
        let id = |row: usize| batch.column(0).as_string::<i32>().value(row).to_string();
        let number = |column: usize, row: usize| batch.column(column).as_primitive::<Float64Type>().value(row);
        let bytes = |column: usize, row: usize| {
            u64::try_from(batch.column(column).as_primitive::<Int64Type>().value(row)).unwrap_or_default()
        };
        for row in 0..batch.num_rows() {
            let stages = stages(&tasks, &id(row));
            found.skew = found.skew.into_iter().chain(stages.values().filter_map(|s| skew(s))).reduce(f64::max);
            found.timelines.push(Timeline {
                submitted: number(1, row),
                ended: number(2, row),
                tasks: stages.into_values().flatten().collect(),
                shuffle_read: number(7, row),
                shuffle_write: number(8, row),
            });
            found.scanned_bytes += bytes(3, row);
            found.shuffle_read_bytes += bytes(4, row);
            found.shuffle_write_bytes += bytes(5, row);
            found.spilled_bytes += bytes(6, row);
        }
    }
    Ok(found)
}

/// The tasks of a query, by stage.
fn stages(tasks: &[RecordBatch], query: &str) -> std::collections::BTreeMap<i32, Vec<Task>> {
    let mut stages = std::collections::BTreeMap::<i32, Vec<Task>>::new();
    for batch in tasks {
        let ids = batch.column(0).as_string::<i32>();
        let stage = batch.column(1).as_primitive::<Int32Type>();
        let (began, ended) =
            (batch.column(2).as_primitive::<Float64Type>(), batch.column(3).as_primitive::<Float64Type>());
        let width = batch.column(4).as_primitive::<Int32Type>();
        for row in (0..ids.len()).filter(|row| ids.value(*row) == query) {
            let width = usize::try_from(width.value(row)).unwrap_or(1);
            let task = Task { began: began.value(row), ended: ended.value(row), width };
            stages.entry(stage.value(row)).or_default().push(task);
        }
    }
    stages
}
