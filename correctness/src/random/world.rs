//! The same tables in every engine, and one query asked of all of them.

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

/// Who answered otherwise than plain DataFusion in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The cluster of the shape at this place.
    Shape(usize),
    DuckDb,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rows,
    Error,
    Hung,
}

/// An answer that differs.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub who: Who,
    pub kind: Kind,
    pub detail: String,
    /// What was answered, if rows.
    pub answer: Option<Answer>,
}

/// What came of a query.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Plain DataFusion has no answer: it cannot plan it, or fails in it.
    Refused(String),
    /// It answered, and these differ.
    Answered { right: Answer, order: Order, faults: Vec<Fault>, by_duckdb: ByDuckDb },
}

/// What DuckDB has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByDuckDb {
    /// Nothing: it was not asked, or has not what the query needs.
    Nothing,
    /// It was asked, and its fault, if it has one, is among the faults.
    Answered,
    /// It gives what all shapes give, and plain DataFusion gives something else: then that is the one at fault.
    AgainstDataFusion,
}

/// All engines, with tables.
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
        // It makes sums of sums, whose decimals are ten digits wider than the query's own.
        reference.context().remove_optimizer_rule("single_distinct_aggregation_to_group_by");
        Self { clusters, reference, duckdb, loaded: vec![], timeout }
    }

    pub(crate) fn name(&self, who: Who) -> &'static str {
        match who {
            Who::Shape(shape) => self.clusters.shapes()[shape].name,
            Who::DuckDb => "duckdb",
        }
    }

    /// Makes these the tables of all engines. Those that are there already are left alone.
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

    /// Makes the table in the clusters' warehouse, each piece by a commit.
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

    /// Asks everybody, or only one of them.
    pub(crate) async fn ask(&mut self, query: &Query, only: Option<Who>) -> Result<Asked> {
        let Some(text) = sql(query, Dialect::DataFusion) else { return Ok(Asked::Refused("no SQL".into())) };
        let (right, order) = match tokio::time::timeout(self.timeout, self.reference.query(&text)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Ok(Asked::Refused(format!("{error:#}"))),
            Err(_) => return Ok(Asked::Refused("too slow".into())),
        };
        let outcomes: Vec<(usize, Outcome)> = match only {
            None => self.clusters.run_everywhere(&text).await?.into_iter().map(|o| o.1).enumerate().collect(),
            Some(Who::Shape(shape)) => vec![(shape, self.clusters.run(shape, &text).await?)],
            Some(Who::DuckDb) => vec![],
        };
        for (text, reason) in LIMITS {
            let is_reached = |outcome: &Outcome| matches!(outcome, Outcome::Failed(detail) if detail.contains(text));
            if outcomes.iter().any(|(_, outcome)| is_reached(outcome)) {
                return Ok(Asked::Refused(reason.into()));
            }
        }
        let (mut faults, shapes) = (Vec::new(), outcomes.len());
        for (shape, outcome) in outcomes {
            let who = Who::Shape(shape);
            match outcome {
                Outcome::Answer(answer) => {
                    if let Some(detail) = difference(&right, &answer, &order)? {
                        faults.push(Fault { who, kind: Kind::Rows, detail, answer: Some(answer) });
                    }
                }
                Outcome::Failed(detail) => faults.push(Fault { who, kind: Kind::Error, detail, answer: None }),
                Outcome::Hung => faults.push(Fault { who, kind: Kind::Hung, detail: "no end".into(), answer: None }),
            }
        }
        let mut by_duckdb = ByDuckDb::Nothing;
        let has_other_rows = faults.iter().any(|f: &Fault| f.kind == Kind::Rows);
        if (matches!(only, None | Some(Who::DuckDb)) || has_other_rows)
            && let Some(duckdb) = &mut self.duckdb
            && let Some(text) = sql(query, Dialect::DuckDb)
        {
            match duckdb.query(&text, self.timeout).await? {
                Ok(answer) if has_other_rows && all_agree(&faults, shapes, &answer, &order)? => {
                    by_duckdb = ByDuckDb::AgainstDataFusion;
                    faults.clear();
                }
                Err(detail) if LACKS.iter().any(|lack| detail.starts_with(lack)) => {}
                _ if !matches!(only, None | Some(Who::DuckDb)) => {}
                outcome => {
                    by_duckdb = ByDuckDb::Answered;
                    faults.extend(duckdb_fault(outcome, &right, &order)?);
                }
            }
        }
        Ok(Asked::Answered { right, order, faults, by_duckdb })
    }

    /// Whether the query has one answer only.
    pub(crate) async fn decides(&self, query: &Query, right: &Answer, order: &Order) -> Result<bool> {
        let text = sql(query, Dialect::DataFusion).unwrap_or_default();
        self.reference.decides(&[], &text, right, order, self.timeout).await
    }

    /// Whether the case still has this fault.
    pub(crate) async fn fails(&mut self, case: &Case, fault: &Fault) -> Result<bool> {
        // A table that is left out or emptied in an impossible way is a smaller case that cannot be had.
        if self.load(&case.tables).await.is_err() {
            return Ok(false);
        }
        let missing: Vec<String> =
            self.loaded.iter().map(|l| l.name.clone()).filter(|n| !case.tables.iter().any(|t| t.name == *n)).collect();
        for name in missing {
            self.reference.context().deregister_table(&name)?;
            self.loaded.retain(|l| l.name != name);
        }
        let Asked::Answered { right, order, faults, .. } = self.ask(&case.query, Some(fault.who)).await? else {
            return Ok(false);
        };
        if !faults.iter().any(|f| f.kind == fault.kind && alike(&f.detail, &fault.detail, f.kind)) {
            return Ok(false);
        }
        Ok(fault.kind != Kind::Rows || self.decides(&case.query, &right, &order).await?)
    }
}

