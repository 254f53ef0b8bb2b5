//! The warehouse: a catalog and the storage of its tables. Tables are created, found and loaded here; the `commit`
//! module changes them.

use std::sync::{Arc, Mutex, PoisonError};

use bergmill_storage::{Location, Stores, VendedCredentials, VendedTable};
use futures::{StreamExt, TryStreamExt};
use iceberg::io::FileIO;
use iceberg::spec::{FormatVersion, TableMetadata, TableMetadataBuilder};
use iceberg::table::Table;
use iceberg::{NamespaceIdent, Runtime, TableIdent, TableUpdate};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::pointers::layout::{LOCATION, Layout, check_location};
use crate::pointers::store::{Catalog, Change, Draft, NewTable, TableEntry, check_name, check_namespace, missing};
use crate::table::commit::CommitCounts;
use crate::table::files::SnapshotFilesCache;
use crate::table::metadata_files::{file_io, file_io_of, vended_to};
use crate::table::metadata_paths::first_location;
use crate::table::metadata_text::{read_metadata, write_metadata};
use crate::table::recent::Recent;

/// Number of loaded tables that are cached.
const CACHED_TABLES: usize = 64;

/// Size of the iceberg crate's manifest cache per table.
const MANIFEST_CACHE_BYTES: u64 = 4 << 20;

/// Number of concurrent listings of namespaces, such as for the hint when a name is not found.
pub(crate) const LISTINGS_IN_FLIGHT: usize = 8;

/// A catalog, the storage of its tables, and the location of new tables. Clones share everything.
#[derive(Debug, Clone)]
pub struct Warehouse {
    catalog: Arc<dyn Catalog>,
    stores: Arc<Stores>,
    file_io: FileIO,
    layout: Layout,
    loaded: Arc<LoadedTables>,
    files_cache: Arc<SnapshotFilesCache>,
    commit_counts: Arc<CommitCounts>,
}

impl Warehouse {
    /// `location` is the parent folder of the namespaces' folders, as a URI without percent-encoding. `{namespace}` in
    /// it stands for the name of a namespace: with `s3://{namespace}` each namespace has its own bucket.
    pub fn new(catalog: Arc<dyn Catalog>, stores: Arc<Stores>, location: &str) -> Result<Self> {
        let layout = Layout::new(location);
        layout.check()?;
        let file_io = file_io(Arc::clone(&stores));
        if let Some(vendor) = catalog.vendor() {
            stores.set_vendor(vendor);
        }
        Ok(Self {
            catalog,
            stores,
            file_io,
            layout,
            loaded: Arc::default(),
            files_cache: Arc::default(),
            commit_counts: Arc::default(),
        })
    }

    /// The attempts of this process to change tables.
    pub fn commit_counts(&self) -> &CommitCounts {
        &self.commit_counts
    }

    /// The catalog, for namespaces, listings, renaming.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }

    /// The object stores of all files.
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// The iceberg crate's access to metadata files in the same stores.
    pub fn file_io(&self) -> &FileIO {
        &self.file_io
    }

    pub(crate) fn files_cache(&self) -> Arc<SnapshotFilesCache> {
        Arc::clone(&self.files_cache)
    }

