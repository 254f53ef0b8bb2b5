//! `SHOW` and `DESCRIBE`: rows from the catalog and from Iceberg's metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bergmill_catalog::describe::create_view_statement;
use bergmill_catalog::{QualifiedName, TableDescription, View};
use bergmill_engine::without_views;
use bergmill_statement::{Show, TableName};
use datafusion::catalog::{CatalogProvider, MemTable};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableType};

use crate::define::qualified;
use crate::error::{Error, ErrorKind, Result};
use crate::session::StatementSession;

/// Rows of nullable text.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// The plan of a `SHOW` or `DESCRIBE`.
pub(crate) async fn plan(show: Show, session: &StatementSession) -> Result<LogicalPlan> {
    let warehouse = &session.warehouse;
    match show {
        Show::Namespaces => {
            let known = session.tables.namespaces().await?;
            rows(&["namespace"], known.into_iter().map(|name| vec![Some(name.to_string())]).collect())
        }
        Show::Tables(namespace) => names(session, namespace.as_deref(), "table_name", TableType::Base).await,
        Show::Views(namespace) => names(session, namespace.as_deref(), "view_name", TableType::View).await,
        Show::CreateTable(table) => {
            let name = seen(&table, session).await?;
            let sql = warehouse.create_table_statement(&name).await?;
            rows(&["create_statement"], vec![vec![Some(sql)]])
        }
        Show::CreateView(view) => {
            let name = seen(&view, session).await?;
            let sql = create_view_statement(&warehouse.load_view(&name).await?)?;
            rows(&["create_statement"], vec![vec![Some(sql)]])
        }
        Show::Properties(table) => {
            let name = seen(&table, session).await?;
            let properties = warehouse.describe_table(&name).await?.properties;
            rows(&["key", "value"], lines(properties).into_iter().map(|(key, value)| vec![Some(key), value]).collect())
        }
        Show::Describe { table, extended } => describe(session, &table, extended).await,
    }
}

/// The table or view to which a name in a statement refers, of which the statement's user may know.
async fn seen(name: &TableName, session: &StatementSession) -> Result<QualifiedName> {
    let name = qualified(name, &session.settings.namespace)?;
    session.tables.check_seen(&name).await?;
    Ok(name)
}

/// Tables or views of one namespace, or of all.
async fn names(
    session: &StatementSession,
    namespace: Option<&str>,
    column: &str,
    kind: TableType,
) -> Result<LogicalPlan> {
    let listed = match namespace {
        Some(namespace) => [(namespace.to_string(), session.tables.list_namespace(namespace).await?)].into(),
        None => session.tables.list().await?.clone(),
    };
    let mut found = Vec::new();
    for (within, names) in listed {
        let is_wanted = |name: &&String| names.views.contains(*name) == (kind == TableType::View);
        let row = |name: &String| vec![Some(within.clone()), Some(name.clone())];
        found.extend(names.all.iter().filter(is_wanted).map(row));
    }
    rows(&["namespace", column], found)
}

/// The object of a `DESCRIBE`.
enum Described {
    Table(TableDescription),
    View(View),
    /// For example `"t$files"`, which has only columns.
    MetadataTable,
}

/// One row per column; `extended` adds Iceberg's other metadata.
async fn describe(session: &StatementSession, table: &TableName, extended: bool) -> Result<LogicalPlan> {
    let name = qualified(table, &session.settings.namespace)?;
    let of = name.name().split('$').next().unwrap_or_default();
    session.tables.check_seen(&name.beside(of)).await?;
    let warehouse = &session.warehouse;
    let described = match table.table.contains('$') {
        true => Described::MetadataTable,
        false => match warehouse.find_view(&name).await? {
            Some(view) => Described::View(view),
            None => Described::Table(warehouse.describe_table(&name).await?),
        },
    };
    let provider = match session.tables.schema(&name.namespace()) {
        Some(namespace) => namespace.table(name.name()).await?,
        None => None,
    };
    let Some(provider) = provider else {
        let missing = session.tables.take_miss().await.map(Error::from);
        return Err(missing.unwrap_or_else(|| Error::new(ErrorKind::NotFound, format!("table {name} not found"))));
    };
    let comments = match &described {
        Described::Table(table) => table.column_comments.clone(),
        Described::View(view) => view.docs(),
        Described::MetadataTable => HashMap::new(),
    };
    let mut found: Rows = Vec::new();
    for field in without_views(&provider.schema()).fields() {
        let nullable = if field.is_nullable() { "YES" } else { "NO" };
        let comment = comments.get(field.name()).cloned();
        found.push(vec![text(field.name()), Some(field.data_type().to_string()), text(nullable), comment]);
    }
    if extended {
        let sections = match described {
            Described::Table(table) => table_sections(&name, table),
            Described::View(view) => view_sections(&name, &view),
            Described::MetadataTable => Vec::new(),
        };
        for (title, lines) in sections.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            found.push(vec![Some(format!("# {title}")), None, None, None]);
            found.extend(lines.into_iter().map(|(name, value)| vec![Some(name), value, None, None]));
        }
    }
    rows(&["column_name", "data_type", "is_nullable", "comment"], found)
}

/// Names and values below a title.
type Section = (&'static str, Vec<(String, Option<String>)>);

fn table_sections(name: &QualifiedName, table: TableDescription) -> Vec<Section> {
    let facts = [
        ("Name", text(&name.to_string())),
        ("Type", text("TABLE")),
        ("Comment", table.comment),
        ("Location", Some(table.location)),
        ("Format version", Some(table.format_version)),
        ("UUID", Some(table.uuid)),
        ("Current snapshot", table.snapshot_id.map(|id| id.to_string())),
    ];
    vec![
        ("Partitioning", lines(table.partitioning)),
        ("Sort order", table.sort_order.into_iter().map(|term| (term, None)).collect()),
        ("Table", facts.map(|(fact, value)| (fact.to_string(), value)).into()),
        ("Properties", lines(table.properties)),
    ]
}

fn view_sections(name: &QualifiedName, view: &View) -> Vec<Section> {
    let facts = [
        ("Name", text(&name.to_string())),
        ("Type", text("VIEW")),
        ("Comment", view.comment().map(ToString::to_string)),
        ("Query", view.sql().ok().map(ToString::to_string)),
        ("Default namespace", Some(view.default_namespace().to_string())),
    ];
    let properties: BTreeMap<_, _> =
        view.properties().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    vec![("View", facts.map(|(fact, value)| (fact.to_string(), value)).into()), ("Properties", lines(properties))]
}

fn lines(of: impl IntoIterator<Item = (String, String)>) -> Vec<(String, Option<String>)> {
    of.into_iter().map(|(name, value)| (name, Some(value))).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

/// A plan that returns these rows.
pub(crate) fn rows(columns: &[&str], rows: Rows) -> Result<LogicalPlan> {
    let schema =
        Arc::new(Schema::new(columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()));
    let column = |at: usize| Arc::new(rows.iter().map(|row| row[at].as_deref()).collect::<StringArray>()) as ArrayRef;
    let batch = RecordBatch::try_new(Arc::clone(&schema), (0..columns.len()).map(column).collect());
    let plan = || -> datafusion::error::Result<LogicalPlan> {
        let table = MemTable::try_new(schema, vec![vec![batch?]])?;
        LogicalPlanBuilder::scan("answer", provider_as_source(Arc::new(table)), None)?.build()
    };
    Ok(plan()?)
}
