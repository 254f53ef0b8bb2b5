//! Settings from three sources, strongest first: flags, environment, configuration file. clap reads the first two.
//!
//! Each group is one struct, which clap and serde both fill; an unset field gets its default where the command turns
//! the group into the settings of the process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bergmill_access::Access;
use bergmill_catalog::{CatalogAddress, RestAuth, RestOptions, Warehouse};
use bergmill_statement::CATALOG;
use bergmill_storage::{CredentialVendor, S3Config, S3Keys, Secret, StorageConfig, Stores};
use bergmill_tls::{CertificateFiles, ClusterTls, ServerTls};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Defines a group in which every field is optional.
macro_rules! settings {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, Args, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: Option<$ty>,)*
        }

        impl $name {
            /// These settings, completed by those of `file`.
            fn over(self, file: Self) -> Self {
                Self { $($field: self.$field.or(file.$field),)* }
            }
        }

        impl Layered for $name {
            fn over(self, file: Self) -> Self {
                self.over(file)
            }
        }
    };
}

/// A group of settings that a file can complete.
pub trait Layered: DeserializeOwned {
    /// These settings, completed by those of `file`.
    fn over(self, file: Self) -> Self;
}

settings! {
    /// The location of the tables.
    Data {
        /// Folder of this installation: catalog, tables, reports [default: ./bergmill-data]
        #[arg(long, env = "BERGMILL_DATA", value_name = "DIR")]
        data: PathBuf,
        /// Location of the tables' files: a folder, s3://bucket/folder, or s3://{namespace} for a bucket per namespace
        /// [default: warehouse in --data]
        #[arg(long, env = "BERGMILL_WAREHOUSE", value_name = "LOCATION")]
        warehouse: String,
    }
}

settings! {
    /// The catalog.
    Catalog {
        /// Catalog: sqlite:FILE, postgres://user:password@host:port/database or the URL of a REST server [default:
        /// catalog.db in --data]
        #[arg(long, env = "BERGMILL_CATALOG", value_name = "ADDRESS", hide_env_values = true)]
        catalog: Secret,
        /// Catalog name in a SQL catalog; use another engine's name to open its catalog [default: bergmill]
        #[arg(long, env = "BERGMILL_CATALOG_NAME", value_name = "NAME")]
        catalog_name: String,
        /// Warehouse of a REST server [default: the server's own]
        #[arg(long, env = "BERGMILL_CATALOG_WAREHOUSE", value_name = "NAME")]
        catalog_warehouse: String,
        /// Token endpoint of a REST server, if not its own
        #[arg(long, env = "BERGMILL_CATALOG_TOKEN_URL", value_name = "URL")]
        catalog_token_url: String,
        /// OAuth2 scope of requested tokens [default: catalog]
        #[arg(long, env = "BERGMILL_CATALOG_SCOPE", value_name = "SCOPE")]
        catalog_scope: String,
        /// Request vended credentials for tables' files from a REST server; without them our own keys are used
        /// [default: true]
        #[arg(long, env = "BERGMILL_CATALOG_VENDED_CREDENTIALS", value_name = "true|false")]
        catalog_vended_credentials: bool,
        /// BERGMILL_CATALOG_TOKEN: a token for a REST server
        #[arg(skip)]
        catalog_token: Secret,
        /// BERGMILL_CATALOG_CREDENTIAL: client credentials that are exchanged for tokens, as id:secret
        #[arg(skip)]
        catalog_credential: Secret,
    }
}

