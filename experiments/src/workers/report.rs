//! The report of the experiment: tables in Markdown, and plots.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::machine::QUIET;
use crate::measurement::Measurement;
use crate::plot::{Bar, BarPlot, Line, LinePlot, Point, Scale, Series};
use crate::scaling_law::{Interval, Scaling};
use crate::statistics::Summary;
use crate::timeline::Breakdown;

const MIB: f64 = 1024.0 * 1024.0;

/// The measurements of all workloads on clusters of all sizes.
#[derive(Debug, Clone)]
pub struct WorkersReport {
    measurements: Vec<Measurement>,
    /// What gives executors equal shares, or why nothing does.
    quotas: std::result::Result<String, String>,
    seed: u64,
}

/// The measurements of one workload, by number of workers.
type Sizes<'a> = BTreeMap<usize, Vec<&'a Measurement>>;

impl WorkersReport {
    /// A report of these measurements, in which `quotas` gave executors their shares, or did not for this reason.
    pub fn new(measurements: Vec<Measurement>, quotas: std::result::Result<String, String>, seed: u64) -> Self {
        Self { measurements, quotas, seed }
    }

    /// Writes `report.md` and the plots into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| Error::Io { what: path.display().to_string(), source })
        };
        write("report.md", self.to_string())?;
        for (workload, sizes) in self.workloads() {
            write(
                &format!("{workload}-time.svg"),
                time_plot(workload, &sizes, &self.plain(workload), self.seed).to_svg(),
            )?;
            write(&format!("{workload}-breakdown.svg"), breakdown_plot(workload, &sizes).to_svg())?;
        }
        write("speed-up.svg", self.speed_up_plot().to_svg())
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

    fn speed_up_plot(&self) -> LinePlot {
        let mut series = Vec::new();
        let mut largest = 1;
        for (workload, sizes) in self.workloads() {
            let Some(base) = one_worker(&sizes) else { continue };
            let point = |(workers, all): (&usize, &Vec<&Measurement>)| {
                let Summary { median, min, max, .. } = wall(all)?;
                Some(Point { x: float(*workers), y: base / median, low: base / max, high: base / min })
            };
            largest = largest.max(sizes.keys().copied().max().unwrap_or(1));
            let points = sizes.iter().filter_map(point).collect();
            series.push(Series { name: workload.to_string(), points, style: Line::Solid });
        }
        let ideal = (1..=largest).map(|n| Point::exact(float(n), float(n))).collect();
        series.push(Series { name: "ideal".to_string(), points: ideal, style: Line::Dashed });
        LinePlot {
            title: "Speed-up by number of workers".to_string(),
            x_label: "workers".to_string(),
            y_label: "speed-up".to_string(),
            x_scale: Scale::Log2,
            y_from_zero: true,
            series,
        }
    }
}

