//! `SHOW` and `DESCRIBE`: what the catalog and Iceberg's metadata say, as rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bergmill_catalog::describe::{create_table_statement, create_view_statement, partition_terms, table_sort_terms};
use bergmill_catalog::{COMMENT, Names, NamespaceIdent, Result as CatalogResult, Show, Table, TableIdent, View};
use bergmill_engine::without_views;
use datafusion::catalog::{CatalogProvider, MemTable};
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, TableType};

use crate::error::{Error, ErrorKind, Result};
use crate::session::StatementSession;
use crate::write::identifier;

/// Rows of text, some of it missing.
type Rows = Vec<Vec<Option<String>>>;

/// The plan of what a statement shows.
pub(crate) async fn plan(show: Show, session: &StatementSession) -> Result<LogicalPlan> {
    match show {
        Show::Namespaces => {
            let known = session.warehouse.catalog().namespaces().await?;
            rows(&["namespace"], known.into_iter().map(|name| vec![Some(name.to_string())]).collect())
        }
        Show::Tables(namespace) => names(session, namespace.as_deref(), "table_name", TableType::Base).await,
        Show::Views(namespace) => names(session, namespace.as_deref(), "view_name", TableType::View).await,
        Show::CreateTable(table) => {
            let (ident, table) = load_table(session, &table).await?;
            let sql = create_table_statement(&ident, table.metadata(), session.warehouse.location());
            rows(&["create_statement"], vec![vec![Some(sql)]])
        }
        Show::CreateView(view) => {
            let view = session.warehouse.load_view(&identifier(&view)?).await?;
            let sql = create_view_statement(&view)?;
            rows(&["create_statement"], vec![vec![Some(sql)]])
        }
        Show::Properties(table) => {
            let (_, table) = load_table(session, &table).await?;
            rows(&["key", "value"], properties(table.metadata().properties()))
        }
        Show::Describe { table, extended } => describe(session, &table, extended).await,
    }
}

async fn load_table(session: &StatementSession, table: &TableReference) -> Result<(TableIdent, Table)> {
    let ident = identifier(table)?;
    let table = session.warehouse.load(&ident).await?;
    Ok((ident, table))
}

/// Tables, or views, of one namespace or of all.
async fn names(
    session: &StatementSession,
    namespace: Option<&str>,
    column: &str,
    kind: TableType,
) -> Result<LogicalPlan> {
    let listed = match namespace {
        Some(namespace) => names_in(session, namespace).await.map(|names| [(namespace.to_string(), names)].into()),
        None => session.tables.list().await.cloned(),
    };
    let mut found = Vec::new();
    for (within, names) in listed? {
        let is_wanted = |name: &&String| names.views.contains(*name) == (kind == TableType::View);
        let row = |name: &String| vec![Some(within.clone()), Some(name.clone())];
        found.extend(names.all.iter().filter(is_wanted).map(row));
    }
    rows(&["namespace", column], found)
}

/// The tables and views of a namespace, which must be there.
async fn names_in(session: &StatementSession, namespace: &str) -> CatalogResult<Names> {
    let ident = NamespaceIdent::from_strs(namespace.split('.'))?;
    let catalog = session.warehouse.catalog();
    if catalog.namespace_exists(&ident).await? {
        return session.tables.list_in(&ident).await;
    }
    Err(session.warehouse.namespace_not_found(&ident).await)
}

/// One row a column; `extended` tells what Iceberg keeps besides.
async fn describe(session: &StatementSession, name: &TableReference, extended: bool) -> Result<LogicalPlan> {
    let ident = identifier(name)?;
    let warehouse = &session.warehouse;
    // A metadata table, such as "t$files", has columns and nothing else.
    let is_metadata_table = name.table().contains('$');
    let (table, view): (Option<Table>, Option<View>) = match is_metadata_table {
        true => (None, None),
        false => match warehouse.find_view(&ident).await? {
            Some(view) => (None, Some(view)),
            None => (Some(warehouse.load(&ident).await?), None),
        },
    };
    let docs: HashMap<String, String> = match (&table, &view) {
        (Some(table), _) => {
            let fields = table.metadata().current_schema().as_struct().fields();
            fields.iter().filter_map(|f| Some((f.name.clone(), f.doc.clone()?))).collect()
        }
        (None, Some(view)) => view.docs(),
        (None, None) => HashMap::new(),
    };
    let namespace = session.tables.schema(&ident.namespace().to_string());
    let provider = match namespace {
        Some(namespace) => namespace.table(ident.name()).await?,
        None => None,
    };
    let Some(provider) = provider else {
        let missing = session.tables.take_miss().await.map(Error::from);
        return Err(missing.unwrap_or_else(|| Error::new(ErrorKind::NotFound, format!("table {ident} not found"))));
    };
    let text = |text: &str| Some(text.to_string());
    let mut found: Rows = Vec::new();
    for field in without_views(&provider.schema()).fields() {
        let nullable = if field.is_nullable() { "YES" } else { "NO" };
        let doc = docs.get(field.name()).cloned();
        found.push(vec![text(field.name()), Some(field.data_type().to_string()), text(nullable), doc]);
    }
    if extended {
        let mut section = |title: &str, lines: Vec<(String, Option<String>)>| {
            if !lines.is_empty() {
                found.push(vec![Some(format!("# {title}")), None, None, None]);
                found.extend(lines.into_iter().map(|(name, value)| vec![Some(name), value, None, None]));
            }
        };
        if let Some(table) = &table {
            let metadata = table.metadata();
            let told = |(name, value): (String, String)| (name, Some(value));
            section("Partitioning", partition_terms(metadata).into_iter().map(told).collect());
            section("Sort order", table_sort_terms(metadata).into_iter().map(|term| (term, None)).collect());
            section(
                "Table",
                vec![
                    ("Name".to_string(), Some(ident.to_string())),
                    ("Type".to_string(), text("TABLE")),
                    ("Comment".to_string(), metadata.properties().get(COMMENT).cloned()),
                    ("Location".to_string(), text(metadata.location())),
                    ("Format version".to_string(), Some(metadata.format_version().to_string())),
                    ("UUID".to_string(), Some(metadata.uuid().to_string())),
                    ("Current snapshot".to_string(), metadata.current_snapshot_id().map(|id| id.to_string())),
                ],
            );
            section("Properties", pairs(metadata.properties()));
        }
        if let Some(view) = &view {
            section(
                "View",
                vec![
                    ("Name".to_string(), Some(ident.to_string())),
                    ("Type".to_string(), text("VIEW")),
                    ("Comment".to_string(), view.comment().map(ToString::to_string)),
                    ("Query".to_string(), view.sql().ok().map(ToString::to_string)),
                    ("Default namespace".to_string(), Some(view.default_namespace().to_string())),
                ],
            );
            section("Properties", pairs(view.properties()));
        }
    }
    rows(&["column_name", "data_type", "is_nullable", "comment"], found)
}

fn properties(of: &HashMap<String, String>) -> Rows {
    pairs(of).into_iter().map(|(key, value)| vec![Some(key), value]).collect()
}

/// In the order of their names.
fn pairs(of: &HashMap<String, String>) -> Vec<(String, Option<String>)> {
    let mut pairs: Vec<_> = of.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    pairs.sort();
    pairs
}

/// A plan that gives these rows.
fn rows(columns: &[&str], rows: Rows) -> Result<LogicalPlan> {
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
