//! What all experiments have in common: how they report their progress and their results.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// Receives the progress of an experiment.
pub trait ExperimentProgress {
    /// Called when something takes time, with what it is.
    fn step(&self, what: &str);
    /// Called after each timed repetition, which displays as a line.
    fn measured(&self, measurement: &dyn fmt::Display);
}

/// The report of an experiment, which displays as Markdown.
pub trait ExperimentReport: fmt::Display {
    /// The plots to which it refers: names of SVG files, and their content.
    fn plots(&self) -> Vec<(String, String)>;

    /// Writes `report.md` and the plots into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn write(&self, folder: &Path) -> Result<()> {
        for (name, text) in std::iter::once(("report.md".to_string(), self.to_string())).chain(self.plots()) {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| Error::Io { what: path.display().to_string(), source })?;
        }
        Ok(())
    }
}
