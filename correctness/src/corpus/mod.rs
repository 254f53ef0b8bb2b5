//! DataFusion's own sqllogictest corpus, through the front door: each query that plain DataFusion answers, in every
//! shape.
//!
//! Each file runs from start to end over its own tables. In both engines, tables are converted to types that Iceberg
//! has, so that the query is compared and not the table. The rows that the files expect are ignored: DataFusion in this
//! process is the reference.

mod made_rows;
mod package;
mod script;
mod statement;
mod storable;
mod world;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use package::Package;
pub use statement::Reason;

use crate::report::{Entry, Report, Verdict};
use crate::{Answer, Clusters, Order, Outcome, Reference, difference};
use script::Record;
use statement::{Task, task};
use world::{Change, World};

/// Runs one file, relative to `test_files`, in every shape of `clusters`, and adds what it finds to `report`.
///
/// # Errors
/// When the file cannot be read or a cluster does not start. The outcome of a query is never an error.
pub async fn run_file(
    package: &Package,
    file: &str,
    clusters: &mut Clusters,
    timeout: Duration,
    report: &mut Report,
) -> Result<()> {
    let (records, unread) = script::read(&package.folder.join("test_files"), file)?;
    report.unread(unread);
    let mut world = World::new(package, clusters, timeout)?;
    for record in records {
        run_record(&mut world, &record, timeout, report)
            .await
            .with_context(|| format!("{}:{}", record.file, record.line))?;
    }
    world.close().await
}

async fn run_record(world: &mut World<'_>, record: &Record, timeout: Duration, report: &mut Report) -> Result<()> {
    let task = if record.succeeds { task(&record.sql) } else { Task::LeftOut(Reason::Refused) };
    let left_out = |reason: Reason| entry(record, "", Verdict::LeftOut, reason.to_string(), &reason.kind());
    match task {
        Task::LeftOut(reason) => report.add(left_out(reason))?,
        Task::Copy => {
            world.copy(&record.sql).await?;
            report.add(left_out(Reason::Copy))?;
        }
        Task::Drop(tables) => world.drop(&record.sql, &tables).await?,
        Task::External(table) => {
            if let Some(reason) = world.external(&record.sql, &table).await? {
                report.add(left_out(reason))?;
            }
        }
        Task::Change(tables) => match world.change(&record.sql, &tables).await? {
            Change::LeftOut(reason) => report.add(left_out(reason))?,
            Change::Equal => report.add(entry(record, CHANGES, Verdict::Equal, String::new(), ""))?,
            Change::Different(how) => report.add(entry(record, CHANGES, Verdict::Different, how, ""))?,
            Change::Failed(error) => report.add(entry(record, CHANGES, Verdict::Error, error, ""))?,
        },
        Task::Query(tables) => {
            // DataFusion runs the query in any case: if it fails, that is the reason, whatever the tables are.
            let right = reference_answer(&world.reference, &record.sql, timeout).await;
            match (right, world.missing(&tables)) {
                (Err(reason), _) | (Ok(_), Some(reason)) => report.add(left_out(reason))?,
                (Ok((answer, order)), None) => compare(world, record, &answer, &order, timeout, report).await?,
            }
        }
    }
    Ok(())
}

/// The shape name under which reports count statements that change tables.
const CHANGES: &str = "DDL and DML";

async fn compare(
    world: &mut World<'_>,
    record: &Record,
    right: &Answer,
    order: &Order,
    timeout: Duration,
    report: &mut Report,
) -> Result<()> {
    let started = Instant::now();
    let outcomes = world.clusters.run_everywhere(&record.sql).await?;
    let mut is_decided = None;
    for (shape, outcome) in outcomes {
        let (verdict, detail) = match outcome {
            Outcome::Failed(error) => (Verdict::Error, error),
            Outcome::Hung => (Verdict::Hung, format!("not ended after {} s", timeout.as_secs())),
            Outcome::Answer(answer) => match difference(right, &answer, order)? {
                None => (Verdict::Equal, String::new()),
                Some(difference) => (Verdict::Different, difference),
            },
        };
        if verdict == Verdict::Different && is_decided.is_none() {
            is_decided = Some(world.reference.decides(world.views(), &record.sql, right, order, timeout).await?);
        }
        let mut found = if verdict == Verdict::Different && is_decided == Some(false) {
            let reason = Reason::Undecided;
            entry(record, shape.name, Verdict::LeftOut, detail, &reason.kind())
        } else {
            entry(record, shape.name, verdict, detail, "")
        };
        found.milliseconds = started.elapsed().as_millis() as u64;
        report.add(found)?;
    }
    Ok(())
}

async fn reference_answer(reference: &Reference, sql: &str, timeout: Duration) -> Result<(Answer, Order), Reason> {
    match tokio::time::timeout(timeout, reference.query(sql)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Reason::Refused),
        Err(_) => Err(Reason::Slow),
    }
}

fn entry(record: &Record, shape: &str, verdict: Verdict, detail: String, reason: &str) -> Entry {
    Entry {
        query: format!("{}:{}", record.file, record.line),
        sql: record.sql.clone(),
        shape: shape.to_string(),
        verdict,
        detail,
        reason: reason.to_string(),
        milliseconds: 0,
    }
}