settings! {
    /// Access to object stores. Keys have no flags, since other users can see the arguments of a process: they come
    /// from the environment or from the file.
    Storage {
        /// S3 endpoint, for example http://127.0.0.1:9000 [default: Amazon's]
        #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
        s3_endpoint: String,
        /// Region for signing requests [default: us-east-1]
        #[arg(long, env = "AWS_REGION", value_name = "REGION")]
        s3_region: String,
        /// Put the bucket into the path instead of the host name [default: true with --s3-endpoint]
        #[arg(long, env = "BERGMILL_S3_PATH_STYLE", value_name = "true|false")]
        s3_path_style: bool,
        /// Request timeout in seconds [default: 30]
        #[arg(long, env = "BERGMILL_S3_TIMEOUT", value_name = "SECONDS")]
        s3_timeout: u64,
        /// Connection timeout in seconds [default: 5]
        #[arg(long, env = "BERGMILL_S3_CONNECT_TIMEOUT", value_name = "SECONDS")]
        s3_connect_timeout: u64,
        /// Retries of a request that the service could not answer [default: 6]
        #[arg(long, env = "BERGMILL_S3_RETRIES", value_name = "N")]
        s3_retries: usize,
        /// AWS_ACCESS_KEY_ID
        #[arg(skip)]
        s3_access_key_id: String,
        /// AWS_SECRET_ACCESS_KEY
        #[arg(skip)]
        s3_secret_access_key: Secret,
        /// AWS_SESSION_TOKEN
        #[arg(skip)]
        s3_session_token: Secret,
    }
}

settings! {
    /// The certificates by which scheduler and executors admit each other.
    Members {
        /// Authority of the cluster's certificates, a PEM file. With --cluster-cert and --cluster-key, the ports
        /// between processes admit only those with such a certificate. Reread when it changes [default: none]
        #[arg(long, env = "BERGMILL_CLUSTER_CA", value_name = "FILE")]
        cluster_ca: PathBuf,
        /// Certificate that makes this process one of the cluster, a PEM file: the cluster.pem of `bergmill certs`
        #[arg(long, env = "BERGMILL_CLUSTER_CERT", value_name = "FILE")]
        cluster_cert: PathBuf,
        /// Private key of --cluster-cert, a PEM file
        #[arg(long, env = "BERGMILL_CLUSTER_KEY", value_name = "FILE")]
        cluster_key: PathBuf,
    }
}

settings! {
    /// A cluster in one process.
    Embedded {
        /// Executors in this process [default: 2]
        #[arg(long, env = "BERGMILL_EXECUTORS", value_name = "N")]
        executors: usize,
        /// Task slots of each executor [default: the cores divided by the executors]
        #[arg(long, env = "BERGMILL_VCORES", value_name = "N")]
        vcores: usize,
        /// Memory that queries may hold before they spill, in MiB, shared by all [default: half of the container's
        /// limit, or a quarter of the machine's memory]
        #[arg(long, env = "BERGMILL_MEMORY_MIB", value_name = "MIB")]
        memory_mib: u64,
        /// Queries that read at most this many bytes and join few rows run in the scheduler's process [default:
        /// 4194304]
        #[arg(long, env = "BERGMILL_LOCAL_QUERY_BYTES", value_name = "BYTES")]
        local_query_bytes: u64,
    }
}

