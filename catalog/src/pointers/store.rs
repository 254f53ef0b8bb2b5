//! The interface of a catalog: it keeps namespaces, and for each table the current metadata, which changes only from
//! the version that the writer has read to the next.
//!
//! There are two kinds. SQL databases keep a pointer to a metadata file, which the warehouse has written: they
//! implement [`Catalog::pointer`], [`Catalog::insert`] and [`Catalog::swap`], and the rest follows. REST servers write
//! metadata files themselves, from updates and requirements: they take a whole [`Change`]. Views are kept in the same
//! two ways.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bergmill_storage::{CredentialVendor, VendedCredentials};
use iceberg::spec::{Schema, SortOrder, TableMetadata, UnboundPartitionSpec, ViewMetadata};
use iceberg::{NamespaceIdent, TableIdent, TableUpdate, ViewUpdate};

use crate::error::{Error, ErrorKind, Result};
pub(crate) use crate::pointers::missing;

/// A table as its catalog finds it.
#[derive(Debug, Clone)]
pub struct TableEntry {
    /// Its current metadata file.
    pub location: String,
    /// Its content, if the catalog returned it.
    pub metadata: Option<TableMetadata>,
    /// The credentials for its files, if the catalog vends any.
    pub credentials: Option<VendedCredentials>,
}

/// The definition of a new table. Field ids are reassigned, as in all Iceberg implementations.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// Columns.
    pub schema: Schema,
    /// How its files are divided.
    pub partition_spec: UnboundPartitionSpec,
    /// The order of rows in a file.
    pub sort_order: SortOrder,
    /// Table properties.
    pub properties: HashMap<String, String>,
    /// Where its files go; a folder of the warehouse if not given.
    pub location: Option<String>,
}

impl NewTable {
    /// An unpartitioned, unsorted table without properties in the warehouse.
    pub fn new(schema: Schema) -> Self {
        Self {
            schema,
            partition_spec: UnboundPartitionSpec::builder().build(),
            sort_order: SortOrder::unsorted_order(),
            properties: HashMap::new(),
            location: None,
        }
    }
}

/// A new table as its catalog would create it. Nothing is created yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its metadata, with the location that the catalog chose.
    pub metadata: TableMetadata,
    /// The credentials for its files, if the catalog vends any.
    pub credentials: Option<VendedCredentials>,
}

/// A change of a table's metadata, for a catalog to make it current.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The table.
    pub table: &'a TableIdent,
    /// The metadata file that the change is based on, and its content; `None` for a new table.
    pub base: Option<(&'a str, &'a TableMetadata)>,
    /// The file of the new metadata. It exists already, unless the catalog writes metadata itself.
    pub location: &'a str,
    /// The steps from the base to the new metadata; for a new table, its whole definition.
    pub updates: &'a [TableUpdate],
}

/// A view as its catalog finds it.
#[derive(Debug, Clone)]
pub struct ViewEntry {
    /// Its current metadata file.
    pub location: String,
    /// Its content, if the catalog returned it.
    pub metadata: Option<ViewMetadata>,
}

/// A change of a view's metadata, for a catalog to make it current.
#[derive(Debug, Clone, Copy)]
pub struct ViewChange<'a> {
    /// The view.
    pub view: &'a TableIdent,
    /// The metadata file that the change is based on, and its content; `None` for a new view.
    pub base: Option<(&'a str, &'a ViewMetadata)>,
    /// The file of the new metadata. It exists already, unless the catalog writes metadata itself.
    pub location: &'a str,
    /// The new metadata. A catalog that writes it may decide on another location.
    pub metadata: &'a ViewMetadata,
    /// The steps from the base to the new metadata.
    pub updates: &'a [ViewUpdate],
}

/// A catalog. [`conformance`] checks an implementation that keeps pointers, [`crate::warehouse_conformance`] any.
#[async_trait]
pub trait Catalog: Debug + Send + Sync {
    /// All namespaces, nested ones too, in the order of their names.
    async fn namespaces(&self) -> Result<Vec<NamespaceIdent>>;

    /// Whether the namespace was created, or holds a table or another namespace.
    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool>;

