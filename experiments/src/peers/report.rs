//! The report of the experiment: tables in Markdown, and a plot.

use std::fmt;

use super::PeerProblem;
use super::engine::PeerEngine;
use super::measurement::PeerMeasurement;
use crate::experiment::ExperimentReport;
use crate::machine::QUIET;
use crate::plot::{Bar, BarPlot, Scale};
use crate::statistics::Summary;

const MIB: f64 = 1024.0 * 1024.0;

/// The measurements of all queries on all engines.
#[derive(Debug, Clone)]
pub struct PeersReport {
    measurements: Vec<PeerMeasurement>,
    problems: Vec<PeerProblem>,
}

/// A figure of a measurement that engines are compared by.
#[derive(Clone, Copy)]
struct Figure {
    name: &'static str,
    of: fn(&PeerMeasurement) -> f64,
}

const TIME: Figure = Figure { name: "time", of: |m| m.wall_seconds };
const CPU: Figure = Figure { name: "CPU", of: |m| m.cpu_seconds };
const MEMORY: Figure = Figure { name: "memory", of: |m| m.peak_rss as f64 };

impl PeersReport {
    /// A report of these measurements, and of what was not measured.
    pub fn new(measurements: Vec<PeerMeasurement>, problems: Vec<PeerProblem>) -> Self {
        Self { measurements, problems }
    }

    /// The queries whose rows on another engine were not those of Bergmill.
    pub fn differences(&self) -> impl Iterator<Item = &PeerProblem> {
        self.problems.iter().filter(|problem| problem.differs)
    }

    /// Engines with measurements, Bergmill first.
    fn engines(&self) -> Vec<&'static str> {
        let names = PeerEngine::ALL.map(PeerEngine::name);
        names.into_iter().filter(|name| self.measurements.iter().any(|m| m.engine == *name)).collect()
    }

    /// Queries in the order in which they were measured.
    fn queries(&self) -> Vec<&str> {
        let mut queries = Vec::new();
        for measurement in &self.measurements {
            if !queries.contains(&measurement.query.as_str()) {
                queries.push(&measurement.query);
            }
        }
        queries
    }

    fn repetitions(&self, query: &str, engine: &str) -> Vec<&PeerMeasurement> {
        self.measurements.iter().filter(|m| m.query == query && m.engine == engine).collect()
    }

    fn summary(&self, query: &str, engine: &str, figure: Figure) -> Option<Summary> {
        Summary::of_each(&self.repetitions(query, engine), |m| (figure.of)(m))
    }

    fn median(&self, query: &str, engine: &str, figure: Figure) -> Option<f64> {
        self.summary(query, engine, figure).map(|summary| summary.median)
    }

    /// A figure of an engine relative to that of Bergmill: the geometric mean over the queries that both have.
    fn relative(&self, engine: &str, figure: Figure) -> Option<f64> {
        let ratio = |query: &&str| {
            let (theirs, ours) =
                (self.median(query, engine, figure)?, self.median(query, PeerEngine::Bergmill.name(), figure)?);
            // CPU times are counted in hundredths of a second: those of a short query may be zero.
            Some((theirs / ours).ln()).filter(|ratio| ratio.is_finite())
        };
        let ratios: Vec<f64> = self.queries().iter().filter_map(ratio).collect();
        (!ratios.is_empty()).then(|| (ratios.iter().sum::<f64>() / ratios.len() as f64).exp())
    }

    /// A table of the engines.
    fn summaries(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engines = self.engines();
        let all = |query: &&str| engines.iter().all(|engine| self.median(query, engine, TIME).is_some());
        let common: Vec<&str> = self.queries().into_iter().filter(all).collect();
        writeln!(
            f,
            "| engine | version | queries | sum of {0}, s | CPU seconds of {0} | time ÷ Bergmill's | CPU ÷ Bergmill's | \
             most memory, MiB |",
            common.len()
        )?;
        writeln!(f, "|---|---|--:|--:|--:|--:|--:|--:|")?;
        for engine in &engines {
            let of_engine = || self.measurements.iter().filter(|m| m.engine == *engine);
            let sum = |figure| common.iter().filter_map(|query| self.median(query, engine, figure)).sum::<f64>();
            let relative = |figure| self.relative(engine, figure).map_or("–".to_string(), |r| format!("{r:.2}"));
            writeln!(
                f,
                "| {engine} | {} | {} | {:.2} | {:.2} | {} | {} | {:.0} |",
                of_engine().next().map_or("", |m| &m.engine_version),
                self.queries().iter().filter(|query| self.median(query, engine, TIME).is_some()).count(),
                sum(TIME),
                sum(CPU),
                relative(TIME),
                relative(CPU),
                of_engine().map(|m| m.peak_rss as f64 / MIB).fold(0.0, f64::max),
            )?;
        }
        writeln!(f)
    }

    /// A table of a figure of each query, with its ratio to that of Bergmill.
    fn figures(&self, f: &mut fmt::Formatter<'_>, figure: Figure) -> fmt::Result {
        let engines = self.engines();
        writeln!(f, "| query | rows | {} |\n|---|--:|{}", engines.join(" | "), "--:|".repeat(engines.len()))?;
        for query in self.queries() {
            let ours = self.median(query, PeerEngine::Bergmill.name(), figure);
            let rows = self.measurements.iter().find(|m| m.query == query).map_or(0, |m| m.result_rows);
            write!(f, "| {query} | {rows} |")?;
            for engine in &engines {
                let Some(value) = self.summary(query, engine, figure) else {
                    write!(f, " – |")?;
                    continue;
                };
                let loud = |m: &&PeerMeasurement| m.other_cores.is_some_and(|cores| cores > QUIET);
                let marks = value.marks(self.repetitions(query, engine).iter().any(loud));
                let ratio = ours.filter(|ours| *ours > 0.0 && *engine != PeerEngine::Bergmill.name());
                let ratio = ratio.map_or(String::new(), |ours| format!(" ({:.2})", value.median / ours));
                write!(f, " {:.3}{ratio}{marks} |", value.median)?;
            }
            writeln!(f)?;
        }
        writeln!(f)
    }
}

