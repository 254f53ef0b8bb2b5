//! An engine in a process of its own, which runs the queries that it is sent.
//!
//! The process prints a line when it is ready. Then it reads a line of JSON for each query, writes the rows to a file,
//! and prints a line of JSON. So its results can be compared with those of any other engine, and all engines do the
//! same for a query: run it, and keep its rows.

use std::fs::File;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::FileReader;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::cluster::Process;
use crate::error::{Error, Result};

/// How a line begins that is for the experiment. A library may print others.
const ANSWER: &str = "answer ";

/// A query to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The query.
    pub sql: String,
    /// The file for its rows, in the format of Arrow.
    pub result: PathBuf,
}

/// A line that the process prints.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// The tables are open.
    Ready {
        /// Version of the engine.
        version: String,
    },
    /// A query is done.
    Ran {
        /// Until the last row was there.
        seconds: f64,
    },
    /// It did not work, for this reason.
    Failed(String),
}

impl Answer {
    /// Prints it, for the process that started this one.
    pub(crate) fn print(&self) -> Result<()> {
        let line = serde_json::to_string(self).map_err(|e| Error::NoData(e.to_string()))?;
        println!("{ANSWER}{line}");
        Ok(())
    }
}

/// What a query took, and its rows.
#[derive(Debug)]
pub(crate) struct Run {
    pub seconds: f64,
    pub rows: Vec<RecordBatch>,
}

/// A process with an engine.
#[derive(Debug)]
pub(crate) struct Engine {
    pub process: Process,
    pub version: String,
    results: TempDir,
}

impl Engine {
    /// The engine in this process, once it is ready.
    ///
    /// # Errors
    /// If it does not become ready.
    pub(crate) fn start(process: Process) -> Result<Self> {
        let results =
            tempfile::tempdir().map_err(|source| Error::Io { what: "a folder for results".into(), source })?;
        let mut engine = Self { process, version: String::new(), results };
        match engine.answer()? {
            Answer::Ready { version } => engine.version = version,
            Answer::Failed(reason) => return Err(Error::Engine(reason)),
            other @ Answer::Ran { .. } => return Err(unexpected(&other)),
        }
        Ok(engine)
    }

    /// Runs a query.
    ///
    /// # Errors
    /// If the engine refuses the query, or has ended. One that does not answer is ended.
    pub(crate) fn run(&mut self, sql: &str) -> Result<Run> {
        let result = self.results.path().join("rows.arrow");
        let request = Request { sql: sql.to_string(), result: result.clone() };
        let line = serde_json::to_string(&request).map_err(|e| Error::Engine(e.to_string()))?;
        self.process.send(&line)?;
        // An answer that comes too late would be taken for that of the next query.
        match self.answer().inspect_err(|_| self.process.kill())? {
            Answer::Ran { seconds } => {
                let file = File::open(&result);
                let file = file.map_err(|source| Error::Io { what: result.display().to_string(), source })?;
                let rows = FileReader::try_new(file, None).and_then(Iterator::collect::<Result<Vec<_>, ArrowError>>);
                Ok(Run { seconds, rows: rows.map_err(|e| Error::Engine(format!("its rows: {e}")))? })
            }
            Answer::Failed(reason) => Err(Error::Engine(reason)),
            other @ Answer::Ready { .. } => Err(unexpected(&other)),
        }
    }

    fn answer(&self) -> Result<Answer> {
        let line = self.process.announced(ANSWER)?;
        serde_json::from_str(&line).map_err(|e| Error::Engine(format!("{line}: {e}")))
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::Engine(format!("unexpected: {answer:?}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// An engine that is a shell script.
    fn engine(script: &str) -> Result<Engine> {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-c", script].map(ToString::to_string);
        Engine::start(Process::start(Path::new("sh"), &arguments, None, None, &folder.path().join("log")).unwrap())
    }

    fn error(done: Result<impl std::fmt::Debug>) -> String {
        done.unwrap_err().to_string()
    }

    #[test]
    fn an_engine_says_when_it_is_ready_and_why_a_query_failed() {
        let mut engine = engine(
            r#"echo noise; echo 'answer {"ready":{"version":"7"}}'; read q; echo 'answer {"failed":"no table"}'"#,
        )
        .unwrap();
        assert_eq!(engine.version, "7");
        assert_eq!(error(engine.run("SELECT 1")), "no table");
        // It has ended.
        assert!(engine.run("SELECT 1").is_err());
    }

    #[test]
    fn an_engine_that_does_not_become_ready_says_why() {
        assert_eq!(error(engine(r#"echo 'answer {"failed":"not installed"}'"#)), "not installed");
        assert!(error(engine("echo answer 1")).contains('1'));
        assert!(error(engine("exit 3")).contains("log"));
    }
}
