//! The report of the experiment: tables in Markdown, and plots.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::experiment::ExperimentReport;
use crate::machine::QUIET;
use crate::measurement::{Measurement, WorkersScaling};
use crate::plot::{Bar, BarPlot, Line, LinePlot, Point, Scale, Series};
use crate::scaling_law::{Interval, Scaling};
use crate::statistics::Summary;
use crate::timeline::Breakdown;

const MIB: f64 = 1024.0 * 1024.0;

/// The CPU that the workers of an experiment had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkersShare {
    /// Equal shares, by this means.
    Equal(String),
    /// What they got of the machine, since shares are not possible for this reason.
    None(String),
    /// What the running cluster has, which is not known.
    Running {
        /// Task slots of its executors.
        vcores: usize,
    },
}

/// The measurements of all workloads on clusters of all sizes.
#[derive(Debug, Clone)]
pub struct WorkersReport {
    measurements: Vec<Measurement>,
    share: WorkersShare,
    seed: u64,
}

/// The measurements of one workload, by number of workers.
type Sizes<'a> = BTreeMap<usize, Vec<&'a Measurement>>;

impl WorkersReport {
    /// A report of these measurements of workers with this share of the CPU.
    pub fn new(measurements: Vec<Measurement>, share: WorkersShare, seed: u64) -> Self {
        Self { measurements, share, seed }
    }

    fn is_weak(&self) -> bool {
        self.measurements.first().is_some_and(|one| one.scaling == WorkersScaling::Weak)
    }

    fn has_several_sizes(&self) -> bool {
        self.workloads().iter().any(|(_, sizes)| sizes.len() > 1)
    }

    /// Workloads in the order in which they were measured.
    fn workloads(&self) -> Vec<(&str, Sizes<'_>)> {
        self.measured_by("bergmill")
    }

    /// What plain DataFusion took for a workload, by the number of workers whose CPU it had.
    fn plain(&self, workload: &str) -> Sizes<'_> {
        self.measured_by("datafusion")
            .into_iter()
            .find(|(name, _)| *name == workload)
            .map(|(_, s)| s)
            .unwrap_or_default()
    }

    fn measured_by(&self, engine: &str) -> Vec<(&str, Sizes<'_>)> {
        let mut all: Vec<(&str, Sizes<'_>)> = Vec::new();
        for measurement in self.measurements.iter().filter(|m| m.engine == engine) {
            let name = measurement.workload.as_str();
            let index = all.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                all.push((name, Sizes::new()));
                all.len() - 1
            });
            all[index].1.entry(measurement.workers).or_default().push(measurement);
        }
        all
    }

    /// The speed-up of all workloads, or their efficiency with weak scaling, which ideally does not change.
    fn gain_plot(&self) -> LinePlot {
        let weak = self.is_weak();
        let per = |workers: usize| if weak { float(workers) } else { 1.0 };
        let mut series = Vec::new();
        let mut largest = 1;
        for (workload, sizes) in self.workloads() {
            let Some(base) = one_worker(&sizes) else { continue };
            let point = |(workers, all): (&usize, &Vec<&Measurement>)| {
                let Summary { median, min, max, .. } = wall(all)?;
                let gain = |seconds| rows(all) / seconds / base / per(*workers);
                Some(Point { x: float(*workers), y: gain(median), low: gain(max), high: gain(min) })
            };
            largest = largest.max(sizes.keys().copied().max().unwrap_or(1));
            let points = sizes.iter().filter_map(point).collect();
            series.push(Series { name: workload.to_string(), points, style: Line::Solid });
        }
        let ideal = (1..=largest).map(|n| Point::exact(float(n), float(n) / per(n))).collect();
        series.push(Series { name: "ideal".to_string(), points: ideal, style: Line::Dashed });
        let quantity = if weak { "efficiency" } else { "speed-up" };
        LinePlot {
            title: format!("{} by number of workers", capitalized(quantity)),
            x_label: "workers".to_string(),
            y_label: quantity.to_string(),
            x_scale: Scale::Log2,
            y_from_zero: true,
            series,
        }
    }

    fn gain_file(&self) -> &'static str {
        if self.is_weak() { "efficiency.svg" } else { "speed-up.svg" }
    }
}