    /// The location given to [`Warehouse::new`], for namespaces without a location of their own.
    pub fn location(&self) -> &str {
        self.layout.as_str()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The current table. Reads the catalog once; cached metadata is not read again.
    pub async fn load(&self, table: &TableIdent) -> Result<Table> {
        match self.find(table).await? {
            Some(found) => Ok(found),
            None => Err(self.not_found(table).await),
        }
    }

    /// The current table, if there is such a table.
    pub async fn find(&self, table: &TableIdent) -> Result<Option<Table>> {
        match self.catalog.find(table).await? {
            Some(TableEntry { location, metadata: Some(metadata), credentials }) => {
                let is_vended = credentials.is_some();
                self.take_vended(table, &metadata, credentials);
                let loaded = self.loaded.get(table, &location);
                if let Some(loaded) = loaded.filter(|t| vended_address(t).is_some() == is_vended) {
                    return Ok(Some(loaded));
                }
                let loaded = self.table(table, &location, metadata)?;
                self.loaded.put(&location, loaded.clone());
                Ok(Some(loaded))
            }
            Some(TableEntry { location, .. }) => self.load_at(table, &location).await.map(Some),
            None => Ok(None),
        }
    }

    /// The table as the metadata file at `location` describes it.
    pub async fn load_at(&self, table: &TableIdent, location: &str) -> Result<Table> {
        if let Some(loaded) = self.loaded.get(table, location) {
            return Ok(loaded);
        }
        let metadata =
            read_metadata(&self.file_io, location).await.map_err(|e| e.context(format_args!("table {table}")))?;
        let loaded = self.table(table, location, metadata)?;
        self.loaded.put(location, loaded.clone());
        Ok(loaded)
    }

    /// Creates a table of format version 2 without a snapshot. `AlreadyExists` if there is a table of that name.
    pub async fn create(&self, table: &TableIdent, new: NewTable) -> Result<Table> {
        let draft = self.draft(table, new).await?;
        self.write_draft(&draft).await?;
        self.publish_draft(&draft, draft.metadata_location_result()?, &[]).await?;
        // A catalog that writes metadata itself may have added to it.
        if self.catalog.writes_metadata() { self.load(table).await } else { Ok(draft) }
    }

    /// A new table that is only visible to the caller: nothing is written yet. Rows can be written for it;
    /// [`Warehouse::land`] then makes the table and its rows visible atomically.
    pub async fn draft(&self, table: &TableIdent, new: NewTable) -> Result<Table> {
        check_namespace(table.namespace())?;
        check_name("table", table.name())?;
        let namespace = self.catalog.namespace_properties(table.namespace()).await?;
        let new = NewTable { location: new.location.as_deref().map(check_location).transpose()?, ..new };
        if let Some(Draft { metadata, credentials }) = self.catalog.draft(table, &new).await? {
            self.take_vended(table, &metadata, credentials);
            let file = first_location(&metadata)?;
            return self.table(table, &file, metadata);
        }
        let location = match new.location {
            Some(location) => location,
            None => self.free_location(table, namespace.get(LOCATION)).await,
        };
        let (schema, spec, order) = (new.schema, new.partition_spec, new.sort_order);
        let metadata =
            TableMetadataBuilder::new(schema, spec, order, location.clone(), FormatVersion::V2, new.properties)
                .and_then(TableMetadataBuilder::build)
                .map_err(|e| Error::new(ErrorKind::Invalid, format!("creating table {table}")).with_source(e))?
                .metadata;
        let file = first_location(&metadata)?;
        self.table(table, &file, metadata)
    }

    /// Writes the draft's metadata file.
    pub(crate) async fn write_draft(&self, draft: &Table) -> Result<()> {
        self.write_metadata(draft.metadata(), draft.metadata_location_result()?).await
    }

    /// Writes a metadata file, unless the catalog does so; leaves no file behind when it fails.
    pub(crate) async fn write_metadata(&self, metadata: &TableMetadata, file: &str) -> Result<()> {
        if self.catalog.writes_metadata() {
            return Ok(());
        }
        let written = write_metadata(&self.file_io, metadata, file).await;
        if written.is_err() {
            self.discard([file.to_string()]).await;
        }
        written
    }

    /// Makes the draft, with the updates in `more`, a table whose current metadata is at `location`.
    pub(crate) async fn publish_draft(&self, draft: &Table, location: &str, more: &[TableUpdate]) -> Result<()> {
        let table = draft.identifier();
        let updates = [creation(draft.metadata()), more.to_vec()].concat();
        let change = Change { table, base: None, location, updates: &updates };
        let Err(e) = self.catalog.create(&change).await else { return Ok(()) };
        match self.catalog.find(table).await {
            // The table was created despite the error.
            Ok(Some(found)) if found.location == location => return Ok(()),
            Ok(Some(TableEntry { metadata: Some(now), .. })) if now.uuid() == draft.metadata().uuid() => return Ok(()),
            // The request may still arrive, and then the file is needed.
            _ if e.kind() == ErrorKind::Unknown => {
                let what =
                    format!("it is unknown whether table {table} was created; it was if it exists, with its rows");
                return Err(Error::new(ErrorKind::Unknown, what).with_source(e));
            }
            _ => discard(draft.file_io(), [location.to_string()]).await,
        }
        Err(e)
    }

    /// Removes the table from the catalog; its files stay.
    pub async fn drop_table(&self, table: &TableIdent) -> Result<()> {
        match self.catalog.remove(table).await {
            Err(e) if e.kind() == ErrorKind::NotFound => Err(self.not_found(table).await),
            other => other,
        }
    }

    /// Renames a table. `NotFound` if there is no such table or namespace, `AlreadyExists` if the name is taken.
    pub async fn rename_table(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        check_namespace(to.namespace())?;
        check_name("table", to.name())?;
        match self.catalog.rename(from, to).await {
            Err(e) if e.kind() == ErrorKind::NotFound && self.find(from).await?.is_none() => {
                Err(self.not_found(from).await)
            }
            other => other,
        }
    }

    /// Deletes files that no catalog points to. Files that cannot be deleted are logged and left to maintenance.
    pub async fn discard(&self, paths: impl IntoIterator<Item = String>) {
        discard(&self.file_io, paths).await;
    }

    /// Stores the credentials that the catalog vended for a table's files.
    fn take_vended(&self, table: &TableIdent, metadata: &TableMetadata, credentials: Option<VendedCredentials>) {
        if let Some(credentials) = credentials {
            self.stores.put_vended(&vended_table(table, metadata), credentials);
        }
    }

    pub(crate) fn table(&self, table: &TableIdent, location: &str, metadata: TableMetadata) -> Result<Table> {
        let file_io = match self.stores.known_table(&vended_table(table, &metadata)) {
            Some(stores) => file_io_of(Arc::clone(&self.stores), stores),
            None => self.file_io.clone(),
        };
        Ok(Table::builder()
            .identifier(table.clone())
            .metadata_location(location)
            .metadata(metadata)
            .file_io(file_io)
            .runtime(Runtime::try_current()?)
            .cache_size_bytes(MANIFEST_CACHE_BYTES)
            .build()?)
    }

    /// A folder that no table has ever written to: files of a dropped table must not be mistaken for, or removed with,
    /// those of its successor. Object stores have no folders to check, so there the folder always has a unique name.
    async fn free_location(&self, table: &TableIdent, namespace: Option<&String>) -> String {
        let folder = match namespace {
            Some(location) => location.trim_end_matches('/').to_string(),
            None => self.layout.folder(table.namespace()),
        };
        let mut location = format!("{folder}/{}", table.name());
        let is_local = Location::parse(&location).is_ok_and(|at| at.is_local());
        let is_free = is_local && matches!(self.file_io.exists(&location).await, Ok(false));
        if !is_free {
            location.push('-');
            location.push_str(&Uuid::new_v4().simple().to_string()[..8]);
        }
        location
    }

    /// The location of a new table or view.
    pub(crate) async fn new_location(&self, ident: &TableIdent) -> Result<String> {
        if !self.catalog.namespace_exists(ident.namespace()).await? {
            return Err(missing::namespace(ident.namespace(), &self.catalog.namespaces().await?));
        }
        let namespace = self.catalog.namespace_properties(ident.namespace()).await?;
        Ok(self.free_location(ident, namespace.get(LOCATION)).await)
    }

    /// The error for a missing table, with the nearest name; it says so if there is a view of the name.
    pub(crate) async fn not_found(&self, table: &TableIdent) -> Error {
        if let Ok(Some(_)) = self.catalog.view_pointer(table).await {
            return Error::new(ErrorKind::NotFound, format!("{table} is a view, not a table"));
        }
        // Errors while finding a hint are ignored.
        let namespaces = self.catalog.namespaces().await.unwrap_or_default();
        if !namespaces.is_empty() && !namespaces.contains(table.namespace()) {
            return missing::namespace(table.namespace(), &namespaces);
        }
        let known = self.all_tables(namespaces).await.unwrap_or_default();
        missing::table(table, &known)
    }

    async fn all_tables(&self, namespaces: Vec<NamespaceIdent>) -> Result<Vec<TableIdent>> {
        let listings = namespaces.into_iter().map(|ns| async move { self.catalog.tables(&ns).await });
        let tables: Vec<Vec<TableIdent>> =
            futures::stream::iter(listings).buffered(LISTINGS_IN_FLIGHT).try_collect().await?;
        Ok(tables.concat())
    }
}

/// Deletes files that no snapshot refers to, such as those of a write that was not committed. Files that cannot be
/// deleted are logged and left to maintenance.
pub(crate) async fn discard(files: &FileIO, paths: impl IntoIterator<Item = String>) {
    for path in paths {
        if let Err(error) = files.delete(&path).await {
            tracing::warn!(path, %error, "could not delete an unused file");
        }
    }
}

/// The identity of a table for vended credentials.
fn vended_table(ident: &TableIdent, metadata: &TableMetadata) -> VendedTable {
    VendedTable::new(ident.namespace(), ident.name(), metadata.uuid())
}

/// The table in the URL of its object stores, if its files are accessed with credentials that the catalog vends; `None`
/// if each process uses its own keys.
pub fn vended_address(table: &Table) -> Option<&str> {
    vended_to(table.file_io())
}

/// The updates that create a table with this metadata, in the order of the reference's `TableMetadata.buildFromEmpty`.
fn creation(metadata: &TableMetadata) -> Vec<TableUpdate> {
    const LAST_ADDED: i32 = TableMetadataBuilder::LAST_ADDED;
    vec![
        TableUpdate::AssignUuid { uuid: metadata.uuid() },
        TableUpdate::UpgradeFormatVersion { format_version: metadata.format_version() },
        TableUpdate::AddSchema { schema: metadata.current_schema().as_ref().clone() },
        TableUpdate::SetCurrentSchema { schema_id: LAST_ADDED },
        TableUpdate::AddSpec { spec: metadata.default_partition_spec().as_ref().clone().into_unbound() },
        TableUpdate::SetDefaultSpec { spec_id: LAST_ADDED },
        TableUpdate::AddSortOrder { sort_order: metadata.default_sort_order().as_ref().clone() },
        TableUpdate::SetDefaultSortOrder { sort_order_id: i64::from(LAST_ADDED) },
        TableUpdate::SetLocation { location: metadata.location().to_string() },
        TableUpdate::SetProperties { updates: metadata.properties().clone() },
    ]
}

/// Tables by the location of their metadata file, which never changes once written.
#[derive(Debug)]
struct LoadedTables(Mutex<Recent<Table>>);

impl Default for LoadedTables {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(CACHED_TABLES)))
    }
}

