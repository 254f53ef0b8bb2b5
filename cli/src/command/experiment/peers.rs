//! `bergmill experiment peers`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bergmill_experiments::{PeerEngine, PeersSettings, Suite, run_peers};
use chrono::NaiveDate;

use super::shop::ShopFolder;
use super::{Lines, Out, cores};
use crate::command::bench::of_files;
use crate::settings::{PeersOptions, Tables};

/// The namespace of tables without one.
const NAMESPACE: &str = "raw";
/// Days of the shop, for queries that compare days.
const DAYS: u32 = 30;
/// The last of them, as queries for one of them expect.
const LAST_DAY: Option<NaiveDate> = NaiveDate::from_ymd_opt(2024, 6, 30);

/// Measures the same queries on several engines.
pub(super) async fn run(settings: PeersOptions, shop: ShopFolder) -> Result<()> {
    let engines = match &settings.engines {
        Some(names) => names.iter().map(|name| name.parse::<PeerEngine>()).collect::<Result<Vec<_>, _>>()?,
        None => PeerEngine::ALL.to_vec(),
    };
    let suite = match &settings.queries {
        Some(files) => of_files(files)?,
        None => Suite::shop(),
    };
    let out = Out::create(settings.out, "experiment-peers")?;
    let data = shop.data(&out.folder);
    if settings.queries.is_none() {
        let day = shop.fill(&data, settings.events.unwrap_or(10_000_000), DAYS).await?;
        if Some(day) != LAST_DAY {
            bail!(
                "the queries are of a shop in June 2024, but the last day in {} is {day}; name another folder with --data, \
                 or your own queries with --queries",
                data.display()
            );
        }
    }
    let tables = tables(&data, shop.config.as_deref()).await?;
    let options = PeersSettings {
        engines,
        repeat: settings.repeat.unwrap_or(5),
        seed: settings.seed.unwrap_or(42),
        cores: settings.cores.unwrap_or_else(cores).max(1),
        memory_mib: settings.memory_mib.unwrap_or(4096),
        python: settings.python.unwrap_or_else(|| PathBuf::from("python3")),
    };
    let cluster = out.cluster(shop.config.as_deref(), &data)?;
    let report = run_peers(&options, &cluster, &tables, &suite.queries, &out.folder, &Lines).await?;
    out.finish(&report)?;
    match report.differences().count() {
        0 => Ok(()),
        n => bail!("{n} results differ from those of Bergmill; see the report"),
    }
}

/// The tables that queries can name without a namespace, and the locations of their metadata files. Other engines may
/// refuse tables without a snapshot.
async fn tables(data: &Path, config: Option<&Path>) -> Result<BTreeMap<String, String>> {
    let warehouse = Tables::in_folder(data.to_path_buf()).with_file(config)?.open().await?;
    let tables = warehouse.metadata_files(NAMESPACE).await?;
    if tables.is_empty() {
        bail!("namespace {NAMESPACE} in {} has no tables with rows", data.display());
    }
    Ok(tables)
}
