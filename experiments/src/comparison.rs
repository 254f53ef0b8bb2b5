//! Two runs of an experiment, side by side.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::measurement::{Measurement, WorkersScaling, read};
use crate::peers::{self, PeerMeasurement};
use crate::sort_order::{self, SortOrderMeasurement};
use crate::statistics::{Comparison, Summary, Verdict, compare};
use crate::workers;

const MIB: f64 = 1024.0 * 1024.0;

/// Two runs of the same experiment.
#[derive(Debug)]
pub struct RunsCompared {
    /// What makes the runs differ, apart from what is compared.
    warnings: Vec<String>,
    tables: Vec<Table>,
}

/// One quantity of everything that was measured.
#[derive(Debug)]
struct Table {
    /// The quantity with its unit.
    quantity: &'static str,
    /// The names of the two columns that say what was measured.
    of: [&'static str; 2],
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    of: [String; 2],
    /// The quantity before and after, if it was measured.
    values: [Option<Summary>; 2],
    comparison: Option<Comparison>,
}

/// What was measured: its name, the position of its variant among others, and the variant.
type Key = (String, usize, String);

/// The quantity in one repetition.
struct Value {
    of: Key,
    number: f64,
    /// Rows of the tables that were read.
    rows: u64,
}

impl RunsCompared {
    /// Compares the measurements in two folders.
    ///
    /// # Errors
    /// If a folder has no measurements, or they are of different experiments.
    pub fn read(before: &Path, after: &Path) -> Result<Self> {
        let (old, new) = (Conditions::of(before)?, Conditions::of(after)?);
        let mut compared = match (old.experiment.as_str(), new.experiment.as_str()) {
            (workers::EXPERIMENT, workers::EXPERIMENT) => Self::workers(&read(before)?, &read(after)?),
            (sort_order::EXPERIMENT, sort_order::EXPERIMENT) => Self::sort_orders(&read(before)?, &read(after)?),
            (peers::EXPERIMENT, peers::EXPERIMENT) => Self::peers(&read(before)?, &read(after)?),
            (a, b) => {
                return Err(Error::Setting(format!(
                    "{} has measurements of the experiment {a}, {} of {b}; compare two runs of the same experiment",
                    before.display(),
                    after.display()
                )));
            }
        };
        if old.machine != new.machine {
            compared.warnings.push(format!("the machines differ: {}, and {}", old.machine, new.machine));
        }
        if old.share_cores != new.share_cores {
            let share = |of: Option<f64>| of.map_or("no share".to_string(), |cores| format!("{cores} cores"));
            let (old, new) = (share(old.share_cores), share(new.share_cores));
            compared.warnings.push(format!("the workers' shares of the CPU differ: {old}, and {new}"));
        }
        Ok(compared)
    }

    /// Compares the wall times of two runs, for each workload and number of workers.
    fn workers(before: &[Measurement], after: &[Measurement]) -> Self {
        let value = |m: &Measurement| {
            let weak = if m.scaling == WorkersScaling::Weak { ", weak scaling" } else { "" };
            let of = (format!("{}{weak}", m.workload), m.workers, m.workers.to_string());
            Value { of, number: m.wall_seconds, rows: m.input_rows }
        };
        let values = |run: &[Measurement]| run.iter().filter(|m| m.engine == "bergmill").map(value).collect();
        Self::of([("s", [values(before), values(after)])], ["workload", "workers"])
    }

    /// Compares the wall times and the bytes read of two runs, for each query and sort order.
    fn sort_orders(before: &[SortOrderMeasurement], after: &[SortOrderMeasurement]) -> Self {
        let compared = |quantity, number: fn(&SortOrderMeasurement) -> f64| {
            let value = |m: &SortOrderMeasurement| Value {
                of: (m.query.clone(), 0, m.layout.clone()),
                number: number(m),
                rows: m.table.rows,
            };
            (quantity, [before, after].map(|run| run.iter().map(value).collect()))
        };
        let quantities = [compared("s", |m| m.wall_seconds), compared("MiB", |m| m.scanned_bytes as f64 / MIB)];
        Self::of(quantities, ["query", "sort order"])
    }

