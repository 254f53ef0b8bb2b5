//! Two runs of an experiment, side by side.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::measurement::{Measurement, read};
use crate::sort_order::{self, SortOrderMeasurement};
use crate::statistics::{Comparison, Summary, Verdict, compare};
use crate::workers;

const MIB: f64 = 1024.0 * 1024.0;

/// Two runs of the same experiment.
#[derive(Debug)]
pub struct RunsCompared(Vec<Table>);

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

/// The quantity in one repetition: what was measured, the position of this among others, and the number.
type Value = ((String, usize, String), f64);

impl RunsCompared {
    /// Compares the measurements in two folders.
    ///
    /// # Errors
    /// If a folder has no measurements, or they are of different experiments.
    pub fn read(before: &Path, after: &Path) -> Result<Self> {
        match (experiment(before)?.as_str(), experiment(after)?.as_str()) {
            (workers::EXPERIMENT, workers::EXPERIMENT) => Ok(Self::workers(&read(before)?, &read(after)?)),
            (sort_order::EXPERIMENT, sort_order::EXPERIMENT) => Ok(Self::sort_orders(&read(before)?, &read(after)?)),
            (a, b) => Err(Error::Setting(format!(
                "{} has measurements of the experiment {a}, {} of {b}; compare two runs of the same experiment",
                before.display(),
                after.display()
            ))),
        }
    }

    /// Compares the wall times of two runs, for each workload and number of workers.
    fn workers(before: &[Measurement], after: &[Measurement]) -> Self {
        let value = |m: &Measurement| ((m.workload.clone(), m.workers, m.workers.to_string()), m.wall_seconds);
        let values = |run: &[Measurement]| run.iter().filter(|m| m.engine == "bergmill").map(value).collect();
        Self(vec![table("s", ["workload", "workers"], [values(before), values(after)])])
    }

    /// Compares the wall times and the bytes read of two runs, for each query and sort order.
    fn sort_orders(before: &[SortOrderMeasurement], after: &[SortOrderMeasurement]) -> Self {
        let compared = |quantity, of: fn(&SortOrderMeasurement) -> f64| {
            let value = |m: &SortOrderMeasurement| ((m.query.clone(), 0, m.layout.clone()), of(m));
            let values = |run: &[SortOrderMeasurement]| run.iter().map(value).collect();
            table(quantity, ["query", "sort order"], [values(before), values(after)])
        };
        Self(vec![compared("s", |m| m.wall_seconds), compared("MiB", |m| m.scanned_bytes as f64 / MIB)])
    }
}

/// The experiment of the measurements in a folder.
fn experiment(folder: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct OfExperiment {
        experiment: String,
    }
    let first = read::<OfExperiment>(folder)?.into_iter().next();
    first.map(|m| m.experiment).ok_or_else(|| Error::NoData(format!("{} has no measurements", folder.display())))
}

fn table(quantity: &'static str, of: [&'static str; 2], runs: [Vec<Value>; 2]) -> Table {
    let mut values: BTreeMap<(String, usize, String), [Vec<f64>; 2]> = BTreeMap::new();
    for (n, run) in runs.into_iter().enumerate() {
        for (key, value) in run {
            values.entry(key).or_default()[n].push(value);
        }
    }
    let line = |((what, _, variant), [before, after]): (_, [Vec<f64>; 2])| {
        let both = !before.is_empty() && !after.is_empty();
        let values = [Summary::of(&before), Summary::of(&after)];
        Line { of: [what, variant], values, comparison: both.then(|| compare(&before, &after)) }
    };
    Table { quantity, of, lines: values.into_iter().map(line).collect() }
}

/// Formats the comparison as Markdown.
impl fmt::Display for RunsCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, table) in self.0.iter().enumerate() {
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
}
