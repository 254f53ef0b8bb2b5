//! TPC-DS and TPC-H: tables, queries and results from DuckDB, compared with Bergmill's results.
//!
//! `tpc.py` creates the folder that is read here. DuckDB has other types for some results (a quotient of decimals is a
//! float there), so values are compared by [`by_value`](crate::by_value).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use datafusion::prelude::ParquetReadOptions;

use crate::by_value::difference_by_value;
use crate::report::{Entry, Report, Verdict};
use crate::{Answer, Clusters, Order, Outcome, Reference};

/// Texts in DuckDB's queries that DataFusion writes differently: the suite, the query, the text, and its replacement.
const REPLACEMENTS: [(&str, &str, &str, &str); 0] = [];

/// Loads the tables of a suite, and compares each of its queries (or those with these numbers) in every shape.
///
/// # Errors
/// When the folder is not as `tpc.py` creates it, when a table cannot be loaded, or when a cluster does not start.
pub async fn run_suite(
    suite: &str,
    folder: &Path,
    only: Option<&str>,
    clusters: &mut Clusters,
    timeout: Duration,
    report: &mut Report,
) -> Result<()> {
    let reference = load(folder, clusters).await?;
    let limits = std::fs::read_to_string(folder.join("limits.json")).context("limits.json")?;
    let limits: BTreeMap<String, usize> = serde_json::from_str(&limits).context("limits.json")?;
    for path in files(&folder.join("queries"), "sql")? {
        let number = stem(&path);
        if only.is_some_and(|only| !only.split(',').any(|n| n == number)) {
            continue;
        }
        let sql = replaced(suite, &number, std::fs::read_to_string(&path)?);
        let right = parquet(&reference, &folder.join("answers").join(format!("{number}.parquet"))).await?;
        // A query that DataFusion cannot plan fails in Bergmill too, with the reason.
        let order = reference.order(&sql).await.unwrap_or(Order::Any);
        let started = Instant::now();
        for (shape, outcome) in clusters.run_everywhere(&sql).await? {
            let (verdict, detail) = match outcome {
                Outcome::Failed(error) => (Verdict::Error, error),
                Outcome::Hung => (Verdict::Hung, format!("not ended after {} s", timeout.as_secs())),
                Outcome::Answer(answer) => {
                    match difference_by_value(&right, &answer, &order, limits.get(&number).copied())? {
                        None => (Verdict::Equal, String::new()),
                        Some(difference) => (Verdict::Different, difference),
                    }
                }
            };
            report.add(Entry {
                query: format!("{suite} q{number}"),
                sql: sql.clone(),
                shape: shape.name.to_string(),
                verdict,
                detail,
                reason: String::new(),
                milliseconds: started.elapsed().as_millis() as u64,
            })?;
        }
    }
    clusters.clear().await
}

/// Loads all tables; the session that is returned has them without rows, for planning.
async fn load(folder: &Path, clusters: &mut Clusters) -> Result<Reference> {
    let reference = Reference::new();
    for path in files(&folder.join("tables"), "parquet")? {
        let table = stem(&path);
        let frame = reference.context().read_parquet(text(&path)?, ParquetReadOptions::default()).await?;
        reference.register(&table, std::sync::Arc::new(frame.schema().as_arrow().clone()), Vec::new())?;
        let rows = frame.execute_stream().await?;
        clusters.ingest_stream(&table, rows).await?.map_err(|error| anyhow!("table {table}: {error}"))?;
    }
    Ok(reference)
}

async fn parquet(reference: &Reference, path: &Path) -> Result<Answer> {
    let frame = reference.context().read_parquet(text(path)?, ParquetReadOptions::default()).await?;
    let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
    Ok(Answer { schema, batches: frame.collect().await? })
}

fn replaced(suite: &str, number: &str, sql: String) -> String {
    let ours = REPLACEMENTS.iter().filter(|(s, n, _, _)| *s == suite && *n == number);
    ours.fold(sql, |sql, (_, _, words, ours)| sql.replace(words, ours))
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == extension));
    files.sort();
    if files.is_empty() {
        bail!("{} has no {extension} files", folder.display());
    }
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
