//! The report: every outcome as a line of JSON, and the counts of each shape.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::known;

/// How a shape's result of a query compares with the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The results are equal.
    Equal,
    /// Rows, names or types differ.
    Different,
    /// An error in place of rows.
    Error,
    /// The query did not end.
    Hung,
    /// Not compared.
    LeftOut,
}

/// One outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The name of the query: a file and line, or a number.
    pub query: String,
    /// The query's SQL.
    pub sql: String,
    /// The shape that ran it; empty for a skipped query.
    pub shape: String,
    /// The outcome.
    pub verdict: Verdict,
    /// The difference, the error, or more about the reason.
    pub detail: String,
    /// Why it was skipped, as counted in reports.
    pub reason: String,
    /// How long it took, all shapes together.
    pub milliseconds: u64,
}

impl Entry {
    fn is_found(&self) -> bool {
        !matches!(self.verdict, Verdict::Equal | Verdict::LeftOut)
    }
}

/// Collects outcomes.
#[derive(Debug, Default)]
pub struct Report {
    shapes: BTreeMap<String, BTreeMap<Verdict, usize>>,
    reasons: BTreeMap<String, usize>,
    unread: usize,
    found: Vec<Entry>,
    lines: Option<BufWriter<File>>,
}

impl Report {
    /// A report that also writes each outcome to `FOLDER/NAME.jsonl`, if there is a folder.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn new(folder: Option<&Path>, name: &str) -> Result<Self> {
        let lines = |folder: &Path| {
            std::fs::create_dir_all(folder)?;
            File::create(folder.join(format!("{name}.jsonl")))
        };
        let lines = folder.map(lines).transpose().context("cannot write outcomes")?;
        Ok(Self { lines: lines.map(BufWriter::new), ..Self::default() })
    }

    /// Counts an outcome.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, mut entry: Entry) -> Result<()> {
        if let Some(reason) = known::reason(&entry.query).filter(|_| entry.is_found()) {
            entry.reason = reason.to_string();
        }
        if let Some(lines) = &mut self.lines {
            serde_json::to_writer(&mut *lines, &entry)?;
            lines.write_all(b"\n")?;
            lines.flush()?;
        }
        if !entry.shape.is_empty() {
            *self.shapes.entry(entry.shape.clone()).or_default().entry(entry.verdict).or_default() += 1;
        }
        if entry.verdict == Verdict::LeftOut {
            *self.reasons.entry(entry.reason.clone()).or_default() += 1;
        }
        if entry.is_found() {
            self.found.push(entry);
        }
        Ok(())
    }

    /// Counts records that could not be read.
    pub fn unread(&mut self, records: usize) {
        self.unread += records;
    }

    /// Everything that was neither equal nor skipped.
    pub fn found(&self) -> &[Entry] {
        &self.found
    }

    /// How many differences are not [known](crate::KNOWN).
    pub fn unknown(&self) -> usize {
        self.found.iter().filter(|entry| entry.reason.is_empty()).count()
    }

    /// How many results were equal, over all shapes.
    pub fn equal(&self) -> usize {
        self.shapes.values().filter_map(|counts| counts.get(&Verdict::Equal)).sum()
    }

    /// The counts as tables in Markdown.
    pub fn tables(&self) -> String {
        let mut text = String::from(
            "| shape | queries | equal | different | error | hung | share equal |\n|---|---|---|---|---|---|---|\n",
        );
        for (shape, counts) in &self.shapes {
            let count = |verdict: Verdict| counts.get(&verdict).copied().unwrap_or(0);
            let [equal, different] = [Verdict::Equal, Verdict::Different].map(count);
            let [error, hung] = [Verdict::Error, Verdict::Hung].map(count);
            let queries = equal + different + error + hung;
            let share = if queries == 0 { 0.0 } else { 100.0 * equal as f64 / queries as f64 };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {shape} | {queries} | {equal} | {different} | {error} | {hung} | {share:.2} % |");
        }
        if !self.reasons.is_empty() || self.unread > 0 {
            text.push_str("\n| skipped because of | statements |\n|---|---|\n");
            let mut reasons: Vec<_> = self.reasons.iter().collect();
            reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            for (reason, count) in reasons {
                let _ = writeln!(text, "| {reason} | {count} |");
            }
            if self.unread > 0 {
                let _ = writeln!(
                    text,
                    "| records that are not SQL, or that the parser does not support | {} |",
                    self.unread
                );
            }
        }
        if !self.found.is_empty() {
            text.push_str("\n| query | shape | difference | known reason |\n|---|---|---|---|\n");
            for Entry { query, shape, detail, reason, .. } in &self.found {
                let (detail, reason) = (cell(detail), cell(reason));
                let _ = writeln!(text, "| {query} | {shape} | {detail} | {reason} |");
            }
        }
        text
    }

    /// All differences as text.
    pub fn list(&self) -> String {
        let mut text = String::new();
        for entry in &self.found {
            let Entry { query, shape, verdict, detail, sql, .. } = entry;
            let _ = writeln!(text, "{query} [{shape}] {verdict:?}: {detail}\n    {}\n", sql.replace('\n', "\n    "));
        }
        text
    }
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    line.replace('|', "\\|").replace('<', "&lt;")
}
