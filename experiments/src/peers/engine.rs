//! The engines, and how the processes of each are started over the same tables.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use bergmill_gateway::Client;
use serde_json::json;

use super::PeersSettings;
use crate::cluster::{Cluster, ClusterSettings, Process, Usage, rows};
use crate::engine::{Engine, Run};
use crate::error::{Error, Result};
use crate::plain::start_plain;

/// The program that runs engines with a Python package. It is in the binary, so that this needs no other files.
const PROGRAM: &str = include_str!("../../peers/engine.py");
/// The packages that it needs.
const REQUIREMENTS: &str = include_str!("../../peers/requirements.txt");

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerEngine {
    /// A scheduler, and one executor with all cores: queries are not cut into stages.
    Bergmill,
    /// A scheduler, and executors with one vcore each: queries run in stages.
    BergmillStaged,
    /// Plain DataFusion, which reads the data files without Iceberg.
    DataFusion,
    /// DuckDB with its extension for Iceberg.
    DuckDb,
    /// Spark in one process, with Iceberg's runtime.
    Spark,
    /// Sail with a worker for each core.
    Sail,
}

impl PeerEngine {
    /// All engines.
    pub const ALL: [Self; 6] =
        [Self::Bergmill, Self::BergmillStaged, Self::DataFusion, Self::DuckDb, Self::Spark, Self::Sail];

    /// Its name, in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bergmill => "bergmill",
            Self::BergmillStaged => "bergmill-staged",
            Self::DataFusion => "datafusion",
            Self::DuckDb => "duckdb",
            Self::Spark => "spark",
            Self::Sail => "sail",
        }
    }
}

impl fmt::Display for PeerEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PeerEngine {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|engine| engine.name() == text);
        found.ok_or_else(|| Error::Setting(format!("there is no engine {text}; choose from {}", known())))
    }
}

/// What the start of an engine needs.
pub(super) struct Start<'a> {
    pub settings: &'a PeersSettings,
    pub cluster: &'a ClusterSettings,
    /// Names of tables, and the locations of their metadata files.
    pub tables: &'a BTreeMap<String, String>,
    /// The front door of Bergmill; empty until it has started.
    pub door: &'a str,
}

/// An engine that runs.
pub(super) struct Peer {
    pub engine: PeerEngine,
    kind: Kind,
}

enum Kind {
    Cluster(Cluster),
    Process(Engine),
}

impl Peer {
    /// Starts an engine over the tables.
    ///
    /// # Errors
    /// If it is not installed, or cannot read the tables.
    pub(super) async fn start(engine: PeerEngine, start: &Start<'_>) -> Result<Self> {
        let PeersSettings { cores, memory_mib, .. } = *start.settings;
        let cluster = |workers: usize| ClusterSettings {
            vcores: cores / workers,
            memory_mib: memory_mib / workers as u64,
            ..start.cluster.clone()
        };
        let kind = match engine {
            PeerEngine::Bergmill => Kind::Cluster(Cluster::start(&cluster(1), 1, None).await?),
            PeerEngine::BergmillStaged => Kind::Cluster(Cluster::start(&cluster(cores), cores, None).await?),
            PeerEngine::DataFusion => Kind::Process(start_plain(start.cluster, start.door, cores, None)?),
            PeerEngine::DuckDb | PeerEngine::Spark | PeerEngine::Sail => start_python(engine, start)
                .map_err(|e| Error::Engine(format!("{e}. {}", how_to_install(start.settings))))?,
        };
        Ok(Self { engine, kind })
    }

    /// The front door; empty if it has none.
    pub(super) fn door(&self) -> &str {
        match &self.kind {
            Kind::Cluster(cluster) => cluster.door(),
            Kind::Process(_) => "",
        }
    }

    /// A connection to the front door, if it has one.
    pub(super) fn client(&self) -> Option<&Client> {
        match &self.kind {
            Kind::Cluster(cluster) => Some(cluster.client()),
            Kind::Process(_) => None,
        }
    }

    /// The version of the engine.
    pub(super) fn version(&self) -> &str {
        match &self.kind {
            Kind::Cluster(_) => env!("CARGO_PKG_VERSION"),
            Kind::Process(engine) => &engine.version,
        }
    }

    /// Runs a query that reports call `name`.
    pub(super) async fn run(&mut self, name: &str, sql: &str) -> Result<Run> {
        match &mut self.kind {
            Kind::Cluster(cluster) => {
                let began = Instant::now();
                let rows = rows(cluster.client(), name, sql).await?;
                Ok(Run { seconds: began.elapsed().as_secs_f64(), rows })
            }
            Kind::Process(engine) => engine.run(sql),
        }
    }

    /// Whether its processes run.
    pub(super) fn is_running(&mut self) -> bool {
        match &mut self.kind {
            Kind::Cluster(_) => true,
            Kind::Process(engine) => engine.process.is_running(),
        }
    }

    /// What its processes have used together.
    pub(super) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for usage in self.processes().iter().map(Process::usage_with_children) {
            sum.cpu_seconds += usage.cpu_seconds;
            sum.peak_rss += usage.peak_rss;
        }
        sum
    }

    /// Makes the peaks of memory start again.
    pub(super) fn forget_peak(&self) {
        self.processes().iter().for_each(Process::forget_peak);
    }

    fn processes(&self) -> &[Process] {
        match &self.kind {
            Kind::Cluster(cluster) => cluster.processes(),
            Kind::Process(engine) => std::slice::from_ref(&engine.process),
        }
    }
}

fn start_python(engine: PeerEngine, start: &Start<'_>) -> Result<Kind> {
    let PeersSettings { cores, memory_mib, python, .. } = start.settings;
    let path = |location: &String| {
        location
            .strip_prefix("file://")
            .map(ToString::to_string)
            .ok_or_else(|| Error::Engine(format!("it reads tables on this machine only, not {location}")))
    };
    let tables = start.tables.iter().map(|(name, location)| Ok((name, path(location)?)));
    let tables = tables.collect::<Result<BTreeMap<_, _>>>()?;
    let program = start.cluster.logs.join("engine.py");
    let failed = |source| Error::Io { what: program.display().to_string(), source };
    std::fs::write(&program, PROGRAM).map_err(failed)?;
    let settings = json!({ "cores": cores, "memory_mib": memory_mib, "tables": tables });
    let arguments = [program.display().to_string(), engine.to_string(), settings.to_string()];
    let log = start.cluster.logs.join(format!("{engine}.log"));
    let process = Process::start(python, &arguments, None, Some(*cores), &log)?;
    Ok(Kind::Process(Engine::start(process)?))
}

fn how_to_install(settings: &PeersSettings) -> String {
    let packages: Vec<String> =
        REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).map(|line| format!("'{line}'")).collect();
    let python = settings.python.display();
    format!(
        "If packages are missing in {python}: python3 -m venv peers && peers/bin/pip install {}, then --python \
         peers/bin/python. Spark needs Java 17",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_have_names() {
        for engine in PeerEngine::ALL {
            assert_eq!(engine.name().parse::<PeerEngine>().unwrap(), engine);
        }
        let e = "oracle".parse::<PeerEngine>().unwrap_err().to_string();
        assert!(e.contains("oracle") && e.contains("duckdb"), "{e}");
    }
}
