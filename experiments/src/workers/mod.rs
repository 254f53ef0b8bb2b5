//! What more executors gain: the same workloads on clusters of several sizes.
//!
//! All clusters run at the same time, and those that are not measured are idle. So the measurements of one workload can
//! be interleaved, in a random order of sizes, and a slow minute of the machine affects all sizes alike.

mod report;
mod statements;
mod workload;

use std::path::Path;
use std::time::Instant;

use arrow::array::RecordBatch;
use bergmill_gateway::Client;

pub use self::report::{WorkersReport, WorkersShare};
use self::statements::Statements;
pub use self::workload::{Timed, Workload, queries as workers_queries};
use crate::cluster::{Cluster, ClusterSettings, Process, Quotas, Usage, count, rows, texts};
use crate::compare::{difference, fingerprint};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::experiment::ExperimentProgress;
use crate::machine::{Load, Machine};
use crate::measurement::{Measurement, WorkersScaling, append, now};
use crate::plain::start_plain;
use crate::random::SplitMix64;
use crate::timeline::Breakdown;

/// The experiment's name in measurements.
pub(crate) const EXPERIMENT: &str = "workers";

/// Options of the experiment.
#[derive(Debug, Clone)]
pub struct WorkersSettings {
    /// Whether the tables of larger clusters have more rows.
    pub scaling: WorkersScaling,
    /// Timed repetitions, after one that warms up and is checked.
    pub repeat: usize,
    /// Seed of the order of measurements, and of the intervals of the fit.
    pub seed: u64,
}

/// A cluster to measure.
#[derive(Debug, Clone)]
pub enum WorkersCluster {
    /// One that is started for the experiment, with this number of workers.
    Started(usize, ClusterSettings),
    /// The one that runs behind the front door at this address.
    Running(String),
}

