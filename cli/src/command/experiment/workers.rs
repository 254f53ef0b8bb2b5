//! `bergmill experiment workers`.

use anyhow::{Context, Result, bail};
use bergmill_experiments::{
    ClusterSettings, Timed, WorkersCluster, WorkersScaling, WorkersSettings, Workload, run_workers, workers_queries,
};
use bergmill_gateway::Client;
use bergmill_jobs::{Interval, RenderedOutput, RenderedStep, shipped_named};
use chrono::{NaiveDate, Utc};

use super::shop::{ShopFolder, last_day};
use super::{Lines, Out, cores};
use crate::settings::WorkersOptions;

/// Steps of the pipeline `daily_analytics` that are measured as jobs, and how reports name them.
const JOBS: [(&str, &str); 3] = [
    ("aggregate_daily_sales", "daily-aggregation"),
    ("analyze_reviews", "review-analysis"),
    ("check_data_quality", "data-quality"),
];

/// Measures clusters of several sizes, or the one that runs.
pub(super) async fn run(settings: WorkersOptions, shop: ShopFolder) -> Result<()> {
    let scaling: WorkersScaling = settings.scaling.as_deref().unwrap_or("strong").parse()?;
    let out = Out::create(settings.out.clone(), "experiment-workers")?;
    let (clusters, day) = match &settings.connect {
        Some(door) => {
            chooses_nothing_of_the_cluster(&settings, scaling)?;
            let day =
                last_day(&Client::connect(door).await?).await.with_context(|| format!("the cluster at {door}"))?;
            (vec![WorkersCluster::Running(door.clone())], day)
        }
        None => make_clusters(&settings, scaling, &shop, &out).await?,
    };
    let mut workloads = workers_queries();
    workloads.extend(jobs(day)?);
    if let Some(wanted) = &settings.workloads {
        let known: Vec<_> = workloads.iter().map(|w| w.name.clone()).collect();
        if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
            bail!("there is no workload {unknown}; choose from {}", known.join(", "));
        }
        workloads.retain(|w| wanted.contains(&w.name));
    }
    let options = WorkersSettings { scaling, repeat: settings.repeat.unwrap_or(5), seed: settings.seed.unwrap_or(42) };
    out.finish(&run_workers(&options, &clusters, &workloads, &out.folder, &Lines).await?)
}

fn chooses_nothing_of_the_cluster(settings: &WorkersOptions, scaling: WorkersScaling) -> Result<()> {
    let chosen = [
        (settings.workers.is_some(), "numbers of workers"),
        (scaling == WorkersScaling::Weak, "weak scaling"),
        (settings.events.is_some(), "numbers of events"),
        (settings.share.is_some(), "shares of the CPU"),
        (settings.worker_memory_mib.is_some(), "the memory of workers"),
    ];
    match chosen.into_iter().find(|(chosen, _)| *chosen) {
        Some((_, what)) => bail!("{what} cannot be chosen for the running cluster of --connect"),
        None => Ok(()),
    }
}

/// The clusters to start, with their tables, and the day of these.
async fn make_clusters(
    settings: &WorkersOptions,
    scaling: WorkersScaling,
    shop: &ShopFolder,
    out: &Out,
) -> Result<(Vec<WorkersCluster>, NaiveDate)> {
    let sizes = settings.workers.clone().unwrap_or_else(|| vec![1, 2, 4, 8]);
    let largest = sizes.iter().max().copied().unwrap_or(1).max(1);
    // Shares of hundredths of a core, of nine tenths of the machine.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = settings.share.unwrap_or_else(|| (cores() as f64 * 90.0 / largest as f64).floor() / 100.0);
    let all = shop.data(&out.folder);
    let mut clusters = Vec::with_capacity(sizes.len());
    let mut day = None;
    for workers in sizes {
        let (data, events) = match scaling {
            WorkersScaling::Strong => (all.clone(), settings.events.unwrap_or(10_000_000)),
            WorkersScaling::Weak => {
                let events = settings.events.unwrap_or(1_250_000).saturating_mul(workers as u64);
                (all.join(format!("{workers}-workers")), events)
            }
        };
        // One day, so that the jobs, which are of a day, read all events.
        day = Some(shop.fill(&data, events, 1).await?);
        let cluster = ClusterSettings {
            share,
            memory_mib: settings.worker_memory_mib.unwrap_or(512),
            ..out.cluster(shop.config.as_deref(), &data)?
        };
        clusters.push(WorkersCluster::Started(workers, cluster));
    }
    Ok((clusters, day.context("give numbers of workers from 1, for example 1,2,4,8")?))
}

/// The jobs of a day.
fn jobs(day: NaiveDate) -> Result<Vec<Workload>> {
    let pipeline = shipped_named("daily_analytics")?;
    let rendered = pipeline.render(Interval::of(day), Utc::now(), &toml::Table::new())?;
    let step = |name: &str| rendered.steps.iter().find(|step| step.name == name);
    let job = |(name, title): &(&str, &str)| Ok(job(step(name).with_context(|| format!("no step {name}"))?, title));
    JOBS.iter().map(job).collect()
}

fn job(step: &RenderedStep, title: &str) -> Workload {
    let outputs = || step.outputs.iter().flatten();
    let schema = |output: &RenderedOutput| format!("CREATE SCHEMA IF NOT EXISTS {}", output.table.namespace());
    Workload {
        name: title.to_string(),
        setup: outputs().map(schema).chain(outputs().map(|output| output.create.clone())).collect(),
        timed: Timed::Job {
            statements: outputs().map(|output| output.insert.clone()).collect(),
            written: outputs().map(|output| format!("SELECT * FROM {}", output.table)).collect(),
        },
    }
}