    /// `AlreadyExists` if it was created before.
    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: &BTreeMap<String, String>) -> Result<()>;

    /// The properties of a namespace, such as the `location` of its tables. `NotFound` if there is no such namespace.
    async fn namespace_properties(&self, namespace: &NamespaceIdent) -> Result<BTreeMap<String, String>>;

    /// `NotFound` if there is no such namespace, `Invalid` if it is not empty.
    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()>;

    /// The tables of a namespace in the order of their names; none if there is no such namespace.
    async fn tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>>;

    /// Where the table's current metadata is; `None` if there is no such table.
    async fn pointer(&self, table: &TableIdent) -> Result<Option<String>>;

    /// Adds a table. `AlreadyExists` if its name is taken, `NotFound` if its namespace does not exist.
    async fn insert(&self, table: &TableIdent, metadata_location: &str) -> Result<()>;

    /// Moves the table's pointer from `expected` to `new`. Returns false and does nothing if it is not at `expected`,
    /// or there is no such table.
    ///
    /// An error of kind [`ErrorKind::Unknown`] means that the swap may have happened, or may even happen later. With an
    /// error of any other kind it has not happened and will not.
    async fn swap(&self, table: &TableIdent, expected: &str, new: &str) -> Result<bool>;

    /// Whether the catalog writes metadata files itself, so that its callers do not.
    fn writes_metadata(&self) -> bool {
        false
    }

    /// The table as it is now; `None` if there is no such table.
    async fn find(&self, table: &TableIdent) -> Result<Option<TableEntry>> {
        Ok(self.pointer(table).await?.map(|location| TableEntry { location, metadata: None, credentials: None }))
    }

    /// The new table as the catalog would create it, if the catalog decides parts of it, such as the location. Nothing
    /// is created.
    async fn draft(&self, _: &TableIdent, _: &NewTable) -> Result<Option<Draft>> {
        Ok(None)
    }

    /// The vendor of credentials for tables' files, if the catalog vends any.
    fn vendor(&self) -> Option<Arc<dyn CredentialVendor>> {
        None
    }

    /// Adds a table, as [`insert`](Self::insert).
    async fn create(&self, change: &Change<'_>) -> Result<()> {
        self.insert(change.table, change.location).await
    }

    /// Applies the change if the table is still at its base, as [`swap`](Self::swap).
    async fn commit(&self, change: &Change<'_>) -> Result<bool> {
        match change.base {
            Some((expected, _)) => self.swap(change.table, expected, change.location).await,
            None => Err(Error::new(ErrorKind::Internal, "a change of a table without a base")),
        }
    }

    /// Removes the table and leaves its files. `NotFound` if there is no such table.
    async fn remove(&self, table: &TableIdent) -> Result<()>;

    /// Renames a table. `NotFound` if `from`, or the namespace of `to`, does not exist; `AlreadyExists` if `to` does.
    async fn rename(&self, from: &TableIdent, to: &TableIdent) -> Result<()>;

    /// The views of a namespace in the order of their names; none if the catalog does not support views.
    async fn views(&self, _namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        Ok(Vec::new())
    }

    /// Where the view's current metadata is; `None` if there is no such view.
    async fn view_pointer(&self, _view: &TableIdent) -> Result<Option<String>> {
        Ok(None)
    }

    /// Adds a view. `AlreadyExists` if its name is a table's or a view's, `NotFound` if its namespace does not exist,
    /// `Unsupported` if the catalog does not support views.
    async fn insert_view(&self, view: &TableIdent, _metadata_location: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, format!("view {view}: this catalog does not support views")))
    }

    /// Moves the view's pointer as [`Catalog::swap`] moves a table's.
    async fn swap_view(&self, _view: &TableIdent, _expected: &str, _new: &str) -> Result<bool> {
        Ok(false)
    }

    /// The view as it is now; `None` if there is no such view.
    async fn find_view(&self, view: &TableIdent) -> Result<Option<ViewEntry>> {
        Ok(self.view_pointer(view).await?.map(|location| ViewEntry { location, metadata: None }))
    }

    /// Adds a view, as [`insert_view`](Self::insert_view).
    async fn create_view(&self, change: &ViewChange<'_>) -> Result<()> {
        self.insert_view(change.view, change.location).await
    }

    /// Applies the change if the view is still at its base, as [`swap_view`](Self::swap_view). A catalog that writes
    /// metadata itself may also apply it to a newer state of the view, if that is possible.
    async fn commit_view(&self, change: &ViewChange<'_>) -> Result<bool> {
        match change.base {
            Some((expected, _)) => self.swap_view(change.view, expected, change.location).await,
            None => Err(Error::new(ErrorKind::Internal, "a change of a view without a base")),
        }
    }

    /// Removes the view and leaves its files. `NotFound` if there is no such view.
    async fn remove_view(&self, view: &TableIdent) -> Result<()> {
        Err(missing::view(view, &[]))
    }
}

