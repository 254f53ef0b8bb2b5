//! The report of the experiment: tables in Markdown, and plots.

use std::fmt;

use super::layout::UNSORTED;
use super::measurement::SortOrderMeasurement;
use super::query::ALL;
use crate::experiment::ExperimentReport;
use crate::machine::QUIET;
use crate::plot::{Bar, BarPlot, Scale};
use crate::statistics::Summary;

const MIB: f64 = 1024.0 * 1024.0;
const KIB: f64 = 1024.0;

/// The measurements of all queries of tables in all orders.
#[derive(Debug, Clone)]
pub struct SortOrderReport(Vec<SortOrderMeasurement>);

/// The repetitions of a query of a table.
struct Repetitions<'a>(Vec<&'a SortOrderMeasurement>);

impl Repetitions<'_> {
    fn seconds(&self) -> Option<Summary> {
        Summary::of_each(&self.0, |m| m.wall_seconds)
    }

    fn bytes(&self) -> Option<f64> {
        Summary::of_each(&self.0, |m| m.scanned_bytes as f64).map(|summary| summary.median)
    }
}

impl SortOrderReport {
    /// A report of these measurements.
    pub fn new(measurements: Vec<SortOrderMeasurement>) -> Self {
        Self(measurements)
    }

    fn of(&self, query: &str, layout: &str) -> Repetitions<'_> {
        Repetitions(self.0.iter().filter(|m| m.query == query && m.layout == layout).collect())
    }

    fn queries(&self) -> Vec<&str> {
        let mut queries = distinct(self.0.iter().map(|m| m.query.as_str()));
        queries.sort_by_key(|query| (*query != ALL, *query));
        queries
    }

    fn layouts(&self) -> Vec<&str> {
        let mut layouts = distinct(self.0.iter().map(|m| m.layout.as_str()));
        layouts.sort_by_key(|layout| (*layout != UNSORTED, *layout));
        layouts
    }

    fn plot(&self, title: &str, unit: &str, of: impl Fn(&Repetitions<'_>) -> Option<f64>) -> BarPlot {
        let (queries, layouts) = (self.queries(), self.layouts());
        let pairs = queries.iter().flat_map(|query| layouts.iter().map(move |layout| (*query, *layout)));
        let bars = pairs.map(|(query, layout)| Bar {
            group: query.to_string(),
            label: layout.to_string(),
            parts: of(&self.of(query, layout)).into_iter().collect(),
        });
        BarPlot {
            title: title.to_string(),
            y_label: format!("{unit}, logarithmic"),
            y_scale: Scale::Log2,
            bars: bars.collect(),
            part_names: vec!["median".to_string()],
        }
    }

    fn tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| sort order | files | row groups | MiB | written in, s |\n|---|--:|--:|--:|--:|")?;
        for layout in self.layouts() {
            let Some(one) = self.0.iter().find(|m| m.layout == layout) else { continue };
            let table = &one.table;
            writeln!(
                f,
                "| {layout} | {} | {} | {:.1} | {:.1} |",
                table.files,
                table.row_groups,
                table.bytes as f64 / MIB,
                table.write_seconds
            )?;
        }
        writeln!(f)
    }

    fn query(&self, f: &mut fmt::Formatter<'_>, query: &str) -> fmt::Result {
        writeln!(f, "## {query}\n")?;
        if let Some(one) = self.0.iter().find(|m| m.query == query && m.layout == UNSORTED) {
            writeln!(f, "```sql\n{}\n```\n", one.sql)?;
        }
        writeln!(
            f,
            "| sort order | time, ms | times faster | ran | files read | row groups read | rows of pages read | read, MiB | \
             times fewer bytes | skipped |"
        )?;
        writeln!(f, "|---|--:|--:|---|--:|--:|--:|--:|--:|--:|")?;
        let unsorted = self.of(query, UNSORTED);
        for layout in self.layouts() {
            let all = self.of(query, layout);
            let (Some(time), Some(bytes), Some(one)) = (all.seconds(), all.bytes(), all.0.first()) else { continue };
            let loud = all.0.iter().any(|m| m.other_cores.is_some_and(|cores| cores > QUIET));
            let ratio = |before: Option<f64>, after: f64| {
                before.filter(|_| after > 0.0).map_or("–".to_string(), |before| format!("{:.1}", before / after))
            };
            let of_pages = match one.page_rows {
                0 => "–".to_string(),
                rows => format!("{} of {rows}", rows.saturating_sub(one.page_rows_pruned)),
            };
            let skipped = self.of(ALL, layout).bytes().filter(|all| *all > 0.0).map(|all| 1.0 - bytes / all);
            writeln!(
                f,
                "| {layout} | {:.1} ({:.1}–{:.1}){} | {} | {} | {} of {} | {} of {} | {of_pages} | {:.2} | {} | {} |",
                time.median * 1000.0,
                time.min * 1000.0,
                time.max * 1000.0,
                time.marks(loud),
                ratio(unsorted.seconds().map(|s| s.median), time.median),
                one.execution,
                one.files_read(),
                one.table.files,
                one.row_groups_read(),
                one.table.row_groups,
                bytes / MIB,
                ratio(unsorted.bytes(), bytes),
                skipped.map_or("–".to_string(), |share| format!("{:.1} %", share * 100.0)),
            )?;
        }
        writeln!(f)
    }
}

