//! A catalog in SQLite that records its requests and can stop answering; a scheduler over it in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bergmill_catalog::{Catalog, Error, ErrorKind, NamespaceIdent, Result, SqlCatalog, TableIdent, Warehouse};
use bergmill_gateway::Client;
use bergmill_scheduler::{Running, SchedulerConfig};
use bergmill_storage::Stores;
use tempfile::TempDir;

#[derive(Debug)]
pub struct Observed {
    inner: SqlCatalog,
    requests: Mutex<Vec<String>>,
    answers: AtomicU8,
}

const ALL: u8 = 0;
const UNTIL_A_CHANGE: u8 = 1;
const NONE: u8 = 2;

impl Observed {
    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// The next change of a table is made, but neither it nor any later request is answered.
    pub fn fall_silent(&self) {
        self.answers.store(UNTIL_A_CHANGE, Ordering::SeqCst);
    }

    pub fn answer_again(&self) {
        self.answers.store(ALL, Ordering::SeqCst);
    }

    fn record(&self, what: String) -> Result<()> {
        self.requests.lock().unwrap().push(what);
        match self.answers.load(Ordering::SeqCst) {
            NONE => Err(Error::new(ErrorKind::Unknown, "connection lost")),
            _ => Ok(()),
        }
    }

    fn changed(&self) -> Result<()> {
        let was = self.answers.compare_exchange(UNTIL_A_CHANGE, NONE, Ordering::SeqCst, Ordering::SeqCst);
        if was.is_ok() { Err(Error::new(ErrorKind::Unknown, "connection lost")) } else { Ok(()) }
    }
}

#[async_trait]
impl Catalog for Observed {
    async fn namespaces(&self) -> Result<Vec<NamespaceIdent>> {
        self.record("namespaces".to_string())?;
        self.inner.namespaces().await
    }
    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool> {
        self.record(format!("namespace {namespace}"))?;
        self.inner.namespace_exists(namespace).await
    }
    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: &BTreeMap<String, String>) -> Result<()> {
        self.record(format!("create namespace {namespace}"))?;
        self.inner.create_namespace(namespace, properties).await
    }
    async fn namespace_properties(&self, namespace: &NamespaceIdent) -> Result<BTreeMap<String, String>> {
        self.record(format!("properties of {namespace}"))?;
        self.inner.namespace_properties(namespace).await
    }
    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        self.record(format!("drop namespace {namespace}"))?;
        self.inner.drop_namespace(namespace).await
    }
    async fn tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.record(format!("tables of {namespace}"))?;
        self.inner.tables(namespace).await
    }
    async fn pointer(&self, table: &TableIdent) -> Result<Option<String>> {
        self.record(format!("table {table}"))?;
        self.inner.pointer(table).await
    }
    async fn insert(&self, table: &TableIdent, metadata_location: &str) -> Result<()> {
        self.record(format!("create {table}"))?;
        self.inner.insert(table, metadata_location).await?;
        self.changed()
    }
    async fn swap(&self, table: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        self.record(format!("change {table}"))?;
        let done = self.inner.swap(table, expected, new).await?;
        self.changed().map(|()| done)
    }
    async fn remove(&self, table: &TableIdent) -> Result<()> {
        self.record(format!("drop {table}"))?;
        self.inner.remove(table).await
    }
    async fn rename(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        self.record(format!("rename {from}"))?;
        self.inner.rename(from, to).await
    }
    async fn views(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.record(format!("views of {namespace}"))?;
        self.inner.views(namespace).await
    }
    async fn view_pointer(&self, view: &TableIdent) -> Result<Option<String>> {
        self.record(format!("view {view}"))?;
        self.inner.view_pointer(view).await
    }
    async fn insert_view(&self, view: &TableIdent, metadata_location: &str) -> Result<()> {
        self.record(format!("create view {view}"))?;
        self.inner.insert_view(view, metadata_location).await
    }
}

/// A front door over an empty warehouse whose catalog is observed. Without executors: small statements need none.
pub struct Door {
    pub catalog: Arc<Observed>,
    pub client: Client,
    _folder: TempDir,
    _running: Running,
}

impl Door {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Arc::new(observed(folder.path()).await);
        let location = format!("file://{}/warehouse", folder.path().display());
        let warehouse = Warehouse::new(Arc::clone(&catalog) as _, Stores::local(), &location).unwrap();
        let config = SchedulerConfig::embedded(folder.path().join("work"));
        let running = bergmill_scheduler::start(config, warehouse).await.unwrap();
        let client = Client::connect(&running.listen.to_string()).await.unwrap();
        Self { catalog, client, _folder: folder, _running: running }
    }

    pub async fn update(&self, sql: &str) -> u64 {
        self.client.update(sql, None).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }
}

async fn observed(folder: &Path) -> Observed {
    let inner = SqlCatalog::open(folder.join("catalog.db"), "bergmill").await.unwrap();
    Observed { inner, requests: Mutex::default(), answers: AtomicU8::new(ALL) }
}