/// Refuses namespaces that would be ambiguous when written as `a.b`.
pub(crate) fn check_namespace(namespace: &NamespaceIdent) -> Result<()> {
    for level in namespace.as_ref() {
        check_name("namespace", level)?;
        if level.contains('.') {
            return Err(Error::new(ErrorKind::Invalid, format!("namespace name {level:?} contains a dot")));
        }
    }
    Ok(())
}

/// The error of dropping a namespace that is not empty.
pub(crate) async fn not_empty(catalog: &dyn Catalog, namespace: &NamespaceIdent) -> Result<Error> {
    let tables = catalog.tables(namespace).await?;
    let left: Vec<&str> = tables.iter().map(TableIdent::name).collect();
    let what = match left.is_empty() {
        true => "other namespaces or views".to_string(),
        false => format!("tables {}", left.join(", ")),
    };
    Ok(Error::new(ErrorKind::Invalid, format!("namespace {namespace} is not empty, it holds {what}; drop them first")))
}

/// Refuses names that cannot be a folder's name.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." || name.contains(['/', '\\']) || name.contains(char::is_control) {
        "cannot be a folder's name"
    } else if name.len() > 255 {
        "is longer than 255 bytes"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Invalid, format!("{what} name {name:?} {wrong}")))
}

/// Checks the contract of [`Catalog`]; an implementation's tests call it on an empty catalog.
///
/// # Panics
/// If the catalog does not keep the contract.
#[expect(clippy::unwrap_used, reason = "a test suite, called by tests")]
pub async fn conformance(catalog: &dyn Catalog) {
    let ns = |name: &str| NamespaceIdent::from_strs(name.split('.')).expect("a namespace");
    let table = |name: &str| TableIdent::from_strs(name.split('.')).expect("a table");
    let kind = |r: Result<()>| r.expect_err("must fail").kind();

    assert_eq!(catalog.namespaces().await.unwrap(), vec![], "the catalog must be empty at first");
    let none = BTreeMap::new();
    let at = BTreeMap::from([("location".to_string(), "s3://raw/o'brien".to_string()), ("owner".into(), "me".into())]);
    catalog.create_namespace(&ns("raw"), &at).await.unwrap();
    catalog.create_namespace(&ns("a.b"), &none).await.unwrap();
    assert_eq!(kind(catalog.create_namespace(&ns("raw"), &none).await), ErrorKind::AlreadyExists);
    assert_eq!(catalog.namespace_properties(&ns("raw")).await.unwrap(), at);
    assert_eq!(catalog.namespace_properties(&ns("a.b")).await.unwrap(), none);
    assert_eq!(kind(catalog.namespace_properties(&ns("r_w")).await.map(drop)), ErrorKind::NotFound);
    assert_eq!(catalog.namespaces().await.unwrap(), vec![ns("a"), ns("a.b"), ns("raw")]);
    assert!(catalog.namespace_exists(&ns("raw")).await.unwrap());
    assert!(catalog.namespace_exists(&ns("a")).await.unwrap());
    assert!(!catalog.namespace_exists(&ns("ra")).await.unwrap());
    assert!(!catalog.namespace_exists(&ns("r_w")).await.unwrap());

    let events = table("raw.events");
    assert_eq!(catalog.pointer(&events).await.unwrap(), None);
    assert!(!catalog.swap(&events, "v0", "v1").await.unwrap());
    assert_eq!(catalog.pointer(&events).await.unwrap(), None);
    catalog.insert(&events, "v0").await.unwrap();
    assert_eq!(kind(catalog.insert(&events, "other").await), ErrorKind::AlreadyExists);
    assert_eq!(kind(catalog.insert(&table("no.events"), "v0").await), ErrorKind::NotFound);
    assert_eq!(catalog.pointer(&events).await.unwrap().as_deref(), Some("v0"));

    assert!(catalog.swap(&events, "v0", "v1").await.unwrap());
    assert!(!catalog.swap(&events, "v0", "v2").await.unwrap());
    assert_eq!(catalog.pointer(&events).await.unwrap().as_deref(), Some("v1"));

    // The same name in another namespace is another table; names are data, never SQL or patterns.
    catalog.insert(&table("a.b.events"), "w0").await.unwrap();
    let odd = TableIdent::new(ns("raw"), "o'brien; DROP TABLE x -- 표%_".to_string());
    catalog.insert(&odd, "o0").await.unwrap();
    assert_eq!(catalog.tables(&ns("raw")).await.unwrap(), vec![events.clone(), odd.clone()]);
    assert_eq!(catalog.tables(&ns("a.b")).await.unwrap(), vec![table("a.b.events")]);
    assert_eq!(catalog.tables(&ns("none")).await.unwrap(), vec![]);

    assert_eq!(kind(catalog.rename(&events, &odd).await), ErrorKind::AlreadyExists);
    assert_eq!(kind(catalog.rename(&table("raw.no"), &table("raw.yes")).await), ErrorKind::NotFound);
    assert_eq!(kind(catalog.rename(&events, &table("no.events")).await), ErrorKind::NotFound);
    catalog.rename(&events, &table("a.b.moved")).await.unwrap();
    assert_eq!(catalog.pointer(&events).await.unwrap(), None);
    assert_eq!(catalog.pointer(&table("a.b.moved")).await.unwrap().as_deref(), Some("v1"));

    assert_eq!(kind(catalog.drop_namespace(&ns("raw")).await), ErrorKind::Invalid);
    assert_eq!(kind(catalog.drop_namespace(&ns("a")).await), ErrorKind::Invalid);
    catalog.remove(&odd).await.unwrap();
    assert_eq!(kind(catalog.remove(&odd).await), ErrorKind::NotFound);
    catalog.drop_namespace(&ns("raw")).await.unwrap();
    assert_eq!(kind(catalog.drop_namespace(&ns("raw")).await), ErrorKind::NotFound);

    views_conform(catalog, &ns("a.b"), &table("a.b.moved")).await;

    let expected = "v1";
    let moved = table("a.b.moved");
    let attempts = (0..8).map(|i| {
        let (moved, new) = (moved.clone(), format!("concurrent-{i}"));
        async move { catalog.swap(&moved, expected, &new).await.unwrap() }
    });
    let winners = futures::future::join_all(attempts).await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1, "exactly one of several swaps from the same value wins");
}

