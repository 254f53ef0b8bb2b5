//! Two runs of an experiment, side by side.

use std::collections::BTreeMap;
use std::fmt;

use crate::measurement::Measurement;
use crate::statistics::{Comparison, Summary, Verdict, compare};

/// Two runs of the same workloads.
#[derive(Debug)]
pub struct RunsCompared(Vec<Line>);

#[derive(Debug)]
struct Line {
    workload: String,
    workers: usize,
    /// Wall times before and after, if there are any.
    times: [Option<Summary>; 2],
    comparison: Option<Comparison>,
}

impl RunsCompared {
    /// Compares the wall times of two runs, for each workload and number of workers.
    pub fn new(before: &[Measurement], after: &[Measurement]) -> Self {
        let mut times: BTreeMap<(String, usize), [Vec<f64>; 2]> = BTreeMap::new();
        for (n, run) in [before, after].into_iter().enumerate() {
            for m in run.iter().filter(|m| m.engine == "bergmill") {
                times.entry((m.workload.clone(), m.workers)).or_default()[n].push(m.wall_seconds);
            }
        }
        let compared = times.into_iter().map(|((workload, workers), [before, after])| {
            let both = !before.is_empty() && !after.is_empty();
            let times = [Summary::of(&before), Summary::of(&after)];
            Line { workload, workers, times, comparison: both.then(|| compare(&before, &after)) }
        });
        Self(compared.collect())
    }
}

/// Formats the comparison as Markdown.
impl fmt::Display for RunsCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| workload | workers | before, s | after, s | ratio | verdict | p |")?;
        writeln!(f, "|---|--:|--:|--:|--:|---|--:|")?;
        for Line { workload, workers, times: [before, after], comparison } in &self.0 {
            let time = |s: &Option<Summary>| {
                s.map_or("–".to_string(), |s| format!("{:.2} ({:.2}–{:.2})", s.median, s.min, s.max))
            };
            write!(f, "| {workload} | {workers} | {} | {} ", time(before), time(after))?;
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
    use crate::measurement::tests::measurement;

    #[test]
    fn runs_are_compared_by_workload_and_size() {
        let run = |seconds: f64, workload: &str| -> Vec<Measurement> {
            let noise = |n: usize| seconds * (1.0 + n as f64 / 1000.0);
            (1..=5).map(|n| measurement(workload, 2, n, noise(n))).collect()
        };
        let text = RunsCompared::new(&run(2.0, "join"), &run(1.0, "join")).to_string();
        assert!(text.contains("| join | 2 | 2.01 (2.00–2.01) | 1.00 (1.00–1.00) | 0.50 | better |"), "{text}");
        let text = RunsCompared::new(&run(1.0, "join"), &run(1.1, "join")).to_string();
        assert!(text.contains("| 1.10 | worse |"), "{text}");
        let text = RunsCompared::new(&run(1.0, "join"), &run(1.0, "join")).to_string();
        assert!(text.contains("| 1.00 | cannot tell |"), "{text}");
        let text = RunsCompared::new(&run(1.0, "join"), &run(1.0, "window")).to_string();
        assert!(text.contains("| window | 2 | – | 1.00") && text.contains("only in one run"), "{text}");
    }
}