/// Measures the workloads on each cluster, and adds each measurement to the file in `out`.
///
/// # Errors
/// If a cluster does not start, a statement fails, or two results for the same tables differ: of clusters of two sizes,
/// or of one and plain DataFusion.
pub async fn run_workers(
    settings: &WorkersSettings,
    clusters: &[WorkersCluster],
    workloads: &[Workload],
    out: &Path,
    progress: &dyn ExperimentProgress,
) -> Result<WorkersReport> {
    check_sizes(clusters)?;
    let quotas = Quotas::open();
    let mut sizes = Vec::new();
    for cluster in clusters {
        sizes.push(Size::start(cluster, quotas.as_ref().ok(), progress).await?);
    }
    let share = match clusters.first() {
        Some(WorkersCluster::Running(_)) => WorkersShare::Running { vcores: sizes[0].cluster.vcores() },
        _ => quotas.as_ref().map_or_else(
            |reason| WorkersShare::None(reason.to_string()),
            |quotas| WorkersShare::Equal(quotas.name().to_string()),
        ),
    };
    let mut experiment = Experiment { sizes, settings, machine: Machine::here(), references: Vec::new() };
    experiment.warm_up(workloads, progress).await?;
    let mut random = SplitMix64(settings.seed);
    let mut measurements = Vec::new();
    for repetition in 1..=settings.repeat.max(1) {
        for (n, workload) in workloads.iter().enumerate() {
            let mut order: Vec<usize> = (0..experiment.sizes.len()).collect();
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
    Ok(WorkersReport::new(measurements, share, settings.seed))
}

fn check_sizes(clusters: &[WorkersCluster]) -> Result<()> {
    let sizes = clusters.iter().map(|cluster| match cluster {
        WorkersCluster::Started(workers, _) => Some(*workers),
        WorkersCluster::Running(_) => None,
    });
    let sizes: Vec<_> = sizes.collect();
    if sizes.is_empty() || sizes.contains(&Some(0)) {
        return Err(Error::Setting("give numbers of workers from 1, for example 1,2,4,8".to_string()));
    }
    if sizes.len() > 1 && sizes.contains(&None) {
        return Err(Error::Setting("a running cluster is measured alone".to_string()));
    }
    let twice = sizes.iter().enumerate().find(|(n, size)| sizes[..*n].contains(size));
    match twice {
        Some((_, Some(workers))) => Err(Error::Setting(format!("{workers} workers are named twice"))),
        _ => Ok(()),
    }
}

/// A cluster, and what its measurements are compared with.
struct Size {
    cluster: Cluster,
    /// How it was started; none of a running one.
    settings: Option<ClusterSettings>,
    /// Plain DataFusion with the CPU of its workers; none beside a running one, about whose CPU nothing is known.
    plain: Option<Engine>,
    share_cores: Option<f64>,
    input_rows: u64,
}

impl Size {
    async fn start(
        cluster: &WorkersCluster,
        quotas: Option<&Quotas>,
        progress: &dyn ExperimentProgress,
    ) -> Result<Self> {
        let (cluster, settings, plain) = match cluster {
            WorkersCluster::Started(workers, settings) => {
                progress.step(&format!("start a cluster of {workers} workers, and plain DataFusion with their CPU"));
                let cluster = Cluster::start(settings, *workers, quotas).await?;
                let cores = settings.share * *workers as f64;
                let share =
                    quotas.map(|quotas| quotas.share(&format!("{workers}-workers-plain"), cores)).transpose()?;
                let plain = start_plain(settings, cluster.door(), *workers, share)?;
                (cluster, Some(settings.clone()), Some(plain))
            }
            WorkersCluster::Running(door) => (Cluster::connect(door).await?, None, None),
        };
        let events = count(cluster.client(), "SELECT count(*) FROM raw.shopping_events").await?;
        let share_cores = settings.as_ref().filter(|_| quotas.is_some()).map(|settings| settings.share);
        Ok(Self { cluster, settings, plain, share_cores, input_rows: u64::try_from(events).unwrap_or_default() })
    }
}

struct Experiment<'a> {
    sizes: Vec<Size>,
    settings: &'a WorkersSettings,
    machine: Machine,
    /// The result of each workload, for each of the sizes.
    references: Vec<Vec<Vec<RecordBatch>>>,
}

impl Experiment<'_> {
    /// Runs each workload once on each cluster, and compares the results with those of another cluster over the same
    /// tables: the first one, or with weak scaling one with a single worker.
    async fn warm_up(&mut self, workloads: &[Workload], progress: &dyn ExperimentProgress) -> Result<()> {
        for n in 0..self.sizes.len() {
            let expected = self.expected(n, workloads, progress).await?;
            let size = &mut self.sizes[n];
            let mut results = Vec::with_capacity(workloads.len());
            for (n, workload) in workloads.iter().enumerate() {
                progress.step(&format!("check {} on {} workers", workload.name, size.cluster.workers()));
                let result = run_once(workload, size.cluster.client()).await?;
                if let Some(expected) = &expected {
                    check(workload, &expected[n], &result)?;
                }
                if let (Timed::Query(sql), Some(plain)) = (&workload.timed, &mut size.plain) {
                    check(workload, &result, &plain.run(sql).map_err(|e| in_plain(workload, &e))?.rows)?;
                }
                results.push(result);
            }
            self.references.push(results);
        }
        Ok(())
    }

    /// The results that a size should have; `None` if there is nothing to compare with.
    async fn expected(
        &self,
        n: usize,
        workloads: &[Workload],
        progress: &dyn ExperimentProgress,
    ) -> Result<Option<Vec<Vec<RecordBatch>>>> {
        let size = &self.sizes[n];
        match (self.settings.scaling, &size.settings) {
            (WorkersScaling::Strong, _) => Ok(self.references.first().cloned()),
            (WorkersScaling::Weak, Some(settings)) if size.cluster.workers() > 1 => {
                progress.step(&format!("one worker over the tables of {}", size.cluster.workers()));
                let one = Cluster::start(settings, 1, None).await?;
                let mut results = Vec::with_capacity(workloads.len());
                for workload in workloads {
                    results.push(run_once(workload, one.client()).await?);
                }
                Ok(Some(results))
            }
            (WorkersScaling::Weak, _) => Ok(None),
        }
    }

    /// A repetition of a query on plain DataFusion; none of a job, which writes tables.
    fn measure_plain(
        &mut self,
        workload: &Workload,
        n: usize,
        size: usize,
        repetition: usize,
    ) -> Result<Option<Measurement>> {
        let reference = &self.references[size][n];
        let size = &mut self.sizes[size];
        let (Timed::Query(sql), Some(plain)) = (&workload.timed, &mut size.plain) else { return Ok(None) };
        plain.process.forget_peak();
        let (before, started_at, load) = (plain.process.usage(), now(), Load::begin());
        let run = plain.run(sql).map_err(|e| in_plain(workload, &e))?;
        let after = plain.process.usage();
        let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
        let other_cores = load.other_cores(cpu_seconds);
        check(workload, reference, &run.rows)?;
        Ok(Some(Measurement {
            experiment: EXPERIMENT.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            machine: self.machine.clone(),
            started_at,
            seed: self.settings.seed,
            scaling: self.settings.scaling,
            workload: workload.name.clone(),
            engine: "datafusion".to_string(),
            workers: size.cluster.workers(),
            share_cores: size.share_cores,
            repetition,
            input_rows: size.input_rows,
            wall_seconds: run.seconds,
            scheduler_cpu_seconds: None,
            executor_cpu_seconds: vec![cpu_seconds],
            peak_rss: vec![0, after.peak_rss],
            throttled_periods: vec![after.throttled - before.throttled],
            scanned_bytes: 0,
            shuffle_read_bytes: 0,
            shuffle_write_bytes: 0,
            spilled_bytes: 0,
            breakdown: Breakdown { compute: run.seconds, ..Breakdown::default() },
            skew: None,
            result_rows: run.rows.iter().map(|batch| batch.num_rows() as u64).sum(),
            result_hash: fingerprint(&run.rows).map_err(|e| differs(workload, e.to_string()))?,
            other_cores,
        }))
    }

    async fn measure(&self, workload: &Workload, n: usize, size: usize, repetition: usize) -> Result<Measurement> {
        let reference = &self.references[size][n];
        let Size { cluster, share_cores, input_rows, .. } = &self.sizes[size];
        let client = cluster.client();
        let since = texts(client, "SELECT CAST(now() AS TEXT)").await?.concat();
        cluster.processes().iter().for_each(Process::forget_peak);
        let usage = || cluster.processes().iter().map(Process::usage).collect::<Vec<_>>();
        let all_seconds = || -> f64 {
            let processes = self.sizes.iter().flat_map(|size| size.cluster.processes());
            processes.map(|process| process.usage().cpu_seconds).sum()
        };
        let started_at = now();
        let (before, all_before) = (usage(), all_seconds());
        let (load, began) = (Load::begin(), Instant::now());
        let rows = run(workload, client).await?;
        let wall_seconds = began.elapsed().as_secs_f64();
        let (after, other_cores) = (usage(), load.other_cores(all_seconds() - all_before));
        let rows = result(workload, client, rows).await?;
        check(workload, reference, &rows)?;

        let statements = Statements::read(client, &since, workload.timed.statements()).await?;
        let mut breakdown = Breakdown::default();
        for timeline in &statements.timelines {
            breakdown += Breakdown::of(timeline, cluster.vcores());
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
            scaling: self.settings.scaling,
            workload: workload.name.clone(),
            engine: "bergmill".to_string(),
            workers: cluster.workers(),
            share_cores: *share_cores,
            repetition,
            input_rows: *input_rows,
            wall_seconds,
            scheduler_cpu_seconds: changes().next().map(cpu),
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
            // Without processes of ours, all load of this machine would count as that of others.
            other_cores: other_cores.filter(|_| !before.is_empty()),
        })
    }
}

fn in_plain(workload: &Workload, e: &Error) -> Error {
    Error::Engine(format!("{}, in plain DataFusion: {e}", workload.name))
}

/// Makes a workload possible, runs it, and returns its result.
async fn run_once(workload: &Workload, client: &Client) -> Result<Vec<RecordBatch>> {
    for statement in &workload.setup {
        update(client, workload, statement).await?;
    }
    let returned = run(workload, client).await?;
    result(workload, client, returned).await
}

async fn update(client: &Client, workload: &Workload, statement: &str) -> Result<()> {
    let failed = |source| Error::Cluster { what: workload.name.clone(), source };
    client.update(statement, None).await.map(drop).map_err(failed)
}

/// Runs what is timed, and returns the rows of a query.
async fn run(workload: &Workload, client: &Client) -> Result<Vec<RecordBatch>> {
    if let Timed::Query(sql) = &workload.timed {
        return rows(client, &workload.name, sql).await;
    }
    for statement in workload.timed.statements() {
        update(client, workload, statement).await?;
    }
    Ok(Vec::new())
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
