//! The crate's error, by what its reader can do: name another pipeline, mend a definition, give another date or
//! parameter, free a disk. A step that fails while running is not one of these: it is told in the
//! [`RunRecord`](crate::RunRecord), beside the steps that went well.

use std::fmt;
use std::path::PathBuf;

use crate::query::QueryError;

/// Why a pipeline could not be loaded, started or asked about.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No pipeline of that name is shipped or in the folder asked.
    #[error("there is no pipeline {name:?}; known are {}", known.join(", "))]
    UnknownPipeline {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The definition has mistakes, all of which are listed.
    #[error("pipeline {pipeline:?} cannot be loaded:\n{mistakes}")]
    Definition {
        /// The pipeline's folder or name.
        pipeline: String,
        /// Every mistake that was found.
        mistakes: Mistakes,
    },
    /// The text is not a date that a run could have.
    #[error("{text:?} is not a date: write it as 2026-02-14")]
    BadDate {
        /// The text given.
        text: String,
    },
    /// A parameter given for the run is not one of the pipeline's, or of another type.
    #[error("parameter {name}: {reason}")]
    Parameter {
        /// The parameter's name, with dots between levels.
        name: String,
        /// What is wrong about it.
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
    /// The cluster did not answer a query that is no step's.
    #[error("table {table}: {source}")]
    Query {
        /// The table asked about.
        table: String,
        /// The cluster's answer.
        source: QueryError,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// One thing wrong in a pipeline's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as the pipeline names it.
    pub file: String,
    /// The line in it, from 1, where one is known.
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

/// All mistakes of one definition, one a line when printed.
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