settings! {
    /// A scheduler process.
    Scheduler {
        /// Address of the front door for Flight SQL clients [default: 127.0.0.1:50051]
        #[arg(long, env = "BERGMILL_LISTEN", value_name = "ADDR")]
        listen: SocketAddr,
        /// Address of the front door over HTTP [default: none]
        #[arg(long, env = "BERGMILL_HTTP_LISTEN", value_name = "ADDR")]
        http_listen: SocketAddr,
        /// Address of the front door for clients of Postgres [default: none]
        #[arg(long, env = "BERGMILL_POSTGRES_LISTEN", value_name = "ADDR")]
        postgres_listen: SocketAddr,
        /// Address where executors register [default: 127.0.0.1:50050]
        #[arg(long, env = "BERGMILL_CLUSTER_LISTEN", value_name = "ADDR")]
        cluster_listen: SocketAddr,
        /// Certificate of the front door, a PEM file; clients then connect by TLS. Reread when it changes [default:
        /// none]
        #[arg(long, env = "BERGMILL_TLS_CERT", value_name = "FILE")]
        tls_cert: PathBuf,
        /// Private key of --tls-cert, a PEM file
        #[arg(long, env = "BERGMILL_TLS_KEY", value_name = "FILE")]
        tls_key: PathBuf,
        /// Allow listening on non-loopback addresses without users, without TLS, or without certificates of the
        /// cluster: anyone who reaches a port can then read and change all tables. Only for closed networks [default:
        /// false]
        #[arg(long, env = "BERGMILL_INSECURE_LISTEN", value_name = "true|false")]
        insecure_listen: bool,
        /// Host at which executors reach this scheduler [default: the address of --cluster-listen]
        #[arg(long, env = "BERGMILL_ADVERTISE", value_name = "HOST")]
        advertise: String,
        /// Seconds without a heartbeat after which an executor is lost [default: 20]
        #[arg(long, env = "BERGMILL_EXECUTOR_TIMEOUT", value_name = "SECONDS")]
        executor_timeout: u64,
        /// Memory for queries in the scheduler's own process, in MiB [default: 512]
        #[arg(long, env = "BERGMILL_MEMORY_MIB", value_name = "MIB")]
        memory_mib: u64,
        /// Queries that read at most this many bytes and join few rows run in the scheduler's process [default:
        /// 4194304]
        #[arg(long, env = "BERGMILL_LOCAL_QUERY_BYTES", value_name = "BYTES")]
        local_query_bytes: u64,
        /// Folder for spilled data [default: a temporary one]
        #[arg(long, env = "BERGMILL_WORK_DIR", value_name = "DIR")]
        work_dir: PathBuf,
        /// Address that answers GET /metrics over HTTP, for Prometheus [default: none]
        #[arg(long, env = "BERGMILL_METRICS_LISTEN", value_name = "ADDR")]
        metrics_listen: SocketAddr,
    }
}

settings! {
    /// An executor process.
    Executor {
        /// The scheduler's port for executors [default: 127.0.0.1:50050]
        #[arg(long, env = "BERGMILL_SCHEDULER", value_name = "HOST:PORT")]
        scheduler: String,
        /// Address for results and shuffles; port 0 picks a free one [default: 127.0.0.1:0]
        #[arg(long, env = "BERGMILL_LISTEN", value_name = "ADDR")]
        listen: SocketAddr,
        /// Allow listening on non-loopback addresses without certificates of the cluster: anyone who reaches a port can
        /// then run tasks and read their results. Only for closed networks [default: false]
        #[arg(long, env = "BERGMILL_INSECURE_LISTEN", value_name = "true|false")]
        insecure_listen: bool,
        /// Port for tasks; 0 picks a free one [default: 0]
        #[arg(long, env = "BERGMILL_TASK_PORT", value_name = "PORT")]
        task_port: u16,
        /// Host at which other processes reach this executor [default: the address of --listen, or the one that the
        /// scheduler sees]
        #[arg(long, env = "BERGMILL_ADVERTISE", value_name = "HOST")]
        advertise: String,
        /// Task slots [default: the cores available to this process]
        #[arg(long, env = "BERGMILL_VCORES", value_name = "N")]
        vcores: usize,
        /// Memory that tasks may hold before they spill, in MiB [default: half of the container's limit, or a quarter
        /// of the machine's memory]
        #[arg(long, env = "BERGMILL_MEMORY_MIB", value_name = "MIB")]
        memory_mib: u64,
        /// Folder for shuffled and spilled data [default: a temporary one]
        #[arg(long, env = "BERGMILL_WORK_DIR", value_name = "DIR")]
        work_dir: PathBuf,
        /// Seconds between heartbeats [default: 3]
        #[arg(long, env = "BERGMILL_HEARTBEAT", value_name = "SECONDS")]
        heartbeat: u64,
        /// Seconds that the executor stays after SIGTERM or Ctrl-C, for queries that need its tasks or their rows; a
        /// second signal stops it at once [default: 300]
        #[arg(long, env = "BERGMILL_DRAIN_TIMEOUT", value_name = "SECONDS")]
        drain_timeout: u64,
        /// Address that answers GET /ready over HTTP: 200 while the scheduler answers, otherwise 503 [default: none]
        #[arg(long, env = "BERGMILL_HEALTH_LISTEN", value_name = "ADDR")]
        health_listen: SocketAddr,
        /// Address that answers GET /metrics over HTTP, for Prometheus [default: none]
        #[arg(long, env = "BERGMILL_METRICS_LISTEN", value_name = "ADDR")]
        metrics_listen: SocketAddr,
        /// Seconds to wait for a connection to the scheduler [default: 30]
        #[arg(long, env = "BERGMILL_CONNECT_TIMEOUT", value_name = "SECONDS")]
        connect_timeout: u64,
    }
}