    /// Compares the wall times and the CPU seconds of two runs, for each query and engine.
    fn peers(before: &[PeerMeasurement], after: &[PeerMeasurement]) -> Self {
        let compared = |quantity, number: fn(&PeerMeasurement) -> f64| {
            let value = |m: &PeerMeasurement| Value {
                of: (m.query.clone(), 0, m.engine.clone()),
                number: number(m),
                rows: m.input_rows,
            };
            (quantity, [before, after].map(|run| run.iter().map(value).collect()))
        };
        let quantities = [compared("s", |m| m.wall_seconds), compared("CPU s", |m| m.cpu_seconds)];
        Self::of(quantities, ["query", "engine"])
    }

    /// A table of each quantity. `of` names the columns that say what was measured.
    fn of(quantities: impl IntoIterator<Item = (&'static str, [Vec<Value>; 2])>, of: [&'static str; 2]) -> Self {
        let (mut warnings, mut tables) = (Vec::new(), Vec::new());
        for (quantity, runs) in quantities {
            let (table, rows) = table(quantity, of, runs);
            if let Some((before, after)) = rows
                && warnings.is_empty()
            {
                warnings.push(format!("the tables differ: {before} rows, and {after}"));
            }
            tables.push(table);
        }
        Self { warnings, tables }
    }
}

/// What all measurements of a run have in common.
#[derive(Deserialize)]
struct Conditions {
    experiment: String,
    machine: Machine,
    share_cores: Option<f64>,
}

impl Conditions {
    /// Those of the measurements in a folder.
    fn of(folder: &Path) -> Result<Self> {
        let first = read::<Self>(folder)?.into_iter().next();
        first.ok_or_else(|| Error::NoData(format!("{} has no measurements", folder.display())))
    }
}

/// The repetitions of one run, and the rows that they read.
type Repetitions = (Vec<f64>, Option<u64>);

/// A table of what two runs have measured, and the rows before and after of the first line where they differ.
fn table(quantity: &'static str, of: [&'static str; 2], runs: [Vec<Value>; 2]) -> (Table, Option<(u64, u64)>) {
    let mut values: BTreeMap<Key, [Repetitions; 2]> = BTreeMap::new();
    for (n, run) in runs.into_iter().enumerate() {
        for Value { of, number, rows } in run {
            let (numbers, of_rows) = &mut values.entry(of).or_default()[n];
            numbers.push(number);
            *of_rows = Some(rows);
        }
    }
    let rows =
        values.values().find_map(|[(_, before), (_, after)]| Some(((*before)?, (*after)?)).filter(|(a, b)| a != b));
    let line = |((what, _, variant), [(before, _), (after, _)]): (_, [Repetitions; 2])| {
        let both = !before.is_empty() && !after.is_empty();
        let values = [Summary::of(&before), Summary::of(&after)];
        Line { of: [what, variant], values, comparison: both.then(|| compare(&before, &after)) }
    };
    (Table { quantity, of, lines: values.into_iter().map(line).collect() }, rows)
}