impl ExperimentReport for SortOrderReport {
    fn plots(&self) -> Vec<(String, String)> {
        let bytes = |of: &Repetitions<'_>| of.bytes().map(|bytes| bytes / KIB);
        let milliseconds = |of: &Repetitions<'_>| of.seconds().map(|s| s.median * 1000.0);
        let bytes = self.plot("Bytes read by query and sort order", "KiB", bytes);
        let times = self.plot("Time by query and sort order", "ms", milliseconds);
        vec![("bytes-read.svg".to_string(), bytes.to_svg()), ("time.svg".to_string(), times.to_svg())]
    }
}

impl fmt::Display for SortOrderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Sort order\n")?;
        let Some(one) = self.0.first() else { return writeln!(f, "No measurements.") };
        writeln!(
            f,
            "Bergmill {}, {}. Seed {}. {} events in tables on `{}`, without partitions.\n",
            one.version, one.machine, one.seed, one.table.rows, one.storage
        )?;
        self.tables(f)?;
        writeln!(
            f,
            "Times are medians of the repetitions, with the smallest and the largest. A time marked `~` has a spread over \
             15 %, one marked `!` was measured while other processes used more than {QUIET} cores. All results are \
             equal. Bytes are those of pages and of their index, which only queries with a condition read; footers are \
             cached. *Rows of pages read* are of the \
             rows in row groups that were read. *Skipped* is the share of the bytes that the query of all events reads of the \
             same columns.\n\n\
             ![Bytes read](bytes-read.svg)\n\n![Time](time.svg)\n"
        )?;
        for query in self.queries() {
            self.query(f, query)?;
        }
        Ok(())
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sort_order::tests::measurement;

    fn report() -> SortOrderReport {
        let mut measurements = Vec::new();
        for repetition in 1..=3 {
            for (layout, bytes) in [("product_id", 1 << 20), (UNSORTED, 100 << 20)] {
                measurements.push(measurement(ALL, layout, repetition, 1.0, 200 << 20));
                measurements.push(measurement("one product", layout, repetition, bytes as f64 / 1e9, bytes));
            }
        }
        SortOrderReport::new(measurements)
    }

    #[test]
    fn the_report_compares_with_the_unsorted_table() {
        let text = report().to_string();
        let unsorted = "| unsorted | 104.9 (104.9–104.9) | 1.0 | whole | 3 of 4 | 10 of 16 | 5000 of 20000 | 100.00 | 1.0 | 50.0 % |";
        assert!(text.contains(unsorted), "{text}");
        assert!(text.contains("| product_id | 1.0 (1.0–1.0) | 100.0 |"), "{text}");
        assert!(text.contains("| 1.00 | 100.0 | 99.5 % |"), "{text}");
        let mut loud = report();
        loud.0.iter_mut().for_each(|m| m.other_cores = Some(1.0));
        assert!(loud.to_string().contains("(1.0–1.0) ! |"), "{loud}");
    }

    #[test]
    fn the_same_measurements_give_the_same_files_in_any_order() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut reversed = report();
        reversed.0.reverse();
        report().write(folders[0].path()).unwrap();
        reversed.write(folders[1].path()).unwrap();
        for name in ["report.md", "bytes-read.svg", "time.svg"] {
            let [a, b] = [0, 1].map(|n| std::fs::read_to_string(folders[n].path().join(name)).unwrap());
            assert_eq!(a, b);
            assert!(a.len() > 500, "{name}");
        }
    }
}