settings! {
    /// The experiment with several numbers of workers.
    WorkersOptions {
        /// Whether all sizes have the same tables (strong), or the events grow with the number of executors (weak)
        /// [default: strong]
        #[arg(long, value_name = "strong|weak")]
        scaling: String,
        /// Measure the cluster that runs at this address instead of starting any
        #[arg(long, value_name = "HOST:PORT")]
        connect: String,
        /// Events to generate, if the data folder has no shop; with weak scaling, for each executor [default: 10000000,
        /// or 1250000]
        #[arg(long, value_name = "N")]
        events: u64,
        /// Numbers of executors [default: 1,2,4,8]
        #[arg(long, value_name = "N,...", value_delimiter = ',')]
        workers: Vec<usize>,
        /// Timed repetitions of each workload and number of workers [default: 5]
        #[arg(long, value_name = "N")]
        repeat: usize,
        /// Seed of the order of measurements [default: 42]
        #[arg(long, value_name = "N")]
        seed: u64,
        /// Cores for each executor [default: the machine's, less a tenth, by the largest number of executors]
        #[arg(long, value_name = "CORES")]
        share: f64,
        /// Memory for the tasks of each executor, in MiB [default: 512]
        #[arg(long, value_name = "MIB")]
        worker_memory_mib: u64,
        /// Workloads: aggregation, join, window, daily-aggregation, review-analysis, data-quality [default: all]
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        workloads: Vec<String>,
        /// Folder for measurements, report and plots [default: ./experiment-workers]
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    }
}

settings! {
    /// The experiment with several sort orders.
    SortOrderOptions {
        /// Events to generate, if the data folder has no shop [default: 10000000]
        #[arg(long, value_name = "N")]
        events: u64,
        /// Timed repetitions of each query and sort order [default: 5]
        #[arg(long, value_name = "N")]
        repeat: usize,
        /// Seed of the order of measurements [default: 42]
        #[arg(long, value_name = "N")]
        seed: u64,
        /// Size at which a new file begins, in MiB [default: 64]
        #[arg(long, value_name = "MIB")]
        file_mib: u64,
        /// Rows of a row group [default: 262144]
        #[arg(long, value_name = "N")]
        row_group_rows: u64,
        /// Rows of a page [default: 20000]
        #[arg(long, value_name = "N")]
        page_rows: u64,
        /// Memory for the tasks of the executor, in MiB [default: 1024]
        #[arg(long, value_name = "MIB")]
        worker_memory_mib: u64,
        /// Folder for measurements, report and plots [default: ./experiment-sort-order]
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    }
}