impl ExperimentReport for WorkersReport {
    fn plots(&self) -> Vec<(String, String)> {
        let mut plots = Vec::new();
        if self.has_several_sizes() {
            plots.push((self.gain_file().to_string(), self.gain_plot().to_svg()));
        }
        for (workload, sizes) in self.workloads() {
            let times = time_plot(workload, &sizes, &self.plain(workload), self.is_weak(), self.seed);
            plots.push((format!("{workload}-time.svg"), times.to_svg()));
            plots.push((format!("{workload}-breakdown.svg"), breakdown_plot(workload, &sizes).to_svg()));
        }
        plots
    }
}

impl fmt::Display for WorkersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = self.is_weak();
        writeln!(f, "# Workers{}\n", if weak { ": weak scaling" } else { "" })?;
        let Some(one) = self.measurements.first() else { return writeln!(f, "No measurements.") };
        let machine = &one.machine;
        write!(f, "Bergmill {}, {machine}. Seed {}. ", one.version, self.seed)?;
        if weak {
            writeln!(
                f,
                "{} events for each worker, so that all sizes should take the same time: efficiency is the time of one \
                 worker by that of several.\n",
                one.input_rows / one.workers.max(1) as u64
            )?;
        } else {
            writeln!(f, "{} events.\n", one.input_rows)?;
        }
        match (&self.share, one.share_cores) {
            (WorkersShare::Equal(by), Some(share)) => writeln!(f, "Each worker may use {share} cores, by {by}.\n")?,
            (WorkersShare::None(reason), _) => writeln!(
                f,
                "**No shares**: workers compete for {} cores, and more workers than that cannot scale ({reason}).\n",
                machine.cores
            )?,
            (WorkersShare::Running { vcores }, _) => writeln!(
                f,
                "A running cluster, of {} executors with {vcores} vcores. It was measured from outside: its CPU seconds, \
                 memory and other load are not known (–), nor is there plain DataFusion with the same CPU. The machine \
                 above is that of the client.\n",
                one.workers
            )?,
            (WorkersShare::Equal(_), None) => {}
        }
        write!(
            f,
            "Times are medians of the repetitions, with the smallest and the largest. All results {} are equal. A time \
             marked `~` has a spread over 15 %, one marked `!` was measured while other processes used more than {QUIET} \
             cores.",
            if weak { "for the same tables" } else { "of a workload" }
        )?;
        if self.measurements.iter().any(|m| m.engine == "datafusion") {
            write!(f, " Plain DataFusion has the CPU of the workers in one process, and no memory limit.")?;
        }
        writeln!(f, "\n")?;
        if self.has_several_sizes() {
            writeln!(f, "![{}]({})\n", if weak { "Efficiency" } else { "Speed-up" }, self.gain_file())?;
        }
        for (workload, sizes) in self.workloads() {
            writeln!(f, "## {workload}\n")?;
            table(f, &sizes, &self.plain(workload))?;
            writeln!(f, "\nWhere the time went, in seconds:\n")?;
            breakdown_table(f, &sizes)?;
            if !weak {
                writeln!(f, "\n{}", law(&sizes, self.seed))?;
            }
            writeln!(f, "\n![Time]({workload}-time.svg)\n\n![Where it went]({workload}-breakdown.svg)\n")?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, sizes: &Sizes<'_>, plain: &Sizes<'_>) -> fmt::Result {
    let base = one_worker(sizes);
    // CPU seconds for each row, which more workers should not change.
    let cpu_of_row = |m: &&Measurement| m.cpu_seconds().unwrap_or(f64::NAN) / m.input_rows as f64;
    let base_cpu = sizes.values().next().and_then(|all| median(all, cpu_of_row));
    writeln!(
        f,
        "| workers | events | time, s | events/s | speed-up | efficiency | CPU, s | CPU growth | scanned, MiB | \
         shuffled, MiB | spilled, MiB | memory of a worker, MiB | slowest ÷ median task | plain DataFusion, s |"
    )?;
    writeln!(f, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for (workers, all) in sizes {
        let Some(time) = wall(all) else { continue };
        let rate = rows(all) / time.median;
        let marks = time.marks(all.iter().any(|m| m.other_cores.is_some_and(|cores| cores > QUIET)));
        let speed_up = base.map(|base| rate / base);
        let mib = |of: fn(&Measurement) -> u64| median(all, |m| of(m) as f64 / MIB).unwrap_or_default();
        let memory = |m: &&Measurement| m.peak_rss.iter().skip(1).max().map_or(f64::NAN, |bytes| *bytes as f64 / MIB);
        let shown = |value: Option<f64>, digits: usize| value.map_or("–".to_string(), |v| format!("{v:.digits$}"));
        writeln!(
            f,
            "| {workers} | {} | {:.2} ({:.2}–{:.2}){marks} | {rate:.0} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {} | {} | {} |",
            rows(all),
            time.median,
            time.min,
            time.max,
            shown(speed_up, 2),
            shown(speed_up.map(|s| s / float(*workers)), 2),
            shown(median(all, |m| m.cpu_seconds().unwrap_or(f64::NAN)), 2),
            shown(base_cpu.and_then(|base| Some(median(all, cpu_of_row)? / base)), 2),
            mib(|m| m.scanned_bytes),
            mib(|m| m.shuffle_write_bytes),
            mib(|m| m.spilled_bytes),
            shown(median(all, memory), 0),
            shown(median(all, |m| m.skew.unwrap_or(f64::NAN)), 2),
            shown(plain.get(workers).and_then(|all| wall(all)).map(|s| s.median), 2),
        )?;
    }
    Ok(())
}

fn breakdown_table(f: &mut fmt::Formatter<'_>, sizes: &Sizes<'_>) -> fmt::Result {
    writeln!(f, "| workers | {} |", Breakdown::NAMES.join(" | "))?;
    writeln!(f, "|--:|{}", "--:|".repeat(Breakdown::NAMES.len()))?;
    for (workers, all) in sizes {
        let parts = middle(all).map(|m| m.breakdown.parts()).unwrap_or_default();
        let texts: Vec<String> = parts.iter().map(|part| format!("{part:.3}")).collect();
        writeln!(f, "| {workers} | {} |", texts.join(" | "))?;
    }
    Ok(())
}

/// What the measurements say about more workers.
fn law(sizes: &Sizes<'_>, seed: u64) -> String {
    let Some(scaling) = scaling(sizes, seed) else {
        return "Universal scalability law: it takes three numbers of workers or more.".to_string();
    };
    let interval = |of: Option<Interval>| {
        of.map_or("no interval, which takes three repetitions".to_string(), |i| {
            format!("{:.4} to {:.4}", i.low, i.high)
        })
    };
    let mut text = format!(
        "Universal scalability law: contention {:.4} ({}), coherence {:.4} ({}); ",
        scaling.usl.sigma,
        interval(scaling.sigma),
        scaling.usl.kappa,
        interval(scaling.kappa)
    );
    text += if scaling.differs_from_amdahl() {
        "Amdahl's law does not fit."
    } else {
        "it cannot be told from Amdahl's law."
    };
    let twice = scaling.largest * 2;
    if let Some((low, time, high)) = scaling.predict(twice) {
        let gain = scaling.usl.speed_up(twice);
        let _ = write!(text, " With {twice} workers, {time:.2} s ({low:.2} to {high:.2}), a speed-up of {gain:.1}.");
    }
    text
}

fn time_plot(workload: &str, sizes: &Sizes<'_>, plain: &Sizes<'_>, weak: bool, seed: u64) -> LinePlot {
    let point = |(workers, all): (&usize, &Vec<&Measurement>)| {
        let Summary { median, min, max, .. } = wall(all)?;
        Some(Point { x: float(*workers), y: median, low: min, high: max })
    };
    let measured = sizes.iter().filter_map(point).collect();
    let same_cpu: Vec<Point> = plain.iter().filter_map(point).collect();
    // With a law that is fitted to them, measurements are not connected.
    let style = if weak { Line::Solid } else { Line::Dots };
    let mut series = vec![Series { name: "measured".to_string(), points: measured, style }];
    let (smallest, largest) = (sizes.first_key_value(), sizes.keys().next_back().copied().unwrap_or(1));
    if let Some((smallest, time)) = smallest.and_then(|(n, all)| Some((float(*n), wall(all)?.median)))
        && sizes.len() > 1
    {
        let ideal = |n: f64| if weak { time } else { time * smallest / n };
        let ideal = (1..=largest).map(|n| Point::exact(float(n), ideal(float(n)))).collect();
        series.push(Series { name: "ideal".to_string(), points: ideal, style: Line::Dashed });
    }
    if let Some(scaling) = scaling(sizes, seed).filter(|_| !weak) {
        let fit = (1..=scaling.largest * 2).map(|n| Point::exact(float(n), scaling.usl.time(n))).collect();
        series.push(Series { name: "scalability law".to_string(), points: fit, style: Line::Solid });
    }
    if let Some(alone) = same_cpu.first().copied() {
        series.push(Series { name: "plain DataFusion, same CPU".to_string(), points: same_cpu, style: Line::Solid });
        if !weak {
            let points = sizes.keys().map(|n| Point::exact(float(*n), alone.y)).collect();
            series.push(Series { name: "plain DataFusion, one share".to_string(), points, style: Line::Dashed });
        }
    }
    LinePlot {
        title: format!("{workload}: time by number of workers"),
        x_label: "workers".to_string(),
        y_label: "seconds".to_string(),
        x_scale: Scale::Log2,
        y_from_zero: true,
        series,
    }
}

fn breakdown_plot(workload: &str, sizes: &Sizes<'_>) -> BarPlot {
    let bar = |(workers, all): (&usize, &Vec<&Measurement>)| {
        let parts = middle(all)?.breakdown.parts().to_vec();
        Some(Bar { group: String::new(), label: workers.to_string(), parts })
    };
    BarPlot {
        title: format!("{workload}: where the time went, by number of workers"),
        y_label: "seconds".to_string(),
        y_scale: Scale::Linear,
        bars: sizes.iter().filter_map(bar).collect(),
        part_names: Breakdown::NAMES.map(ToString::to_string).to_vec(),
    }
}

fn scaling(sizes: &Sizes<'_>, seed: u64) -> Option<Scaling> {
    let times: Vec<(usize, Vec<f64>)> =
        sizes.iter().map(|(workers, all)| (*workers, all.iter().map(|m| m.wall_seconds).collect())).collect();
    Scaling::of(&times, seed)
}

/// Rows per second of one worker, from the smallest number that was measured; `None` of a single number.
fn one_worker(sizes: &Sizes<'_>) -> Option<f64> {
    let (workers, all) = sizes.iter().next().filter(|_| sizes.len() > 1)?;
    Some(rows(all) / wall(all)?.median / float(*workers))
}

/// Rows that each of these repetitions read.
fn rows(all: &[&Measurement]) -> f64 {
    all.first().map_or(0.0, |m| m.input_rows as f64)
}

fn wall(all: &[&Measurement]) -> Option<Summary> {
    Summary::of_each(all, |m| m.wall_seconds)
}

fn median(all: &[&Measurement], of: impl Fn(&&Measurement) -> f64) -> Option<f64> {
    Summary::of_each(all, of).map(|summary| summary.median)
}

/// The repetition with the median time: the parts of its time add up, which medians of parts do not.
fn middle<'a>(all: &[&'a Measurement]) -> Option<&'a Measurement> {
    let mut sorted = all.to_vec();
    sorted.sort_by(|a, b| a.wall_seconds.total_cmp(&b.wall_seconds));
    sorted.get(sorted.len() / 2).copied()
}