/// What a shape's error may say, and why it is no fault.
const LIMITS: [(&str, &str); 2] = [
    ("Resources exhausted", "more memory than a cluster has"),
    // DataFusion's own, unless it knows the column that they are ordered by to be constant. Below grouping sets that is
    // not known here: it would take the groups for constant as well.
    ("Conflicting ordering requirements in aggregate functions", "aggregates over grouping sets in two orders"),
];

/// Beginnings of DuckDB's errors that say that it lacks what a query needs, or is at fault itself.
const LACKS: [&str; 3] = ["NotImplementedException", "BinderException", "InternalException"];

/// Whether each of the shapes that were asked has other rows than plain DataFusion, and they are those of DuckDB.
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
        Err(detail) => return Ok(Some(Fault { who: Who::DuckDb, kind: Kind::Error, detail, answer: None })),
    };
    let detail = difference_by_value(right, &answer, order, None)?;
    Ok(detail.map(|detail| Fault { who: Who::DuckDb, kind: Kind::Rows, detail, answer: Some(answer) }))
}

/// Whether two messages are of one fault: errors by their words, without numbers and names; rows by what is wrong with
/// them, so that a smaller case does not turn into one of another fault.
fn alike(a: &str, b: &str, kind: Kind) -> bool {
    match kind {
        Kind::Error => signature(a) == signature(b),
        Kind::Rows => wrong(a) == wrong(b),
        Kind::Hung => true,
    }
}

/// What is wrong with rows, by the words of [`difference`] and [`difference_by_value`].
fn wrong(detail: &str) -> &'static str {
    if let Some((right, got)) = detail.split_once(" rows are right, got ") {
        let is_more = right.parse::<usize>().ok() < got.parse::<usize>().ok();
        return if is_more { "too many" } else { "too few" };
    }
    match detail {
        order if order.starts_with("order: ") => "order",
        schema if schema.contains("the type of") || schema.contains("named") => "schema",
        _ => "values",
    }
}

/// The words of a message up to the first that a query decides.
pub(crate) fn signature(message: &str) -> String {
    let words = message.split_whitespace().filter(|w| w.chars().all(|c| c.is_alphabetic() || ".,:".contains(c)));
    words.take(12).collect::<Vec<_>>().join(" ")
}