settings! {
    /// The experiment with several engines.
    PeersOptions {
        /// Events to generate, if the data folder has no shop [default: 10000000]
        #[arg(long, value_name = "N")]
        events: u64,
        /// Engines beside bergmill: bergmill-staged, datafusion, duckdb, spark, sail [default: all]
        #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
        engines: Vec<String>,
        /// Your own queries of tables in namespace raw, one per file [default: twenty queries of the shop]
        #[arg(long, value_name = "FILE", num_args = 1..)]
        queries: Vec<PathBuf>,
        /// Timed repetitions of each query and engine [default: 5]
        #[arg(long, value_name = "N")]
        repeat: usize,
        /// Seed of the order of measurements [default: 42]
        #[arg(long, value_name = "N")]
        seed: u64,
        /// Cores of each engine [default: the machine's]
        #[arg(long, value_name = "N")]
        cores: usize,
        /// Memory of each engine, in MiB [default: 4096]
        #[arg(long, value_name = "MIB")]
        memory_mib: u64,
        /// The Python that has the packages of DuckDB, Spark and Sail [default: python3]
        #[arg(long, value_name = "FILE")]
        python: PathBuf,
        /// Folder for measurements, report and plots [default: ./experiment-peers]
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    }
}

/// The location of the tables and how to access them.
#[derive(Debug, Clone, Default, Args)]
pub struct Tables {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    catalog: Catalog,
    #[command(flatten)]
    storage: Storage,
}

impl Tables {
    /// The tables of a folder.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { data: Data { data: Some(folder), ..Data::default() }, ..Self::default() }
    }

    /// Completes the settings with the file's sections, if a file is given.
    pub fn with_file(self, file: Option<&Path>) -> Result<Self> {
        Ok(Self {
            data: with_file(self.data, file, "data")?,
            catalog: with_file(self.catalog, file, "catalog")?,
            storage: with_file(self.storage, file, "storage")?,
        })
    }

    /// The folder of this installation.
    pub fn folder(&self) -> PathBuf {
        self.data.data.clone().unwrap_or_else(|| PathBuf::from("bergmill-data"))
    }

    /// The catalog, for display.
    pub fn catalog(&self) -> String {
        match &self.catalog.catalog {
            Some(address) if !address.expose().is_empty() => "the catalog of --catalog".to_string(),
            _ => format!("{} (Iceberg SQL catalog)", self.folder().join("catalog.db").display()),
        }
    }

    /// The location of the tables' files, for display.
    pub fn location(&self) -> String {
        let folder = || self.folder().join("warehouse").display().to_string();
        self.data.warehouse.clone().filter(|w| !w.is_empty()).unwrap_or_else(folder)
    }

    /// Opens the users, who are kept with the catalog.
    pub async fn users(&self) -> Result<Access> {
        let (folder, address) = self.place()?;
        Ok(Access::new(address.users(folder.join("access.json")).await?))
    }

    /// The file of a server's audit.
    pub fn audit(&self) -> PathBuf {
        self.folder().join("audit.jsonl")
    }

    /// The file of a server's statements.
    pub fn journal(&self) -> PathBuf {
        self.folder().join("queries.jsonl")
    }

    /// The data folder, which is created if it is missing, and the catalog.
    fn place(&self) -> Result<(PathBuf, CatalogAddress)> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).with_context(|| format!("data folder {}", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("data folder {}", folder.display()))?;
        let address = self.catalog.address()?.unwrap_or_else(|| CatalogAddress::Sqlite(folder.join("catalog.db")));
        Ok((folder, address))
    }

    /// Opens the warehouse and creates what is missing.
    pub async fn open(&self) -> Result<Warehouse> {
        let (folder, address) = self.place()?;
        let name = self.catalog.catalog_name.as_deref().unwrap_or(CATALOG);
        let catalog = address.open(name, self.catalog.rest()?).await?;
        let location = match self.data.warehouse.as_deref().filter(|w| !w.is_empty()) {
            Some(uri) if uri.contains(':') => uri.to_string(),
            Some(path) => format!("file://{}", std::path::absolute(path)?.display()),
            None => format!("file://{}", folder.join("warehouse").display()),
        };
        Ok(Warehouse::new(catalog, Stores::new(self.storage.config()?), &location)?)
    }
}