fn float(n: usize) -> f64 {
    n as f64
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::tests::measurement;

    const EQUAL: &str = "control groups";

    fn report() -> WorkersReport {
        let mut measurements = Vec::new();
        for repetition in 1..=3 {
            let noise = 1.0 + repetition as f64 / 100.0;
            for (workers, seconds) in [(1, 8.0), (2, 4.1), (4, 2.2), (8, 1.4)] {
                measurements.push(measurement("join", workers, repetition, seconds * noise));
            }
        }
        measurements[0].other_cores = Some(0.5);
        WorkersReport::new(measurements, WorkersShare::Equal(EQUAL.to_string()), 42)
    }

    /// The work of 8 workers is 8 times that of one.
    fn weak() -> WorkersReport {
        let mut measurements = Vec::new();
        for repetition in 1..=3 {
            for (workers, seconds) in [(1, 4.0), (8, 5.0)] {
                let one = measurement("join", workers, repetition, seconds);
                let input_rows = one.input_rows * workers as u64;
                measurements.push(Measurement { scaling: WorkersScaling::Weak, input_rows, ..one });
            }
        }
        WorkersReport::new(measurements, WorkersShare::Equal(EQUAL.to_string()), 42)
    }

    #[test]
    fn the_report_has_speed_up_efficiency_and_marks_times_that_say_little() {
        let text = report().to_string();
        assert!(text.contains("| 1 | 1000000 | 8.16 (8.08–8.24) ! |"), "{text}");
        assert!(text.contains("| 8 | 1000000 | 1.43 (1.41–1.44) |"), "{text}");
        assert!(text.contains("| 5.71 | 0.71 |"), "{text}");
        assert!(text.contains("With 16 workers"), "{text}");
        let mut noisy = report();
        noisy.measurements[0].wall_seconds = 11.0;
        assert!(noisy.to_string().contains("~ !"), "{noisy}");
        noisy.share = WorkersShare::None("not permitted".to_string());
        assert!(noisy.to_string().contains("cannot scale (not permitted)"), "{noisy}");
    }

    #[test]
    fn efficiency_of_weak_scaling_is_the_time_of_one_by_that_of_several() {
        let text = weak().to_string();
        assert!(text.contains("weak scaling") && text.contains("1000000 events for each worker"), "{text}");
        assert!(text.contains("| 8 | 8000000 | 5.00 (5.00–5.00) | 1600000 | 6.40 | 0.80 |"), "{text}");
        assert!(!text.contains("scalability law"), "{text}");
        let plots: Vec<String> = weak().plots().into_iter().map(|(name, _)| name).collect();
        assert_eq!(plots, ["efficiency.svg", "join-time.svg", "join-breakdown.svg"]);
        let LinePlot { series, .. } = time_plot("join", &weak().workloads()[0].1, &Sizes::new(), true, 1);
        assert!(series[1].points.iter().all(|ideal| (ideal.y - 4.0).abs() < 1e-9), "{:?}", series[1]);
        assert!(weak().gain_plot().series[0].points.iter().any(|p| p.x == 8.0 && (p.y - 0.8).abs() < 1e-9));
    }

    #[test]
    fn what_is_not_known_of_a_running_cluster_is_said() {
        let running = |n| Measurement {
            scheduler_cpu_seconds: None,
            executor_cpu_seconds: Vec::new(),
            peak_rss: Vec::new(),
            share_cores: None,
            ..measurement("join", 4, n, 2.0)
        };
        let report = WorkersReport::new((1..=3).map(running).collect(), WorkersShare::Running { vcores: 8 }, 42);
        let text = report.to_string();
        assert!(text.contains("4 executors with 8 vcores") && !text.contains("speed-up.svg"), "{text}");
        assert!(text.contains("| 4 | 1000000 | 2.00 (2.00–2.00) | 500000 | – | – | – | – |"), "{text}");
    }

    #[test]
    fn the_same_measurements_give_the_same_files() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        folders.iter().for_each(|folder| report().write(folder.path()).unwrap());
        for name in ["report.md", "speed-up.svg", "join-time.svg", "join-breakdown.svg"] {
            let [a, b] = [0, 1].map(|n| std::fs::read_to_string(folders[n].path().join(name)).unwrap());
            assert_eq!(a, b);
            assert!(a.len() > 500, "{name}");
        }
    }
}
