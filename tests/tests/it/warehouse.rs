//! A cluster over its own empty warehouse: on disk with a catalog in SQLite, or where the environment says.
//!
//! `BERGMILL_TEST_WAREHOUSE` and `BERGMILL_TEST_CATALOG` name a bucket and a server, as `tests/services/run` sets them.
//! Each warehouse then has its own folder there, and its own catalog name (for a REST server, its own part of the
//! path). They are kept when the cluster ends.

use std::path::{Path, PathBuf};

use bergmill_gateway::Client;
use tempfile::TempDir;

use crate::process::{Process, serve};

/// A cluster, which ends when this goes out of scope.
pub struct Cluster {
    pub client: Client,
    /// Address of the front door, for more clients.
    pub door: String,
    pub location: Location,
    data: PathBuf,
    /// The arguments for its warehouse and catalog.
    own: Vec<String>,
    _process: Process,
    _temporary: Option<TempDir>,
}

impl Cluster {
    /// Another cluster over the same warehouse: its process, and a client.
    pub async fn another(&self, arguments: &[&str]) -> (Process, Client) {
        let (process, door) = start(&self.data, arguments, &self.own);
        let client = Client::connect(&door).await.unwrap();
        (process, client)
    }
}

/// Where a cluster stores its tables.
pub struct Location {
    /// The parent URI of its namespaces.
    pub warehouse: String,
    /// The file of a SQLite catalog; `None` for a server, whose address holds a password.
    pub catalog_file: Option<PathBuf>,
    /// The name that distinguishes the rows of this catalog from those of others.
    pub catalog_name: String,
}

/// Starts a cluster with these arguments of `bergmill serve`, over a new warehouse. Its local files are in `folder`,
/// which is created and kept, or in a temporary folder.
pub async fn cluster(arguments: &[&str], folder: Option<&Path>) -> Cluster {
    let temporary = folder.is_none().then(|| tempfile::tempdir().unwrap());
    let data = temporary.as_ref().map_or_else(|| folder.expect("one of them"), TempDir::path).to_owned();
    std::fs::create_dir_all(&data).unwrap();
    let (location, own) = locate(&data);
    let (process, door) = start(&data, arguments, &own);
    let client = Client::connect(&door).await.unwrap();
    Cluster { client, door, location, data, own, _process: process, _temporary: temporary }
}

fn start(data: &Path, arguments: &[&str], own: &[String]) -> (Process, String) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(own.iter().map(String::as_str)).collect();
    serve(data, &arguments)
}

/// Whether the catalog is behind a REST server, which writes the metadata of tables itself.
pub fn behind_rest() -> bool {
    std::env::var("BERGMILL_TEST_CATALOG").is_ok_and(|server| server.starts_with("http"))
}

/// The location of a new warehouse, and the arguments for it.
fn locate(data: &Path) -> (Location, Vec<String>) {
    // Unique, so that no two runs share a warehouse in a server.
    let unique = tempfile::Builder::new().prefix("w").tempdir().unwrap();
    let own = unique.path().file_name().expect("a name").to_string_lossy().into_owned();
    let mut location = Location {
        warehouse: format!("file://{}/warehouse", data.display()),
        catalog_file: Some(data.join("catalog.db")),
        catalog_name: "bergmill".to_string(),
    };
    let mut arguments = Vec::new();
    if let Ok(parent) = std::env::var("BERGMILL_TEST_WAREHOUSE") {
        location.warehouse = format!("{parent}/{own}");
        arguments.extend(["--warehouse".to_string(), location.warehouse.clone()]);
    }
    if let Ok(server) = std::env::var("BERGMILL_TEST_CATALOG") {
        location.catalog_file = None;
        location.catalog_name.clone_from(&own);
        if server.starts_with("http") {
            arguments.extend(["--catalog".to_string(), format!("{server}/{own}")]);
        } else {
            arguments.extend(["--catalog", &server, "--catalog-name", &own].map(ToString::to_string));
        }
    }
    (location, arguments)
}
