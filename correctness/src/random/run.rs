//! Runs thousands of random queries on all engines; differences are reduced and written out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow::util::pretty::pretty_format_batches;

use super::duckdb::DuckDb;
use super::generate::query;
use super::print::{Dialect, sql};
use super::query::Query;
use super::schema::{Table, tables};
use super::shrink::{Case, shrink};
use super::world::{ByDuckDb, Compared, Engine, Fault, Kind, World, signature};
use crate::{Answer, Clusters, Entry, Report, Shape, Verdict};

/// The number of queries over the same tables.
const QUERIES_A_SCHEMA: u64 = 50;
/// How often the same failure is reduced; failures that look alike may have different causes.
const SHRUNK_OF_A_KIND: usize = 2;
/// The number of result rows that a case shows.
const SHOWN_ROWS: usize = 30;

/// What to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Determines tables and queries.
    pub seed: u64,
    /// Number of the first query.
    pub first: u64,
    /// Number of queries.
    pub queries: u64,
    /// The clusters to run them on.
    pub shapes: Vec<Shape>,
    /// A Python with the package `duckdb`, to run them on DuckDB as well.
    pub python: Option<PathBuf>,
    /// The folder for reduced failing cases.
    pub out: Option<PathBuf>,
    /// Time after which a query counts as hung.
    pub timeout: Duration,
    /// Time for reducing a failing case.
    pub shrink_time: Duration,
    /// Time after which no further query is run.
    pub time: Option<Duration>,
}

/// The results of a run.
#[derive(Debug, Default)]
pub struct Summary {
    /// Differences, as text with everything needed to reproduce them.
    pub cases: Vec<String>,
    /// Queries that plain DataFusion answered.
    pub answered: usize,
    /// Answered queries with rows.
    pub with_rows: usize,
    /// Queries that DuckDB answered as well.
    pub answered_by_duckdb: usize,
    /// Queries for which only plain DataFusion returned other rows than DuckDB and all shapes.
    pub against_datafusion: usize,
    /// Queries that DuckDB answered with the same rows only without its optimizer.
    pub unoptimized_by_duckdb: usize,
    /// Queries whose result depends on the order of rows, which the generator should not produce.
    pub undecided: usize,
    /// Reasons why plain DataFusion failed, and how often.
    pub refused: BTreeMap<String, usize>,
}

/// Runs all queries.
///
/// # Errors
/// When a cluster does not start, tables cannot be created, or outcomes cannot be written. Differences are not errors.
pub async fn run(settings: &Settings, report: &mut Report) -> Result<Summary> {
    let started = Instant::now();
    let duckdb = match &settings.python {
        Some(python) => Some(DuckDb::start(python).await?),
        None => None,
    };
    let clusters = Clusters::start(&settings.shapes, settings.timeout).await?;
    let mut run = Run {
        world: World::new(clusters, duckdb, settings.timeout),
        settings,
        summary: Summary::default(),
        seen: BTreeMap::new(),
    };
    let mut schema = None;
    for number in settings.first..settings.first + settings.queries {
        if settings.time.is_some_and(|time| started.elapsed() > time) {
            break;
        }
        let wanted = number / QUERIES_A_SCHEMA;
        if schema != Some(wanted) {
            run.progress(number, started);
            schema = Some(wanted);
        }
        let tables = tables(settings.seed.wrapping_add(wanted));
        run.world.load(&tables).await?;
        run.one(&tables, number, report).await?;
    }
    run.progress(settings.first + settings.queries, started);
    Ok(run.summary)
}

struct Run<'a> {
    world: World,
    settings: &'a Settings,
    summary: Summary,
    /// How often each failure was reduced.
    seen: BTreeMap<String, usize>,
}

