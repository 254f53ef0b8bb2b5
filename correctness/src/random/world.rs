//! The same tables in every engine, and the comparison of a query on all of them.

use std::time::Duration;

use anyhow::{Result, bail};
use bergmill_gateway::{IngestMode, IngestTarget};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::duckdb::DuckDb;
use super::print::{Dialect, sql};
use super::query::Query;
use super::schema::Table;
use super::shrink::Case;
use crate::{Answer, Clusters, Order, Outcome, Reference, difference, difference_by_value};

/// An engine that is compared with plain DataFusion in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The cluster of the shape at this index.
    Shape(usize),
    DuckDb,
}

/// How a result differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rows,
    Error,
    Hung,
}

/// A result that differs.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub engine: Engine,
    pub kind: Kind,
    pub detail: String,
    /// The result, if there are rows.
    pub answer: Option<Answer>,
}

/// The outcome of a query.
#[derive(Debug)]
pub(crate) enum Compared {
    /// Plain DataFusion has no result: it cannot plan the query, or fails while running it.
    Refused(String),
    /// It has a result, from which these differ.
    Answered { right: Answer, order: Order, faults: Vec<Fault>, by_duckdb: ByDuckDb },
}

/// DuckDB's part in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByDuckDb {
    /// None: it did not run the query, or does not support it.
    Nothing,
    /// It has a result; its fault, if any, is among the faults.
    Answered,
    /// It agrees with all shapes, and plain DataFusion differs: plain DataFusion is at fault.
    AgainstDataFusion,
    /// It agrees with all others only if it does not optimize the query: its optimizer is at fault.
    Unoptimized,
}

/// All engines, with the same tables.
#[derive(Debug)]
pub(crate) struct World {
    pub clusters: Clusters,
    reference: Reference,
    duckdb: Option<DuckDb>,
    loaded: Vec<Table>,
    timeout: Duration,
}

impl World {
    pub(crate) fn new(clusters: Clusters, duckdb: Option<DuckDb>, timeout: Duration) -> Self {
        let reference = Reference::new();
        // This rule produces sums of sums, whose decimals are ten digits wider than the query's own.
        reference.context().remove_optimizer_rule("single_distinct_aggregation_to_group_by");
        Self { clusters, reference, duckdb, loaded: vec![], timeout }
    }

    pub(crate) fn name(&self, engine: Engine) -> &'static str {
        match engine {
            Engine::Shape(shape) => self.clusters.shapes()[shape].name,
            Engine::DuckDb => "duckdb",
        }
    }

    /// Loads these tables into all engines, unless they are already there.
    pub(crate) async fn load(&mut self, tables: &[Table]) -> Result<()> {
        for table in tables {
            if self.loaded.iter().any(|l| l == table) {
                continue;
            }
            self.loaded.retain(|l| l.name != table.name);
            self.fill(table).await?;
            let batch = table.batch()?;
            if let Some(duckdb) = &mut self.duckdb {
                duckdb.load(&table.name, &batch).await?;
            }
            self.reference.register(&table.name, batch.schema(), vec![batch])?;
            self.loaded.push(table.clone());
        }
        Ok(())
    }

    /// Creates the table in the clusters' warehouse, with one commit per piece.
    async fn fill(&mut self, table: &Table) -> Result<()> {
        for statement in [format!("DROP TABLE IF EXISTS {}", table.name), table.create(true)] {
            if let Err(error) = self.clusters.change(&statement).await? {
                bail!("{statement}: {error}");
            }
        }
        let batch = table.batch()?;
        let target = IngestTarget { namespace: None, table: table.name.clone(), mode: IngestMode::Append, tag: None };
        for start in (0..batch.num_rows()).step_by(table.piece()) {
            let rows = batch.slice(start, table.piece().min(batch.num_rows() - start));
            let input = RecordBatchStreamAdapter::new(rows.schema(), futures::stream::iter([Ok(rows)]));
            self.clusters.client(0).ingest(&target, Box::pin(input)).await?;
        }
        Ok(())
    }

    /// Runs the query on plain DataFusion and on all engines, or on only one of them.
    pub(crate) async fn compare(&mut self, query: &Query, only: Option<Engine>) -> Result<Compared> {
        let Some(text) = sql(query, Dialect::DataFusion) else { return Ok(Compared::Refused("no SQL".into())) };
        let (right, order) = match tokio::time::timeout(self.timeout, self.reference.query(&text)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Ok(Compared::Refused(format!("{error:#}"))),
            Err(_) => return Ok(Compared::Refused("too slow".into())),
        };
        let outcomes: Vec<(usize, Outcome)> = match only {
            None => self.clusters.run_everywhere(&text).await?.into_iter().map(|o| o.1).enumerate().collect(),
            Some(Engine::Shape(shape)) => vec![(shape, self.clusters.run(shape, &text).await?)],
            Some(Engine::DuckDb) => vec![],
        };
        for (text, reason) in LIMITS {
            let is_reached = |outcome: &Outcome| matches!(outcome, Outcome::Failed(detail) if detail.contains(text));
            if outcomes.iter().any(|(_, outcome)| is_reached(outcome)) {
                return Ok(Compared::Refused(reason.into()));
            }
        }
        let (mut faults, shapes) = (Vec::new(), outcomes.len());
        for (shape, outcome) in outcomes {
            let engine = Engine::Shape(shape);
            match outcome {
                Outcome::Answer(answer) => {
                    if let Some(detail) = difference(&right, &answer, &order)? {
                        faults.push(Fault { engine, kind: Kind::Rows, detail, answer: Some(answer) });
                    }
                }
                Outcome::Failed(detail) => faults.push(Fault { engine, kind: Kind::Error, detail, answer: None }),
                Outcome::Hung => faults.push(Fault { engine, kind: Kind::Hung, detail: "no end".into(), answer: None }),
            }
        }
        let mut by_duckdb = ByDuckDb::Nothing;
        let has_other_rows = faults.iter().any(|f: &Fault| f.kind == Kind::Rows);
        if (matches!(only, None | Some(Engine::DuckDb)) || has_other_rows)
            && let Some(duckdb) = &mut self.duckdb
            && let Some(text) = sql(query, Dialect::DuckDb)
        {
            match duckdb.query(&text, self.timeout).await? {
                Ok(answer) if has_other_rows && all_agree(&faults, shapes, &answer, &order)? => {
                    by_duckdb = ByDuckDb::AgainstDataFusion;
                    faults.clear();
                }
                Err(detail) if LACKS.iter().any(|lack| detail.starts_with(lack)) => {}
                _ if !matches!(only, None | Some(Engine::DuckDb)) => {}
                outcome => {
                    by_duckdb = ByDuckDb::Answered;
                    let mut fault = duckdb_fault(outcome, &right, &order)?;
                    if fault.as_ref().is_some_and(|f| f.kind == Kind::Rows) && faults.is_empty() {
                        let unoptimized = duckdb.query_unoptimized(&text, self.timeout).await?;
                        if duckdb_fault(unoptimized, &right, &order)?.is_none() {
                            (by_duckdb, fault) = (ByDuckDb::Unoptimized, None);
                        }
                    }
                    faults.extend(fault);
                }
            }
        }
        Ok(Compared::Answered { right, order, faults, by_duckdb })
    }

    /// Whether the query has only one result.
    pub(crate) async fn decides(&self, query: &Query, right: &Answer, order: &Order) -> Result<bool> {
        let text = sql(query, Dialect::DataFusion).unwrap_or_default();
        self.reference.decides(&[], &text, right, order, self.timeout).await
    }

    /// Whether the case still has this fault.
    pub(crate) async fn fails(&mut self, case: &Case, fault: &Fault) -> Result<bool> {
        // If the tables cannot be loaded, the reduced case is impossible.
        if self.load(&case.tables).await.is_err() {
            return Ok(false);
        }
        let missing: Vec<String> =
            self.loaded.iter().map(|l| l.name.clone()).filter(|n| !case.tables.iter().any(|t| t.name == *n)).collect();
        for name in missing {
            self.reference.context().deregister_table(&name)?;
            self.loaded.retain(|l| l.name != name);
        }
        let Compared::Answered { right, order, faults, .. } = self.compare(&case.query, Some(fault.engine)).await?
        else {
            return Ok(false);
        };
        if !faults.iter().any(|f| f.kind == fault.kind && alike(&f.detail, &fault.detail, f.kind)) {
            return Ok(false);
        }
        Ok(fault.kind != Kind::Rows || self.decides(&case.query, &right, &order).await?)
    }
}