impl LoadedTables {
    fn get(&self, table: &TableIdent, location: &str) -> Option<Table> {
        let loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(location);
        // After a rename the same file belongs to another table.
        loaded.filter(|loaded| loaded.identifier() == table)
    }

    fn put(&self, location: &str, table: Table) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(location, table, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointers::sql::SqlCatalog;
    use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
    use std::collections::{BTreeMap, HashSet};

    async fn warehouse(folder: &std::path::Path) -> Warehouse {
        let catalog = SqlCatalog::open(folder.join("catalog.db"), "test").await.unwrap();
        catalog.create_namespace(&NamespaceIdent::new("raw".into()), &BTreeMap::new()).await.unwrap();
        Warehouse::new(Arc::new(catalog), Stores::local(), &format!("file://{}/wh/", folder.display())).unwrap()
    }

    fn new_table() -> NewTable {
        let id = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long));
        NewTable::new(Schema::builder().with_fields([id.into()]).build().unwrap())
    }

    fn ident(name: &str) -> TableIdent {
        TableIdent::from_strs(name.split('.')).unwrap()
    }

    #[tokio::test]
    async fn a_created_table_can_be_loaded_and_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = warehouse(folder.path()).await;
        let events = ident("raw.events");
        let created = warehouse.create(&events, new_table()).await.unwrap();
        let loaded = warehouse.load(&events).await.unwrap();
        assert_eq!(created.metadata(), loaded.metadata());
        assert_eq!(loaded.metadata().location(), format!("file://{}/wh/raw/events", folder.path().display()));
        assert!(Arc::ptr_eq(&loaded.metadata_ref(), &warehouse.load(&events).await.unwrap().metadata_ref()));

        let e = warehouse.create(&events, new_table()).await.unwrap_err();
        assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::AlreadyExists, "table raw.events already exists"));
        assert_eq!(files(&folder.path().join("wh")).len(), 1, "a refused table leaves no file");

        warehouse.drop_table(&events).await.unwrap();
        assert_eq!(warehouse.drop_table(&events).await.unwrap_err().kind(), ErrorKind::NotFound);
        let again = warehouse.create(&events, new_table()).await.unwrap();
        assert_ne!(again.metadata().location(), created.metadata().location());
    }

    #[tokio::test]
    async fn a_table_is_created_in_the_location_of_its_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let uri = |path: &str| format!("file://{}/{path}", folder.path().display());
        let plain = warehouse(folder.path()).await;
        plain.create_namespace("located", Some(&uri("elsewhere/"))).await.unwrap();
        let at = async |warehouse: &Warehouse, name: &str| {
            warehouse.create(&ident(name), new_table()).await.unwrap().metadata().location().to_string()
        };
        assert_eq!(at(&plain, "located.t").await, uri("elsewhere/t"));
        assert_eq!(at(&plain, "raw.t").await, uri("wh/raw/t"));

        // The location from a template is stored with the namespace, because other engines do not know the template.
        let templated = Warehouse::new(Arc::clone(plain.catalog()), Stores::local(), &uri("of-{namespace}/x")).unwrap();
        templated.create_namespace("processed", None).await.unwrap();
        assert_eq!(at(&templated, "processed.t").await, uri("of-processed/x/t"));
        assert_eq!(at(&plain, "processed.u").await, uri("of-processed/x/u"));
        let e = plain.create_namespace("wrong", Some("hdfs://x/y")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn errors_for_wrong_names_suggest_the_nearest_name() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = warehouse(folder.path()).await;
        warehouse.create(&ident("raw.events"), new_table()).await.unwrap();
        let e = warehouse.load(&ident("raw.evnts")).await.unwrap_err();
        assert_eq!(e.to_string(), "table raw.evnts not found; did you mean raw.events?");
        let e = warehouse.create(&ident("rwa.x"), new_table()).await.unwrap_err();
        assert_eq!(
            (e.kind(), e.to_string().as_str()),
            (ErrorKind::NotFound, "namespace rwa not found; did you mean raw?")
        );
        let e = warehouse.create(&TableIdent::new(ident("raw.x").namespace, "../x".into()), new_table()).await;
        assert_eq!(e.unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn damaged_metadata_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = warehouse(folder.path()).await;
        let events = ident("raw.events");
        let created = warehouse.create(&events, new_table()).await.unwrap();
        let location = created.metadata_location().unwrap();
        let file = location.strip_prefix("file://").unwrap();
        let text = std::fs::read(file).unwrap();

        std::fs::write(file, &text[..text.len() / 2]).unwrap();
        let e = warehouse.load(&events).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.to_string().contains(&format!("table raw.events: metadata file {location} cannot be read")), "{e}");

        std::fs::remove_file(file).unwrap();
        let e = warehouse.load(&events).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.to_string().ends_with("is missing"), "{e}");

        std::fs::write(file, &text).unwrap();
        warehouse.load(&events).await.unwrap();
    }

    fn files(folder: &std::path::Path) -> HashSet<std::path::PathBuf> {
        let mut found = HashSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => found.extend(files(&path)),
                false => drop(found.insert(path)),
            }
        }
        found
    }
}