/// The part of [`conformance`] about views; `table` is a table of `namespace`. A catalog may not support views.
#[expect(clippy::unwrap_used, reason = "a test suite, called by tests")]
async fn views_conform(catalog: &dyn Catalog, namespace: &NamespaceIdent, table: &TableIdent) {
    let view = TableIdent::new(namespace.clone(), "v".to_string());
    let kind = |r: Result<()>| r.expect_err("must fail").kind();
    assert_eq!(catalog.view_pointer(&view).await.unwrap(), None);
    assert_eq!(catalog.views(namespace).await.unwrap(), vec![]);
    assert_eq!(kind(catalog.remove_view(&view).await), ErrorKind::NotFound);
    match catalog.insert_view(&view, "x0").await {
        Err(e) if e.kind() == ErrorKind::Unsupported => return,
        other => other.unwrap(),
    }
    // Tables and views share one set of names, but are not each other.
    assert_eq!(kind(catalog.insert_view(&view, "x1").await), ErrorKind::AlreadyExists);
    assert_eq!(kind(catalog.insert_view(table, "x1").await), ErrorKind::AlreadyExists);
    assert_eq!(kind(catalog.insert(&view, "x1").await), ErrorKind::AlreadyExists);
    let nowhere = TableIdent::from_strs(["no", "v"]).unwrap();
    assert_eq!(kind(catalog.insert_view(&nowhere, "x0").await), ErrorKind::NotFound);
    assert_eq!(catalog.views(namespace).await.unwrap(), vec![view.clone()]);
    assert!(!catalog.tables(namespace).await.unwrap().contains(&view));
    assert_eq!(catalog.pointer(&view).await.unwrap(), None);
    assert_eq!(catalog.view_pointer(table).await.unwrap(), None);
    assert!(!catalog.swap(&view, "x0", "x1").await.unwrap());
    assert_eq!(kind(catalog.remove(&view).await), ErrorKind::NotFound);
    assert_eq!(kind(catalog.remove_view(table).await), ErrorKind::NotFound);
    assert!(catalog.swap_view(&view, "x0", "x1").await.unwrap());
    assert!(!catalog.swap_view(&view, "x0", "x2").await.unwrap());
    assert_eq!(catalog.view_pointer(&view).await.unwrap().as_deref(), Some("x1"));
    catalog.remove_view(&view).await.unwrap();
    assert_eq!(catalog.views(namespace).await.unwrap(), vec![]);
}
