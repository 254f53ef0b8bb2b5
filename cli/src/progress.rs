//! Progress on standard error: bars on a terminal, otherwise a line for each finished item.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bergmill_jobs::{Event, Progress, StepState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shows the progress of long work.
pub struct Display {
    bars: Option<MultiProgress>,
    steps: Mutex<HashMap<String, ProgressBar>>,
}

impl Display {
    /// On standard error, drawn when that is a terminal.
    pub fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, steps: Mutex::default() }
    }

    /// Starts a task of `total` items, or 0 if unknown.
    pub fn begin(&self, what: &str, total: u64) -> Task {
        let bar = match &self.bars {
            Some(all) => all.add(bar(what, total)),
            None => ProgressBar::hidden(),
        };
        Task { what: what.to_string(), bar, started: Instant::now(), plain: self.bars.is_none() }
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let (bar, template) = match total {
        0 => (ProgressBar::new_spinner(), "{spinner} {prefix:32} {msg} {elapsed}"),
        n => (ProgressBar::new(n), "{spinner} {prefix:32} [{bar:30}] {human_pos}/{human_len} {msg}"),
    };
    // The template is a valid constant; the default is good enough otherwise.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(what.to_string());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A running task.
pub struct Task {
    what: String,
    bar: ProgressBar,
    started: Instant,
    plain: bool,
}

impl Task {
    /// The counter, for the stream that does the work.
    pub fn counter(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Finishes the task and shows its outcome.
    pub fn done(self, outcome: &str) {
        let line = format!("{:32} {outcome} in {}", self.what, seconds(self.started.elapsed()));
        if self.plain {
            eprintln!("{line}");
        } else {
            self.bar
                .set_style(ProgressStyle::with_template("  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar.finish_with_message(line);
        }
    }
}

/// A duration in seconds, for display.
pub fn seconds(d: Duration) -> String {
    format!("{:.1} s", d.as_secs_f64())
}

impl Progress for Display {
    fn event(&self, event: Event) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::RunStarted { .. } => {}
            Event::StepStarted { step } => {
                if let Some(all) = &self.bars {
                    steps.insert(step.clone(), all.add(bar(&step, 0)));
                }
            }
            Event::OutputWritten { step, table, .. } => {
                if let Some(bar) = steps.get(&step) {
                    bar.set_message(table.to_string());
                }
            }
            Event::FileWritten { .. } => {}
            Event::StepFinished(run) => {
                let took = seconds(run.duration);
                let line = match (run.state, &run.error) {
                    (StepState::Done, _) if run.outputs.is_empty() => {
                        format!("{:32} {} files in {took}", run.name, run.files.len())
                    }
                    (StepState::Done, _) => {
                        format!("{:32} {} rows in {} tables in {took}", run.name, run.rows(), run.outputs.len())
                    }
                    (StepState::Skipped, why) => format!("{:32} skipped: {}", run.name, why.as_deref().unwrap_or("")),
                    (_, why) => format!("{:32} FAILED in {took}: {}", run.name, why.as_deref().unwrap_or("")),
                };
                match steps.remove(&run.name) {
                    Some(bar) => {
                        let style = ProgressStyle::with_template("  {msg}");
                        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                        bar.finish_with_message(line);
                    }
                    None => eprintln!("{line}"),
                }
            }
        }
    }
}