impl Run<'_> {
    fn progress(&self, number: u64, started: Instant) {
        let Summary { answered, with_rows, answered_by_duckdb, against_datafusion, cases, undecided, .. } =
            &self.summary;
        let (refused, unoptimized): (usize, _) =
            (self.summary.refused.values().sum(), self.summary.unoptimized_by_duckdb);
        eprintln!(
            "seed {} query {number}: {answered} answered ({with_rows} with rows, {answered_by_duckdb} by DuckDB too, {unoptimized} of \
             these without its optimizer), {refused} refused, {against_datafusion} of plain DataFusion alone, {undecided} undecided, {} differ, {:.0} s",
            self.settings.seed,
            cases.len(),
            started.elapsed().as_secs_f64()
        );
    }

    async fn one(&mut self, tables: &[Table], number: u64, report: &mut Report) -> Result<()> {
        let query = query(tables, self.settings.seed, number);
        let started = Instant::now();
        let (right, order, mut faults, by_duckdb) = match self.world.compare(&query, None).await? {
            Compared::Refused(reason) => {
                let reason = if reason == "too slow" { reason } else { signature(&reason) };
                report.add(self.entry(number, &query, "", Verdict::LeftOut, &reason, started))?;
                *self.summary.refused.entry(reason).or_default() += 1;
                return Ok(());
            }
            Compared::Answered { right, order, faults, by_duckdb } => (right, order, faults, by_duckdb),
        };
        self.summary.answered += 1;
        self.summary.with_rows += usize::from(right.rows() > 0);
        self.summary.answered_by_duckdb += usize::from(by_duckdb != ByDuckDb::Nothing);
        self.summary.against_datafusion += usize::from(by_duckdb == ByDuckDb::AgainstDataFusion);
        self.summary.unoptimized_by_duckdb += usize::from(by_duckdb == ByDuckDb::Unoptimized);
        let has_other_rows = faults.iter().any(|f| f.kind == Kind::Rows);
        if has_other_rows && !self.world.decides(&query, &right, &order).await? {
            self.summary.undecided += 1;
            let reason = "the result depends on the order of rows";
            report.add(self.entry(number, &query, "", Verdict::LeftOut, reason, started))?;
            // Errors and hangs are faults whatever the rows.
            faults.retain(|f| f.kind != Kind::Rows);
            return self.write_down(tables, number, &query, &faults).await;
        }
        let shapes = (0..self.settings.shapes.len()).map(Engine::Shape);
        for engine in shapes.chain((by_duckdb != ByDuckDb::Nothing).then_some(Engine::DuckDb)) {
            let (verdict, detail) = match faults.iter().find(|f| f.engine == engine) {
                None => (Verdict::Equal, ""),
                Some(fault) => (verdict(fault.kind), fault.detail.as_str()),
            };
            report.add(self.entry(number, &query, self.world.name(engine), verdict, detail, started))?;
        }
        self.write_down(tables, number, &query, &faults).await
    }

    fn entry(
        &self,
        number: u64,
        query: &Query,
        shape: &str,
        verdict: Verdict,
        detail: &str,
        started: Instant,
    ) -> Entry {
        Entry {
            query: format!("seed {} query {number}", self.settings.seed),
            sql: sql(query, Dialect::DataFusion).unwrap_or_default(),
            shape: shape.into(),
            verdict,
            detail: detail.into(),
            reason: if verdict == Verdict::LeftOut { detail.into() } else { String::new() },
            milliseconds: started.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        }
    }

    /// Reduces the first of the faults, and those that look different.
    async fn write_down(&mut self, tables: &[Table], number: u64, query: &Query, faults: &[Fault]) -> Result<()> {
        let mut shown: Vec<String> = Vec::new();
        for fault in faults {
            let words = if fault.kind == Kind::Error { signature(&fault.detail) } else { "rows".into() };
            let engine = if fault.engine == Engine::DuckDb { "duckdb" } else { "shape" };
            let failure = format!("{engine} {:?} {words}", fault.kind);
            if shown.contains(&failure) {
                continue;
            }
            shown.push(failure.clone());
            let case = Case { tables: tables.to_vec(), query: query.clone() };
            let seen = self.seen.entry(failure).or_default();
            *seen += 1;
            let is_shrunk = fault.kind == Kind::Rows || *seen <= SHRUNK_OF_A_KIND;
            let case = if is_shrunk { self.smallest(case, fault).await? } else { case };
            let name = self.world.name(fault.engine);
            let text = self.describe(number, query, &case, fault).await?;
            eprintln!(
                "seed {} query {number} [{name}] {:?}: {}",
                self.settings.seed,
                fault.kind,
                first_line(&fault.detail)
            );
            if let Some(folder) = &self.settings.out
                && is_shrunk
            {
                write(folder, &format!("{}-{number}-{name}.sql", self.settings.seed), &text)?;
            }
            self.summary.cases.push(text);
        }
        Ok(())
    }

    async fn smallest(&mut self, case: Case, fault: &Fault) -> Result<Case> {
        let deadline = Instant::now() + self.settings.shrink_time;
        let world = &mut self.world;
        let mut fails = async |case: &Case| world.fails(case, fault).await;
        shrink(case, deadline, &mut fails).await
    }

    /// Everything needed to reproduce it, as a script with comments.
    async fn describe(&mut self, number: u64, query: &Query, case: &Case, fault: &Fault) -> Result<String> {
        let mut text =
            format!("-- seed {} query {number}: {} differs\n", self.settings.seed, self.world.name(fault.engine));
        comment(&mut text, &fault.detail);
        comment(&mut text, &format!("original: {}", sql(query, Dialect::DataFusion).unwrap_or_default()));
        for table in &case.tables {
            text.push_str(&format!("{};\n", table.create(true)));
            for insert in table.inserts() {
                text.push_str(&format!("{insert};\n"));
            }
        }
        text.push_str(&format!("{};\n", sql(&case.query, Dialect::DataFusion).unwrap_or_default()));
        if let Some(duckdb) = sql(&case.query, Dialect::DuckDb).filter(|_| fault.engine == Engine::DuckDb) {
            comment(&mut text, &format!("for DuckDB: {duckdb}"));
        }
        if self.world.load(&case.tables).await.is_ok()
            && let Compared::Answered { right, faults, .. } = self.world.compare(&case.query, None).await?
        {
            comment(&mut text, &format!("expected, from plain DataFusion:\n{}", rows_text(&right)));
            for fault in &faults {
                let answer = fault.answer.as_ref().map(rows_text).unwrap_or_default();
                comment(&mut text, &format!("{}: {}\n{answer}", self.world.name(fault.engine), fault.detail));
            }
        }
        Ok(text)
    }
}

fn verdict(kind: Kind) -> Verdict {
    match kind {
        Kind::Rows => Verdict::Different,
        Kind::Error => Verdict::Error,
        Kind::Hung => Verdict::Hung,
    }
}

fn comment(text: &mut String, lines: &str) {
    for line in lines.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "-- {line}");
    }
}

fn rows_text(answer: &Answer) -> String {
    let mut left = SHOWN_ROWS;
    let mut shown = Vec::new();
    for batch in &answer.batches {
        let rows = batch.num_rows().min(left);
        shown.push(batch.slice(0, rows));
        left -= rows;
    }
    let more = if answer.rows() > SHOWN_ROWS { format!("\nof {} rows", answer.rows()) } else { String::new() };
    pretty_format_batches(&shown).map_or_else(|e| e.to_string(), |table| format!("{table}{more}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(name), text)?;
    Ok(())
}