impl fmt::Display for WorkersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Workers\n")?;
        let Some(one) = self.measurements.first() else { return writeln!(f, "No measurements.") };
        let machine = &one.machine;
        writeln!(f, "Bergmill {}, {machine}. Seed {}. {} events.\n", one.version, self.seed, one.input_rows)?;
        match (&self.quotas, one.share_cores) {
            (Ok(by), Some(share)) => writeln!(f, "Each worker may use {share} cores, by {by}.\n")?,
            (Err(reason), _) => writeln!(
                f,
                "**No shares**: workers compete for {} cores, and more workers than that cannot scale ({reason}).\n",
                machine.cores
            )?,
            (Ok(_), None) => {}
        }
        writeln!(
            f,
            "Times are medians of the repetitions, with the smallest and the largest. All results are equal. Plain \
             DataFusion has the CPU of the workers in one process, and no memory limit. A time marked `~` has a spread \
             over 15 %, one marked `!` was measured while other processes used more than {QUIET} cores.\n\n\
             ![Speed-up](speed-up.svg)\n"
        )?;
        for (workload, sizes) in self.workloads() {
            writeln!(f, "## {workload}\n")?;
            table(f, &sizes, &self.plain(workload))?;
            writeln!(f, "\nWhere the time went, in seconds:\n")?;
            breakdown_table(f, &sizes)?;
            writeln!(f, "\n{}\n", law(&sizes, self.seed))?;
            writeln!(f, "![Time]({workload}-time.svg)\n\n![Where it went]({workload}-breakdown.svg)\n")?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, sizes: &Sizes<'_>, plain: &Sizes<'_>) -> fmt::Result {
    let base = one_worker(sizes);
    let base_cpu = sizes.values().next().and_then(|all| median(all, Measurement::cpu_seconds));
    writeln!(
        f,
        "| workers | time, s | events/s | speed-up | efficiency | CPU, s | CPU growth | scanned, MiB | shuffled, MiB | \
         spilled, MiB | memory of a worker, MiB | slowest ÷ median task | plain DataFusion, s |"
    )?;
    writeln!(f, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for (workers, all) in sizes {
        let Some(time) = wall(all) else { continue };
        let marks = time.marks(all.iter().any(|m| m.other_cores.is_some_and(|cores| cores > QUIET)));
        let speed_up = base.map(|base| base / time.median);
        let cpu = median(all, Measurement::cpu_seconds).unwrap_or_default();
        let mib = |of: fn(&Measurement) -> u64| median(all, |m| of(m) as f64 / MIB).unwrap_or_default();
        let memory = |m: &Measurement| m.peak_rss.iter().skip(1).max().copied().unwrap_or_default();
        writeln!(
            f,
            "| {workers} | {:.2} ({:.2}–{:.2}){marks} | {:.0} | {} | {} | {cpu:.2} | {} | {:.1} | {:.1} | {:.1} | {:.0} | {} | {} |",
            time.median,
            time.min,
            time.max,
            median(all, |m| m.input_rows as f64).unwrap_or_default() / time.median,
            speed_up.map_or("–".to_string(), |s| format!("{s:.2}")),
            speed_up.map_or("–".to_string(), |s| format!("{:.2}", s / float(*workers))),
            base_cpu.map_or("–".to_string(), |base| format!("{:.2}", cpu / base)),
            mib(|m| m.scanned_bytes),
            mib(|m| m.shuffle_write_bytes),
            mib(|m| m.spilled_bytes),
            mib(memory),
            median(all, |m| m.skew.unwrap_or(f64::NAN)).map_or("–".to_string(), |s| format!("{s:.2}")),
            plain.get(workers).and_then(|all| wall(all)).map_or("–".to_string(), |s| format!("{:.2}", s.median)),
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

fn time_plot(workload: &str, sizes: &Sizes<'_>, plain: &Sizes<'_>, seed: u64) -> LinePlot {
    let point = |(workers, all): (&usize, &Vec<&Measurement>)| {
        let Summary { median, min, max, .. } = wall(all)?;
        Some(Point { x: float(*workers), y: median, low: min, high: max })
    };
    let measured = sizes.iter().filter_map(point).collect();
    let same_cpu: Vec<Point> = plain.iter().filter_map(point).collect();
    let mut series = vec![Series { name: "measured".to_string(), points: measured, style: Line::Dots }];
    if let Some(base) = one_worker(sizes) {
        let largest = sizes.keys().copied().max().unwrap_or(1);
        let ideal = (1..=largest).map(|n| Point::exact(float(n), base / float(n))).collect();
        series.push(Series { name: "ideal".to_string(), points: ideal, style: Line::Dashed });
    }
    if let Some(scaling) = scaling(sizes, seed) {
        let fit = (1..=scaling.largest * 2).map(|n| Point::exact(float(n), scaling.usl.time(n))).collect();
        series.push(Series { name: "scalability law".to_string(), points: fit, style: Line::Solid });
    }
    if let Some(alone) = same_cpu.first().copied() {
        let one_share = sizes.keys().map(|n| Point::exact(float(*n), alone.y)).collect();
        let (all, one) = ("plain DataFusion, same CPU", "plain DataFusion, one share");
        series.push(Series { name: all.to_string(), points: same_cpu, style: Line::Solid });
        series.push(Series { name: one.to_string(), points: one_share, style: Line::Dashed });
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

/// Seconds that one worker would take, from the smallest number that was measured.
fn one_worker(sizes: &Sizes<'_>) -> Option<f64> {
    let (workers, all) = sizes.iter().next()?;
    Some(wall(all)?.median * float(*workers))
}

fn wall(all: &[&Measurement]) -> Option<Summary> {
    Summary::of(&all.iter().map(|m| m.wall_seconds).collect::<Vec<_>>())
}

fn median(all: &[&Measurement], of: impl Fn(&Measurement) -> f64) -> Option<f64> {
    Summary::of(&all.iter().map(|m| of(m)).collect::<Vec<_>>()).map(|summary| summary.median)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::tests::measurement;

    fn report() -> WorkersReport {
        let mut measurements = Vec::new();
        for repetition in 1..=3 {
            let noise = 1.0 + repetition as f64 / 100.0;
            for (workers, seconds) in [(1, 8.0), (2, 4.1), (4, 2.2), (8, 1.4)] {
                measurements.push(measurement("join", workers, repetition, seconds * noise));
            }
        }
        measurements[0].other_cores = Some(0.5);
        WorkersReport::new(measurements, Ok("control groups".to_string()), 42)
    }

    #[test]
    fn the_report_has_speed_up_efficiency_and_marks_times_that_say_little() {
        let text = report().to_string();
        assert!(text.contains("| 1 | 8.16 (8.08–8.24) ! |"), "{text}");
        assert!(text.contains("| 8 | 1.43 (1.41–1.44) |"), "{text}");
        assert!(text.contains("| 5.71 | 0.71 |"), "{text}");
        assert!(text.contains("With 16 workers"), "{text}");
        let mut noisy = report();
        noisy.measurements[0].wall_seconds = 11.0;
        assert!(noisy.to_string().contains("~ !"), "{noisy}");
        noisy.quotas = Err("not permitted".to_string());
        assert!(noisy.to_string().contains("cannot scale (not permitted)"), "{noisy}");
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
