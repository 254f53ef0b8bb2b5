//! The same events in several orders, each in a table of its own.

use bergmill_gateway::Client;

use crate::cluster::{count, texts, update};
use crate::error::{Error, Result};

/// Sizes of files and their parts, which decide how much a query can skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSizes {
    /// Size at which a new file begins, in MiB.
    pub file_mib: u64,
    /// Rows of a row group.
    pub row_group_rows: u64,
    /// Rows of a page.
    pub page_rows: u64,
}

/// An order of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Its name in reports.
    pub name: &'static str,
    /// The table.
    pub table: &'static str,
    /// The statement that writes it.
    pub create: String,
}

/// The layout to which others are compared.
pub(super) const UNSORTED: &str = "unsorted";

/// All layouts of the events of a shop, the unsorted one first.
pub(super) async fn layouts(client: &Client, sizes: PartSizes) -> Result<Vec<Layout>> {
    // A Z-order needs columns of similar range: positions share bits from the first on.
    let products =
        count(client, "SELECT max(CAST(substr(product_id, 4) AS BIGINT)) + 1 FROM raw.shopping_events").await?;
    let seconds =
        |of: &str| format!("SELECT CAST(date_part('epoch', {of}(timestamp)) AS BIGINT) FROM raw.shopping_events");
    let (first, last) = (count(client, &seconds("min")).await?, count(client, &seconds("max")).await?);
    let length = (last - first).max(1);
    let z_order = format!(
        "zorder(CAST(substr(product_id, 4) AS INT),
    CAST((date_part('epoch', timestamp) - {first}) * {products} / {length} AS INT))"
    );
    let PartSizes { file_mib, row_group_rows, page_rows } = sizes;
    let layout = |name, table, sorted_by: &str, order_by: &str| Layout {
        name,
        table,
        create: format!(
            "CREATE OR REPLACE TABLE {table}{sorted_by} TBLPROPERTIES (
    'write.target-file-size-bytes' = '{}', 'write.parquet.row-group-limit' = '{row_group_rows}',
    'write.parquet.page-row-limit' = '{page_rows}')
AS SELECT * FROM raw.shopping_events ORDER BY {order_by}",
            file_mib * 1024 * 1024
        ),
    };
    Ok(vec![
        // Not the order of arrival, which would be that of time.
        layout(UNSORTED, "sort_order.unsorted", "", "md5(event_id)"),
        layout("timestamp", "sort_order.by_time", " SORTED BY (timestamp)", "timestamp"),
        layout("product_id", "sort_order.by_product", " SORTED BY (product_id, timestamp)", "product_id, timestamp"),
        // Iceberg's sort orders cannot express it, so the table has none, as after Spark's `rewrite_data_files`.
        layout("z-order", "sort_order.by_z_order", "", &z_order),
    ])
}

/// Writes all tables, and returns the seconds that each took.
pub(super) async fn write(client: &Client, layouts: &[Layout], step: impl Fn(&str)) -> Result<Vec<f64>> {
    update(client, "CREATE SCHEMA IF NOT EXISTS sort_order").await?;
    let mut seconds = Vec::with_capacity(layouts.len());
    for layout in layouts {
        step(&format!("write {}", layout.table));
        let began = std::time::Instant::now();
        update(client, &layout.create).await?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// How the files of a table are stored: `file`, or the scheme of an object store.
pub(super) async fn storage(client: &Client, table: &str) -> Result<String> {
    let paths = texts(client, &format!("SELECT file_path FROM {} LIMIT 1", metadata_table(table, "files"))).await?;
    let scheme = paths.first().and_then(|path| path.split_once("://")).map(|(scheme, _)| scheme.to_string());
    scheme.ok_or_else(|| Error::NoData(format!("table {table} has no files")))
}

/// `"table$name"` of `namespace.table`.
pub(super) fn metadata_table(table: &str, name: &str) -> String {
    let (namespace, table) = table.split_once('.').unwrap_or(("raw", table));
    format!("{namespace}.\"{table}${name}\"")
}
