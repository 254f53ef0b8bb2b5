//! The events of a running pipeline, for displaying its progress.

use std::path::PathBuf;
use std::time::Duration;

use crate::runner::StepRun;
use crate::table_name::TableName;

/// Something that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run starts; the steps are in the order of the definition.
    RunStarted {
        /// The pipeline's name.
        pipeline: String,
        /// The run's id, as in the snapshots it makes.
        run_id: String,
        /// Names of all steps.
        steps: Vec<String>,
    },
    /// A step starts.
    StepStarted {
        /// The step.
        step: String,
    },
    /// A table's partition has been replaced.
    OutputWritten {
        /// The step.
        step: String,
        /// The table.
        table: TableName,
        /// Rows in the new partition.
        rows: u64,
        /// Time from sending the statement to its commit.
        duration: Duration,
    },
    /// An export or a report is on disk.
    FileWritten {
        /// The step.
        step: String,
        /// The file.
        path: PathBuf,
    },
    /// A step is done, failed or skipped.
    StepFinished(StepRun),
}

/// Receives a run's events. It is called from the run itself, so it should not block.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}

impl<F: Fn(Event) + Send + Sync> Progress for F {
    fn event(&self, event: Event) {
        self(event);
    }
}