/// Formats the comparison as Markdown.
impl fmt::Display for RunsCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "**Careful**: {warning}.\n")?;
        }
        for (n, table) in self.tables.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{table}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, [what, variant]) = (self.quantity, self.of);
        writeln!(f, "| {what} | {variant} | before, {unit} | after, {unit} | ratio | verdict | p |")?;
        writeln!(f, "|---|--:|--:|--:|--:|---|--:|")?;
        for Line { of: [what, variant], values: [before, after], comparison } in &self.lines {
            let value = |s: &Option<Summary>| {
                s.map_or("–".to_string(), |s| format!("{:.2} ({:.2}–{:.2})", s.median, s.min, s.max))
            };
            write!(f, "| {what} | {variant} | {} | {} ", value(before), value(after))?;
            match comparison {
                Some(Comparison { ratio, p_value, verdict }) => {
                    let verdict = match verdict {
                        Verdict::Better => "better",
                        Verdict::Worse => "worse",
                        Verdict::CannotTell => "cannot tell",
                    };
                    writeln!(f, "| {ratio:.2} | {verdict} | {p_value:.3} |")?;
                }
                None => writeln!(f, "| – | only in one run | – |")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::append;
    use crate::measurement::tests::measurement;
    use crate::sort_order::tests::measurement as sort_order_measurement;

    #[test]
    fn runs_are_compared_by_workload_and_size() {
        let run = |seconds: f64, workload: &str| -> Vec<Measurement> {
            let noise = |n: usize| seconds * (1.0 + n as f64 / 1000.0);
            (1..=5).map(|n| measurement(workload, 2, n, noise(n))).collect()
        };
        let text = RunsCompared::workers(&run(2.0, "join"), &run(1.0, "join")).to_string();
        assert!(text.contains("| join | 2 | 2.01 (2.00–2.01) | 1.00 (1.00–1.00) | 0.50 | better |"), "{text}");
        let text = RunsCompared::workers(&run(1.0, "join"), &run(1.1, "join")).to_string();
        assert!(text.contains("| 1.10 | worse |"), "{text}");
        let text = RunsCompared::workers(&run(1.0, "join"), &run(1.0, "join")).to_string();
        assert!(text.contains("| 1.00 | cannot tell |"), "{text}");
        let text = RunsCompared::workers(&run(1.0, "join"), &run(1.0, "window")).to_string();
        assert!(text.contains("| window | 2 | – | 1.00") && text.contains("only in one run"), "{text}");
    }

    #[test]
    fn sort_orders_are_compared_by_time_and_by_bytes() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for repetition in 1..=5 {
            let one = |bytes| sort_order_measurement("one product", "product_id", repetition, 0.1, bytes);
            append(folders[0].path(), &one(8 << 20)).unwrap();
            append(folders[1].path(), &one(2 << 20)).unwrap();
            append(folders[2].path(), &measurement("join", 1, repetition, 1.0)).unwrap();
        }
        let [before, after, other] = folders.each_ref().map(tempfile::TempDir::path);
        let text = RunsCompared::read(before, after).unwrap().to_string();
        assert!(
            text.contains("| one product | product_id | 0.10 (0.10–0.10) | 0.10 (0.10–0.10) | 1.00 | cannot tell |")
        );
        assert!(text.contains("| 8.00 (8.00–8.00) | 2.00 (2.00–2.00) | 0.25 | better |"), "{text}");
        let e = RunsCompared::read(before, other).unwrap_err().to_string();
        assert!(e.contains("sort-order") && e.contains("workers"), "{e}");
    }

    #[test]
    fn runs_under_other_conditions_are_compared_with_a_warning() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [before, after] = folders.each_ref().map(tempfile::TempDir::path);
        let one = measurement("join", 2, 1, 1.0);
        append(before, &one).unwrap();
        let compared = || RunsCompared::read(before, after).unwrap().to_string();
        append(after, &one).unwrap();
        assert!(!compared().contains("Careful"), "{}", compared());
        let check = |change: fn(&mut Measurement), expected: &str| {
            let mut other = one.clone();
            change(&mut other);
            std::fs::remove_file(after.join("measurements.jsonl")).unwrap();
            append(after, &other).unwrap();
            assert!(compared().contains(expected), "{}", compared());
            assert_eq!(compared().matches("Careful").count(), 1, "{}", compared());
        };
        check(|m| m.input_rows = 7, "the tables differ: 1000000 rows, and 7.");
        check(|m| m.machine.cores = 64, "the machines differ: 2 cores of a processor");
        check(|m| m.share_cores = None, "differ: 0.2 cores, and no share");
    }
}
