//! Settings from three places, strongest first: flags, environment, configuration file. clap reads the first two.
//!
//! Each group is one struct, which clap and serde both fill; a field that nobody set falls to its default where the
//! command turns the group into what the process takes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bergmill_catalog::{CATALOG_NAME, Warehouse};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Defines a group: every field optional, flags over environment over file.
macro_rules! settings {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, Args, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: Option<$ty>,)*
        }

        impl $name {
            /// These settings, and those of `file` where these say nothing.
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
    /// These settings, and those of `file` where these say nothing.
    fn over(self, file: Self) -> Self;
}

settings! {
    /// Where the tables are.
    Data {
        /// Folder of the warehouse: catalog, tables, reports [default: ./bergmill-data]
        #[arg(long, env = "BERGMILL_DATA", value_name = "DIR")]
        data: PathBuf,
        /// Name under which the catalog file keeps our tables: that of another engine opens its catalog [default: bergmill]
        #[arg(long, env = "BERGMILL_CATALOG_NAME", value_name = "NAME")]
        catalog_name: String,
    }
}

settings! {
    /// A cluster in one process.
    Embedded {
        /// Executors in this process [default: 2]
        #[arg(long, env = "BERGMILL_EXECUTORS", value_name = "N")]
        executors: usize,
        /// Task slots of each executor [default: the cores, shared by the executors]
        #[arg(long, env = "BERGMILL_VCORES", value_name = "N")]
        vcores: usize,
        /// Memory that queries may hold before they spill, in MiB, shared by all [default: 1024]
        #[arg(long, env = "BERGMILL_MEMORY_MIB", value_name = "MIB")]
        memory_mib: u64,
        /// Queries that read fewer bytes run in the scheduler's process [default: 4194304]
        #[arg(long, env = "BERGMILL_LOCAL_QUERY_BYTES", value_name = "BYTES")]
        local_query_bytes: u64,
    }
}

settings! {
    /// A scheduler process.
    Scheduler {
        /// Front door: where Flight SQL clients connect [default: 127.0.0.1:50051]
        #[arg(long, env = "BERGMILL_LISTEN", value_name = "ADDR")]
        listen: SocketAddr,
        /// Where executors register [default: 127.0.0.1:50050]
        #[arg(long, env = "BERGMILL_CLUSTER_LISTEN", value_name = "ADDR")]
        cluster_listen: SocketAddr,
        /// Host at which executors reach this scheduler [default: the address of cluster-listen]
        #[arg(long, env = "BERGMILL_ADVERTISE", value_name = "HOST")]
        advertise: String,
        /// Seconds of silence after which an executor is lost [default: 20]
        #[arg(long, env = "BERGMILL_EXECUTOR_TIMEOUT", value_name = "SECONDS")]
        executor_timeout: u64,
        /// Memory for queries in the scheduler's own process, in MiB [default: 512]
        #[arg(long, env = "BERGMILL_MEMORY_MIB", value_name = "MIB")]
        memory_mib: u64,
        /// Queries that read fewer bytes run in the scheduler's process [default: 4194304]
        #[arg(long, env = "BERGMILL_LOCAL_QUERY_BYTES", value_name = "BYTES")]
        local_query_bytes: u64,
        /// Folder for spilled data [default: a temporary one]
        #[arg(long, env = "BERGMILL_WORK_DIR", value_name = "DIR")]
        work_dir: PathBuf,
    }
}

settings! {
    /// An executor process.
    Executor {
        /// The scheduler's port for executors [default: 127.0.0.1:50050]
        #[arg(long, env = "BERGMILL_SCHEDULER", value_name = "HOST:PORT")]
        scheduler: String,
        /// Address to listen on for results and shuffles; port 0 takes a free one [default: 127.0.0.1:0]
        #[arg(long, env = "BERGMILL_LISTEN", value_name = "ADDR")]
        listen: SocketAddr,
        /// Port for tasks; 0 takes a free one [default: 0]
        #[arg(long, env = "BERGMILL_TASK_PORT", value_name = "PORT")]
        task_port: u16,
        /// Host at which the others reach this executor [default: the address of listen]
        #[arg(long, env = "BERGMILL_ADVERTISE", value_name = "HOST")]
        advertise: String,
        /// Task slots [default: the cores of this machine]
        #[arg(long, env = "BERGMILL_VCORES", value_name = "N")]
        vcores: usize,
        /// Memory that tasks may hold before they spill, in MiB [default: 1024]
        #[arg(long, env = "BERGMILL_MEMORY_MIB", value_name = "MIB")]
        memory_mib: u64,
        /// Folder for shuffled and spilled data [default: a temporary one]
        #[arg(long, env = "BERGMILL_WORK_DIR", value_name = "DIR")]
        work_dir: PathBuf,
        /// Seconds between signs of life [default: 3]
        #[arg(long, env = "BERGMILL_HEARTBEAT", value_name = "SECONDS")]
        heartbeat: u64,
        /// Seconds to try to reach the scheduler [default: 30]
        #[arg(long, env = "BERGMILL_CONNECT_TIMEOUT", value_name = "SECONDS")]
        connect_timeout: u64,
    }
}

impl Data {
    /// The folder of the warehouse.
    pub fn folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| PathBuf::from("bergmill-data"))
    }

    /// Opens the warehouse in that folder, and makes what is missing.
    pub async fn open(&self) -> Result<Warehouse> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).with_context(|| format!("data folder {}", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("data folder {}", folder.display()))?;
        Ok(Warehouse::open_local(&folder, self.catalog_name.as_deref().unwrap_or(CATALOG_NAME)).await?)
    }
}

/// Completes a group of settings with the file's section of that name, if a file is given.
pub fn with_file<T: Layered + Default>(given: T, file: Option<&Path>, section: &str) -> Result<T> {
    let Some(path) = file else { return Ok(given) };
    let text = std::fs::read_to_string(path).with_context(|| format!("configuration file {}", path.display()))?;
    let mut all: toml::Table =
        toml::from_str(&text).with_context(|| format!("configuration file {}", path.display()))?;
    let known = ["data", "embedded", "scheduler", "executor"];
    if let Some(unknown) = all.keys().find(|k| !known.contains(&k.as_str())) {
        anyhow::bail!("configuration file {}: no section [{unknown}]; there are {}", path.display(), known.join(", "));
    }
    let Some(values) = all.remove(section) else { return Ok(given) };
    let file = values.try_into::<T>().with_context(|| format!("configuration file {}: [{section}]", path.display()))?;
    Ok(given.over(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_over_the_file_and_unknown_keys_are_refused() {
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
        assert!(e.contains("no section [exeggutor]"), "{e}");
    }
}
