//! Writes what Bergmill reads from the tables of a warehouse to files, for `tests/interop/check_agreement.py`, which
//! reads the same with other engines.
//!
//! Every snapshot of a table is read, and each of its branches and tags. A statement that changes rows leaves a
//! snapshot, so this compares the effect of each statement, not only the final state.

use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::writer::FileWriter;
use bergmill_gateway::Client;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::warehouse::Cluster;

/// Writes into `folder`: `answers.json`, with the locations of the tables and what was read, and the rows of each read
/// as an Arrow IPC file.
pub async fn write(cluster: &Cluster, of: &str, folder: &Path) {
    let client = &cluster.client;
    let mut tables = Vec::new();
    for table in client.tables().await.unwrap() {
        if table.kind != "TABLE" {
            continue;
        }
        let name = format!("{}.{}", quoted(&table.namespace), quoted(&table.name));
        let metadata =
            |kind: &str| format!("{}.{}", quoted(&table.namespace), quoted(&format!("{}${kind}", table.name)));
        let mut versions = vec![(json!({"as": "current"}), String::new())];
        for rows in rows(client, &format!("SELECT snapshot_id FROM {}", metadata("snapshots"))).await.1 {
            for id in rows.column(0).as_primitive::<Int64Type>().values() {
                versions.push((json!({"as": "snapshot", "snapshot": id}), format!(" VERSION AS OF {id}")));
            }
        }
        for rows in rows(client, &format!("SELECT name, type, snapshot_id FROM {}", metadata("refs"))).await.1 {
            let [names, kinds] = [0, 1].map(|column| rows.column(column).as_string::<i32>());
            let ids = rows.column(2).as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                let (name, kind) = (names.value(row), kinds.value(row).to_lowercase());
                let version = json!({"as": kind, "name": name, "snapshot": ids.value(row)});
                versions.push((version, format!(" VERSION AS OF '{}'", name.replace('\'', "''"))));
            }
        }
        let mut answers = Vec::new();
        for (mut version, clause) in versions {
            let file = format!("{}-{}.arrow", tables.len(), answers.len());
            let (schema, batches) = rows(client, &format!("SELECT * FROM {name}{clause}")).await;
            let mut writer = FileWriter::try_new(File::create(folder.join(&file)).unwrap(), &schema).unwrap();
            for batch in &batches {
                writer.write(batch).unwrap();
            }
            writer.finish().unwrap();
            version["rows"] = Value::from(file);
            answers.push(version);
        }
        tables.push(json!({"namespace": table.namespace, "name": table.name, "answers": answers}));
    }
    let location = &cluster.location;
    let all = json!({
        "of": of,
        "warehouse": location.warehouse,
        "catalog_file": location.catalog_file,
        "catalog_name": location.catalog_name,
        "tables": tables,
    });
    std::fs::write(folder.join("answers.json"), serde_json::to_string_pretty(&all).unwrap()).unwrap();
}

async fn rows(client: &Client, sql: &str) -> (arrow::datatypes::SchemaRef, Vec<RecordBatch>) {
    let rows = client.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    (rows.schema(), rows.try_collect().await.unwrap_or_else(|e| panic!("{sql}: {e}")))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
