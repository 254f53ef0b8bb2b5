//! The crate's error, by what the user can do: name another pipeline, fix a definition, give another date or
//! parameter, free disk space. A step that fails while running is not an error of this kind: the
//! [`RunRecord`](crate::RunRecord) reports it beside the steps that succeeded.

use std::fmt;
use std::path::PathBuf;

use crate::query::QueryError;

/// Why a pipeline could not be loaded or started, or its status not be read.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No pipeline of that name is shipped or in the given folder.
    #[error("there is no pipeline {name:?}; known pipelines: {}", known.join(", "))]
    UnknownPipeline {
        /// The requested name.
        name: String,
        /// The existing names.
        known: Vec<String>,
    },
    /// The pipeline has no step of that name.
    #[error("pipeline {pipeline} has no step {name:?}; its steps are {}", known.join(", "))]
    UnknownStep {
        /// The pipeline.
        pipeline: String,
        /// The requested name.
        name: String,
        /// The existing names.
        known: Vec<String>,
    },
    /// The definition has mistakes, all of which are listed.
    #[error("pipeline {pipeline:?} cannot be loaded:\n{mistakes}")]
    Definition {
        /// The pipeline's folder or name.
        pipeline: String,
        /// All mistakes found.
        mistakes: Mistakes,
    },
    /// The text is not a valid date for a run.
    #[error("{text:?} is not a date: write it as 2026-02-14")]
    BadDate {
        /// The text given.
        text: String,
    },
    /// A parameter given for the run is unknown to the pipeline, or of another type.
    #[error("parameter {name}: {reason}")]
    Parameter {
        /// The parameter's name, with dots between levels.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A template cannot be filled with the run's date and parameters.
    #[error("pipeline {pipeline}: {mistake}")]
    Template {
        /// The pipeline's name.
        pipeline: String,
        /// Where and why.
        mistake: Mistake,
    },
    /// The cluster did not answer a query that does not belong to a step.
    #[error("table {table}: {source}")]
    Query {
        /// The queried table.
        table: String,
        /// The error from the cluster.
        source: QueryError,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error from the operating system.
        source: std::io::Error,
    },
}

/// One thing wrong in a pipeline's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as the pipeline names it.
    pub file: String,
    /// The line in it, from 1, if known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// All mistakes of one definition, printed one per line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}  {mistake}")?;
        }
        Ok(())
    }
}