impl Catalog {
    /// The vendor of credentials for tables' files, for an executor, if the catalog has one. Makes no request.
    pub fn vendor(&self) -> Result<Option<Arc<dyn CredentialVendor>>> {
        match self.address()? {
            Some(address) => Ok(address.vendor(self.rest()?)),
            None => Ok(None),
        }
    }

    fn address(&self) -> Result<Option<CatalogAddress>> {
        let given = self.catalog.as_ref().filter(|a| !a.expose().is_empty());
        Ok(given.map(CatalogAddress::parse).transpose()?)
    }

    fn rest(&self) -> Result<RestOptions> {
        Ok(RestOptions {
            warehouse: self.catalog_warehouse.clone(),
            auth: self.auth(|name| std::env::var(name).ok())?,
            vended_credentials: self.catalog_vended_credentials.unwrap_or(true),
        })
    }

    /// Authentication with a REST server, from the environment or else from the file.
    fn auth(&self, environment: impl Fn(&str) -> Option<String>) -> Result<RestAuth> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty()).map(Secret::new);
        let (token, credential) = (variable("BERGMILL_CATALOG_TOKEN"), variable("BERGMILL_CATALOG_CREDENTIAL"));
        let (token, credential) = match (token, credential) {
            (None, None) => (self.catalog_token.clone(), self.catalog_credential.clone()),
            given => given,
        };
        match (token, credential) {
            (None, None) => Ok(RestAuth::None),
            (Some(token), None) => Ok(RestAuth::Token(token)),
            (None, Some(credential)) => {
                let (id, secret) =
                    credential.expose().split_once(':').context("catalog-credential is not id:secret")?;
                Ok(RestAuth::Credentials {
                    id: id.to_string(),
                    secret: Secret::new(secret),
                    scope: self.catalog_scope.clone().unwrap_or_else(|| "catalog".to_string()),
                    token_uri: self.catalog_token_url.clone(),
                })
            }
            (Some(_), Some(_)) => anyhow::bail!("a REST catalog takes a token or a credential, not both"),
        }
    }
}

impl Storage {
    /// The settings of this process for object stores.
    pub fn config(&self) -> Result<StorageConfig> {
        let default = S3Config::default();
        let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        let seconds = |n: Option<u64>, otherwise| n.map_or(otherwise, |n| Duration::from_secs(n.max(1)));
        let s3 = S3Config {
            endpoint: given(&self.s3_endpoint),
            region: given(&self.s3_region),
            path_style: self.s3_path_style,
            keys: self.keys(|name| std::env::var(name).ok())?,
            request_timeout: seconds(self.s3_timeout, default.request_timeout),
            connect_timeout: seconds(self.s3_connect_timeout, default.connect_timeout),
            retries: self.s3_retries.unwrap_or(default.retries),
        };
        s3.check()?;
        Ok(StorageConfig { s3 })
    }

    /// The keys from the environment, or else from the file. A pair is never mixed from both.
    fn keys(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Option<S3Keys>> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        if let Some(id) = variable("AWS_ACCESS_KEY_ID") {
            let secret = variable("AWS_SECRET_ACCESS_KEY");
            let secret = secret.context("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not")?;
            let session_token = variable("AWS_SESSION_TOKEN").map(Secret::new);
            return Ok(Some(S3Keys { id, secret: Secret::new(secret), session_token }));
        }
        match (&self.s3_access_key_id, &self.s3_secret_access_key) {
            (Some(id), Some(secret)) => {
                let (id, secret, session_token) = (id.clone(), secret.clone(), self.s3_session_token.clone());
                Ok(Some(S3Keys { id, secret, session_token }))
            }
            (None, None) => Ok(None),
            _ => anyhow::bail!("[storage] takes s3-access-key-id and s3-secret-access-key, both or none"),
        }
    }
}

