//! A cluster over an empty warehouse of its own: on a disk with a catalog in SQLite, or where the environment says.
//!
//! `BERGMILL_TEST_WAREHOUSE` and `BERGMILL_TEST_CATALOG` name a bucket and a server, as `tests/services/run` sets them.
//! Each warehouse is then a part of that location, and a catalog name (of a REST server, a part of the path) that
//! nobody else has. They stay when the cluster has ended.

use std::path::{Path, PathBuf};

use bergmill_gateway::Client;
use tempfile::TempDir;

use crate::process::{Process, serve};

/// A cluster, which ends when this goes out of scope.
pub struct Cluster {
    pub client: Client,
    /// Address of the front door, for more clients.
    pub door: String,
    pub place: Place,
    data: PathBuf,
    /// The arguments that say where its warehouse is.
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

/// Where a cluster keeps its tables.
pub struct Place {
    /// The URI that its namespaces are under.
    pub warehouse: String,
    /// The file of a SQLite catalog; of a server, nothing: its address holds a password.
    pub catalog_file: Option<PathBuf>,
    /// The name by which the rows of this catalog are told from those of others.
    pub catalog_name: String,
}

/// Starts a cluster with these arguments of `bergmill serve`, over a new warehouse. What is on a disk is in `folder`,
/// which is made and stays, or in a temporary one.
pub async fn cluster(arguments: &[&str], folder: Option<&Path>) -> Cluster {
    let temporary = folder.is_none().then(|| tempfile::tempdir().unwrap());
    let data = temporary.as_ref().map_or_else(|| folder.expect("one of them"), TempDir::path).to_owned();
    std::fs::create_dir_all(&data).unwrap();
    let (place, own) = place(&data);
    let (process, door) = start(&data, arguments, &own);
    let client = Client::connect(&door).await.unwrap();
    Cluster { client, door, place, data, own, _process: process, _temporary: temporary }
}

fn start(data: &Path, arguments: &[&str], own: &[String]) -> (Process, String) {
    let arguments: Vec<&str> = arguments.iter().copied().chain(own.iter().map(String::as_str)).collect();
    serve(data, &arguments)
}

/// Whether the catalog is behind a REST server, which writes the metadata of tables itself.
pub fn behind_rest() -> bool {
    std::env::var("BERGMILL_TEST_CATALOG").is_ok_and(|server| server.starts_with("http"))
}

/// The place of a new warehouse, and the arguments that say so.
fn place(data: &Path) -> (Place, Vec<String>) {
    // No two runs may meet in a server, whatever their folders are called.
    let unique = tempfile::Builder::new().prefix("w").tempdir().unwrap();
    let own = unique.path().file_name().expect("a name").to_string_lossy().into_owned();
    let mut place = Place {
        warehouse: format!("file://{}/warehouse", data.display()),
        catalog_file: Some(data.join("catalog.db")),
        catalog_name: "bergmill".to_string(),
    };
    let mut arguments = Vec::new();
    if let Ok(location) = std::env::var("BERGMILL_TEST_WAREHOUSE") {
        place.warehouse = format!("{location}/{own}");
        arguments.extend(["--warehouse".to_string(), place.warehouse.clone()]);
    }
    if let Ok(server) = std::env::var("BERGMILL_TEST_CATALOG") {
        place.catalog_file = None;
        place.catalog_name.clone_from(&own);
        if server.starts_with("http") {
            arguments.extend(["--catalog".to_string(), format!("{server}/{own}")]);
        } else {
            arguments.extend(["--catalog", &server, "--catalog-name", &own].map(ToString::to_string));
        }
    }
    (place, arguments)
}