impl ExperimentReport for PeersReport {
    fn plots(&self) -> Vec<(String, String)> {
        let others = self.engines().into_iter().filter(|engine| *engine != PeerEngine::Bergmill.name());
        let bars = others.flat_map(|engine| [TIME, CPU, MEMORY].map(|figure| (engine, figure)));
        let bars = bars.map(|(engine, figure)| Bar {
            group: engine.to_string(),
            label: figure.name.to_string(),
            parts: self.relative(engine, figure).into_iter().collect(),
        });
        let plot = BarPlot {
            title: "Time, CPU seconds and peak memory relative to Bergmill".to_string(),
            y_label: "geometric mean over the queries, logarithmic".to_string(),
            y_scale: Scale::Log2,
            bars: bars.collect(),
            part_names: vec!["ratio of medians".to_string()],
        };
        vec![("relative.svg".to_string(), plot.to_svg())]
    }
}

impl fmt::Display for PeersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Peers\n")?;
        let Some(one) = self.measurements.first() else { return writeln!(f, "No measurements.") };
        writeln!(
            f,
            "Bergmill {}, {}. Seed {}. Each engine uses {} cores, and is allowed {} MiB of memory. {} rows in all tables.\n",
            one.version, one.machine, one.seed, one.cores, one.memory_mib, one.input_rows
        )?;
        self.summaries(f)?;
        writeln!(
            f,
            "Figures are medians of the repetitions, and ratios are to Bergmill; those of several queries are geometric \
             means. The rows of each query are equal on all engines that have a figure. One marked `~` has a spread over \
             15 %, one marked `!` was measured while other processes used more than {QUIET} cores.\n\n\
             ![Relative to Bergmill](relative.svg)\n"
        )?;
        if !self.problems.is_empty() {
            writeln!(f, "## Not measured\n")?;
            for problem in &self.problems {
                writeln!(f, "- {}", problem.to_string().replace('\n', " "))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "## Time, s\n")?;
        self.figures(f, TIME)?;
        writeln!(f, "## CPU seconds\n")?;
        self.figures(f, CPU)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::tests::measurement;

    fn report() -> PeersReport {
        let mut measurements = Vec::new();
        for repetition in 1..=3 {
            for (query, ours, theirs) in [("sales", 1.0, 2.0), ("funnel", 2.0, 1.0)] {
                measurements.push(measurement(PeerEngine::DuckDb, query, repetition, theirs));
                measurements.push(measurement(PeerEngine::Bergmill, query, repetition, ours));
            }
            measurements.push(measurement(PeerEngine::Bergmill, "topics", repetition, 4.0));
        }
        let problem = |engine, query: Option<&str>, differs| PeerProblem {
            engine,
            query: query.map(ToString::to_string),
            differs,
            reason: "3 rows and 4".to_string(),
        };
        let problems = vec![problem(PeerEngine::Spark, None, false), problem(PeerEngine::DuckDb, Some("topics"), true)];
        PeersReport::new(measurements, problems)
    }

    #[test]
    fn engines_are_compared_by_the_queries_that_they_ran() {
        let text = report().to_string();
        assert!(text.contains("| bergmill | 1.2.3 | 3 | 3.00 | 6.00 | 1.00 | 1.00 | 100 |"), "{text}");
        assert!(text.contains("| duckdb | 1.2.3 | 2 | 3.00 | 6.00 | 1.00 | 1.00 | 100 |"), "{text}");
        assert!(text.contains("| sales | 3 | 1.000 | 2.000 (2.00) |"), "{text}");
        assert!(text.contains("| topics | 3 | 4.000 | – |"), "{text}");
        assert!(text.contains("- spark: 3 rows and 4\n"), "{text}");
        assert!(text.contains("- duckdb, topics: other rows than Bergmill: 3 rows and 4\n"), "{text}");
        assert_eq!(report().differences().count(), 1);
        let mut loud = report();
        loud.measurements.iter_mut().for_each(|m| m.other_cores = Some(1.0));
        assert!(loud.to_string().contains("| 2.000 (2.00) ! |"), "{loud}");
    }

    #[test]
    fn the_same_measurements_give_the_same_files() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        folders.iter().for_each(|folder| report().write(folder.path()).unwrap());
        for name in ["report.md", "relative.svg"] {
            let [a, b] = [0, 1].map(|n| std::fs::read_to_string(folders[n].path().join(name)).unwrap());
            assert_eq!(a, b);
            assert!(a.len() > 500, "{name}");
        }
    }
}