impl Members {
    /// The certificates, if there are any.
    pub fn tls(&self) -> Result<Option<ClusterTls>> {
        match (&self.cluster_ca, &self.cluster_cert, &self.cluster_key) {
            (Some(ca), Some(certificate), Some(key)) => {
                let own = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
                Ok(Some(ClusterTls::open(ca.clone(), own)?))
            }
            (None, None, None) => Ok(None),
            _ => anyhow::bail!("these go together: --cluster-ca, --cluster-cert and --cluster-key"),
        }
    }
}

impl Scheduler {
    /// The certificate of the front door, if it has one.
    pub fn tls(&self) -> Result<Option<ServerTls>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                Ok(Some(ServerTls::open(CertificateFiles { certificate, key })?))
            }
            (None, None) => Ok(None),
            _ => anyhow::bail!("a certificate and its key go together: --tls-cert and --tls-key"),
        }
    }
}

/// Completes a group of settings with the file's section of that name, if a file is given.
pub fn with_file<T: Layered + Default>(given: T, file: Option<&Path>, section: &str) -> Result<T> {
    let Some(path) = file else { return Ok(given) };
    let text = std::fs::read_to_string(path).with_context(|| format!("configuration file {}", path.display()))?;
    let mut all: toml::Table =
        toml::from_str(&text).with_context(|| format!("configuration file {}", path.display()))?;
    let known = [
        "data",
        "catalog",
        "storage",
        "cluster",
        "embedded",
        "scheduler",
        "executor",
        "workers",
        "sort-order",
        "peers",
    ];
    if let Some(unknown) = all.keys().find(|k| !known.contains(&k.as_str())) {
        anyhow::bail!(
            "configuration file {}: unknown section [{unknown}]; there are {}",
            path.display(),
            known.join(", ")
        );
    }
    let Some(values) = all.remove(section) else { return Ok(given) };
    let file = values.try_into::<T>().with_context(|| format!("configuration file {}: [{section}]", path.display()))?;
    Ok(given.over(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_one_source_and_are_not_shown() {
        let file = Storage {
            s3_access_key_id: Some("of-file".to_string()),
            s3_secret_access_key: Some(Secret::new("hidden")),
            s3_session_token: Some(Secret::new("hidden too")),
            ..Storage::default()
        };
        let keys = |variables: &[(&str, &str)]| {
            let found = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_string());
            file.keys(found)
        };
        let got = keys(&[("AWS_SECRET_ACCESS_KEY", "stray")]).unwrap().unwrap();
        assert_eq!((got.id.as_str(), got.secret.expose()), ("of-file", "hidden"));
        let got = keys(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]).unwrap().unwrap();
        assert_eq!((got.id.as_str(), got.secret.expose(), got.session_token), ("a", "b", None));
        assert!(keys(&[("AWS_ACCESS_KEY_ID", "a")]).is_err());
        assert!(!format!("{file:?}").contains("hidden"));
        let half = Storage { s3_access_key_id: Some("a".to_string()), ..Storage::default() };
        assert!(half.keys(|_| None).is_err());
    }

    #[test]
    fn flags_override_the_file_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bergmill.toml");
        std::fs::write(&path, "[executor]\nvcores = 3\nscheduler = 'a:1'\n").unwrap();
        let flags = Executor { vcores: Some(8), ..Executor::default() };
        let got = with_file(flags, Some(&path), "executor").unwrap();
        assert_eq!((got.vcores, got.scheduler.as_deref()), (Some(8), Some("a:1")));

        std::fs::write(&path, "[executor]\nvcorse = 3\n").unwrap();
        let e = format!("{:#}", with_file(Executor::default(), Some(&path), "executor").unwrap_err());
        assert!(e.contains("[executor]") && e.contains("vcorse"), "{e}");
        std::fs::write(&path, "[exeggutor]\n").unwrap();
        let e = format!("{:#}", with_file(Executor::default(), Some(&path), "executor").unwrap_err());
        assert!(e.contains("unknown section [exeggutor]"), "{e}");
    }
}