/// Texts of errors that are not faults of a shape, and the reason.
const LIMITS: [(&str, &str); 2] = [
    ("Resources exhausted", "more memory than a cluster has"),
    // DataFusion itself returns this error unless it knows that the ordering column is constant. Below grouping sets
    // this is not known here, because the groups would be taken for constant as well.
    ("Conflicting ordering requirements in aggregate functions", "aggregates over grouping sets in two orders"),
];

/// How DuckDB's errors start if it does not support a query, or is itself at fault.
const LACKS: [&str; 3] = ["NotImplementedException", "BinderException", "InternalException"];

/// Whether each of the shapes has other rows than plain DataFusion, and the same as DuckDB.
fn all_agree(faults: &[Fault], shapes: usize, duckdb: &Answer, order: &Order) -> Result<bool> {
    if faults.len() < shapes {
        return Ok(false);
    }
    for fault in faults {
        match &fault.answer {
            Some(answer) if difference_by_value(answer, duckdb, order, None)?.is_none() => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn duckdb_fault(outcome: std::result::Result<Answer, String>, right: &Answer, order: &Order) -> Result<Option<Fault>> {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(detail) => return Ok(Some(Fault { engine: Engine::DuckDb, kind: Kind::Error, detail, answer: None })),
    };
    let detail = difference_by_value(right, &answer, order, None)?;
    Ok(detail.map(|detail| Fault { engine: Engine::DuckDb, kind: Kind::Rows, detail, answer: Some(answer) }))
}

/// Whether two messages are about the same fault: errors by their words, without numbers and names; rows by what is
/// wrong with them, so that a reduced case does not become one of another fault.
fn alike(a: &str, b: &str, kind: Kind) -> bool {
    match kind {
        Kind::Error => signature(a) == signature(b),
        Kind::Rows => wrong(a) == wrong(b),
        Kind::Hung => true,
    }
}

/// What is wrong with rows, from the messages of [`difference`] and [`difference_by_value`].
fn wrong(detail: &str) -> &'static str {
    if let Some((right, got)) = detail.strip_prefix("expected ").and_then(|text| text.split_once(" rows, got ")) {
        let is_more = right.parse::<usize>().ok() < got.parse::<usize>().ok();
        return if is_more { "too many" } else { "too few" };
    }
    match detail {
        order if order.starts_with("order: ") => "order",
        schema if schema.contains("the type of") || schema.contains("named") => "schema",
        _ => "values",
    }
}

/// The first words of a message, without those that depend on the query.
pub(crate) fn signature(message: &str) -> String {
    let words = message.split_whitespace().filter(|w| w.chars().all(|c| c.is_alphabetic() || ".,:".contains(c)));
    words.take(12).collect::<Vec<_>>().join(" ")
}
