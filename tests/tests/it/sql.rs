//! The SQL surface over the cluster: every file of `slt/`, each in its own warehouse.
//!
//! `BERGMILL_COMPLETE=1 cargo test -p bergmill-tests sql` writes the results into the files, to be reviewed in the
//! diff. `BERGMILL_SLT=merge` runs only the files with `merge` in their name, `BERGMILL_SLT_SKIP=views,alter` skips
//! these files. `BERGMILL_SLT_KEEP=folder` keeps the tables of each file there, in one folder per file, as they are
//! after the first of the shapes: see [`crate::answers`].

use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use bergmill_gateway::{Answer, Client, Error};
use futures::TryStreamExt;
use sqllogictest::{
    AsyncDB, DBOutput, DefaultColumnType, MakeConnection, Runner, default_column_validator, default_normalizer,
    default_validator,
};

use crate::answers;
use crate::warehouse::{Cluster, behind_rest, cluster};

#[tokio::test(flavor = "multi_thread")]
async fn statements_give_the_answers_in_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    let wanted = std::env::var("BERGMILL_SLT").unwrap_or_default();
    files.retain(|f| f.extension().is_some_and(|e| e == "slt") && f.to_string_lossy().contains(&wanted));
    let skipped = std::env::var("BERGMILL_SLT_SKIP").unwrap_or_default();
    files.retain(|f| {
        let is_skipped = f.file_stem().is_some_and(|name| skipped.split(',').any(|s| *name == *s));
        if is_skipped {
            eprintln!("skipped because of BERGMILL_SLT_SKIP: {}", f.display());
        }
        !is_skipped
    });
    files.sort();
    assert!(!files.is_empty());
    let kept = std::env::var_os("BERGMILL_SLT_KEEP").map(PathBuf::from);
    for file in files {
        if std::env::var_os("BERGMILL_COMPLETE").is_some() {
            let cluster = cluster(&SHAPES[0], None).await;
            runner(&cluster)
                .update_test_file(&file, " ", default_validator, default_normalizer, default_column_validator)
                .await
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            continue;
        }
        for shape in &SHAPES {
            let folder = kept.as_ref().filter(|_| *shape == SHAPES[0]).map(|kept| kept.join(file.file_stem().unwrap()));
            let cluster = cluster(shape, folder.as_deref()).await;
            runner(&cluster)
                .run_file_async(&file)
                .await
                .unwrap_or_else(|e| panic!("{} with {shape:?}: {e}", file.display()));
            if let Some(folder) = folder {
                answers::write(&cluster, &file.file_name().unwrap().to_string_lossy(), &folder).await;
            }
        }
    }
}

/// Plans are cut into stages for two executors, and sent whole to a single one. No query counts as small: all of them
/// run on executors.
const SHAPES: [[&str; 6]; 2] = [
    ["--executors", "2", "--vcores", "1", "--local-query-bytes", "0"],
    ["--executors", "1", "--vcores", "2", "--local-query-bytes", "0"],
];

/// Statements that a REST server answers differently are preceded by `skipif rest` or `onlyif rest`.
fn runner(cluster: &Cluster) -> Runner<Door, impl MakeConnection<Conn = Door>> {
    let client = cluster.client.clone();
    let mut runner = Runner::new(move || {
        let client = client.clone();
        async { Ok(Door(client)) }
    });
    if behind_rest() {
        runner.add_label("rest");
    }
    runner
}

struct Door(Client);

#[async_trait]
impl AsyncDB for Door {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        match self.0.execute(sql, None).await? {
            Answer::Updated(rows) => Ok(DBOutput::StatementComplete(rows)),
            Answer::Rows(rows) => {
                let types = rows.schema().fields().iter().map(|f| column_type(f.data_type())).collect();
                let batches: Vec<RecordBatch> = rows.try_collect().await?;
                Ok(DBOutput::Rows { types, rows: batches.iter().flat_map(text_rows).collect() })
            }
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "bergmill"
    }
}

fn column_type(ty: &DataType) -> DefaultColumnType {
    match ty {
        t if t.is_integer() => DefaultColumnType::Integer,
        t if t.is_floating() || t.is_decimal() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

fn text_rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
    let cell = |c: usize, r: usize| {
        // A value of several lines is written in one.
        let text = columns[c].value(r).to_string().replace('\n', "\\n");
        // The file format separates cells by blanks and cannot express an empty one.
        if text.is_empty() && !batch.column(c).is_null(r) { "(empty)".to_string() } else { text }
    };
    (0..batch.num_rows()).map(|r| (0..columns.len()).map(|c| cell(c, r)).collect()).collect()
}
