//! A cluster for a measurement: real processes, a scheduler and executors with equal shares of the CPU, or a cluster
//! that runs elsewhere.

pub(crate) mod process;
mod quota;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bergmill_gateway::Client;
use futures::TryStreamExt;

pub use self::process::{Process, Usage};
pub use self::quota::{Quotas, Share};
use crate::error::{Error, Result};

/// Time for executors to register.
const REGISTRATION: Duration = Duration::from_secs(60);

/// How the processes of a cluster are started.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// The binary `bergmill`.
    pub binary: PathBuf,
    /// Arguments of scheduler and executors alike, such as `--config FILE`.
    pub arguments: Vec<String>,
    /// Arguments of the scheduler, such as `--data DIR`.
    pub scheduler_arguments: Vec<String>,
    /// Task slots of each executor.
    pub vcores: usize,
    /// Cores for each executor, if there are quotas.
    pub share: f64,
    /// Memory for the tasks of each executor, in MiB.
    pub memory_mib: u64,
    /// Folder for the errors that the processes print.
    pub logs: PathBuf,
}

/// A running cluster. Its processes are stopped when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    door: String,
    client: Client,
    workers: usize,
    vcores: usize,
    /// The scheduler, then the executors; none of a cluster that was running already.
    processes: Vec<Process>,
}

impl Cluster {
    /// Starts a scheduler and `workers` executors, and waits until these have registered.
    ///
    /// # Errors
    /// If a process does not start, or does not register within a minute.
    pub async fn start(settings: &ClusterSettings, workers: usize, quotas: Option<&Quotas>) -> Result<Self> {
        let log = |name: &str| settings.logs.join(format!("{workers}-workers-{name}.log"));
        let owned = |own: &[&str]| own.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut arguments = owned(&["scheduler", "--listen", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0"]);
        arguments.extend(settings.arguments.iter().chain(&settings.scheduler_arguments).cloned());
        let scheduler = Process::start(&settings.binary, &arguments, None, None, &log("scheduler"))?;
        let register = scheduler.announced("executors register at ")?;
        let door = scheduler.announced("front door ")?;
        let mut processes = vec![scheduler];
        for n in 0..workers {
            let share = quotas.map(|q| q.share(&format!("{workers}-workers-{n}"), settings.share)).transpose()?;
            let (vcores, memory) = (settings.vcores.to_string(), settings.memory_mib.to_string());
            let own = ["executor", "--scheduler", &register, "--listen", "127.0.0.1:0", "--vcores", &vcores];
            let mut arguments = owned(&own);
            arguments.extend(owned(&["--memory-mib", &memory]));
            arguments.extend(settings.arguments.iter().cloned());
            processes.push(Process::start(&settings.binary, &arguments, share, None, &log("executors"))?);
        }
        let failed = |source| Error::Cluster { what: format!("the cluster of {workers} workers"), source };
        let client = Client::connect(&door).await.map_err(failed)?;
        let mut cluster = Self { door, client, workers, vcores: workers * settings.vcores, processes };
        cluster.wait().await?;
        Ok(cluster)
    }

    /// The cluster that runs behind this front door.
    ///
    /// # Errors
    /// If there is none, or it has no executor.
    pub async fn connect(door: &str) -> Result<Self> {
        let failed = |source| Error::Cluster { what: format!("the cluster at {door}"), source };
        let client = Client::connect(door).await.map_err(failed)?;
        let number = async |of: &str| -> Result<usize> {
            let sql = format!("SELECT CAST(COALESCE({of}, 0) AS BIGINT) FROM system.executors");
            Ok(usize::try_from(count(&client, &sql).await?).unwrap_or_default())
        };
        let (workers, vcores) = (number("count(*)").await?, number("sum(vcores)").await?);
        if workers == 0 {
            return Err(Error::NoData(format!("the cluster at {door} has no executors")));
        }
        Ok(Self { door: door.to_string(), client, workers, vcores, processes: Vec::new() })
    }

    async fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            let count = count(&self.client, "SELECT count(*) FROM system.executors").await?;
            if usize::try_from(count) == Ok(self.workers) {
                return Ok(());
            }
            if began.elapsed() > REGISTRATION || self.processes.iter_mut().any(|process| !process.is_running()) {
                let what = format!("{count} of {} executors have registered; see their logs", self.workers);
                return Err(Error::NoData(what));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The address of its front door.
    pub fn door(&self) -> &str {
        &self.door
    }

    /// A connection to its front door.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Number of its executors.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Task slots of all executors.
    pub fn vcores(&self) -> usize {
        self.vcores
    }

    /// Its processes: the scheduler, then the executors. None if it was running already.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }
}

/// The rows of a query that reports call `what`.
pub(crate) async fn rows(client: &Client, what: &str, sql: &str) -> Result<Vec<RecordBatch>> {
    let failed = |source| Error::Cluster { what: what.to_string(), source };
    client.query(sql).await.map_err(failed)?.try_collect().await.map_err(failed)
}

/// Runs a statement that returns no rows.
pub(crate) async fn update(client: &Client, sql: &str) -> Result<()> {
    let failed = |source| Error::Cluster { what: sql.to_string(), source };
    client.update(sql, None).await.map(drop).map_err(failed)
}

/// The texts in the first column of a query.
pub(crate) async fn texts(client: &Client, sql: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for batch in rows(client, sql, sql).await? {
        let column = batch.column(0).as_string_opt::<i32>();
        let column = column.ok_or_else(|| Error::NoData(format!("{sql}: no text")))?;
        all.extend(column.iter().flatten().map(ToString::to_string));
    }
    Ok(all)
}

/// The number that a query returns.
pub(crate) async fn count(client: &Client, sql: &str) -> Result<i64> {
    let batches = rows(client, sql, sql).await?;
    let number = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| {
        let column = batch.column(0).as_primitive_opt::<Int64Type>()?;
        column.iter().next().flatten()
    });
    number.ok_or_else(|| Error::NoData(format!("{sql}: no number")))
}
