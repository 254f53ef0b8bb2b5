//! The statements of a scheduler in a file, which a restart of the process does not forget.
//!
//! A line of JSON is written when a statement begins, and another when it ends; the last line of an id counts. A
//! statement without an end was running when the process ended. The file is rewritten now and then without what
//! [`History`](super::History) would not keep. Statements do not wait for it, and run if it cannot be written.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::history::{Entry, Execution, KEPT, State};
use super::line_writer::LineWriter;
use super::sums::Sums;
use crate::error::{Error, ErrorKind};

/// Lines after which the file is rewritten.
const MAX_LINES: usize = 8 * KEPT;

/// A statement, in plain values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    id: String,
    pub user: Option<String>,
    pub statement: String,
    pub submitted: DateTime<Utc>,
    pub ended: Option<DateTime<Utc>>,
    state: String,
    /// The kind of the error, if it failed.
    kind: Option<String>,
    /// The error, or the reason for which it was cancelled.
    error: Option<String>,
    execution: Option<String>,
    pub rows: u64,
    pub files: u64,
    pub files_pruned: u64,
    pub bytes_pruned: Option<u64>,
    pub(super) sums: Sums,
}

impl Line {
    pub(super) fn of(entry: &Entry) -> Self {
        let (state, kind, error) = match &entry.state {
            State::Running => ("running", None, None),
            State::Finished => ("finished", None, None),
            State::Failed(error) => ("failed", Some(error.kind().name().to_string()), Some(error.to_string())),
            State::Cancelled(reason) => ("cancelled", None, Some(reason.clone())),
        };
        Self {
            id: entry.id.to_string(),
            user: entry.sender.user().map(ToString::to_string),
            statement: entry.statement.clone(),
            submitted: entry.submitted,
            ended: entry.ended,
            state: state.to_string(),
            kind,
            error,
            execution: entry.execution.map(|execution| execution.name().to_string()),
            rows: entry.rows,
            files: entry.files,
            files_pruned: entry.files_pruned,
            bytes_pruned: entry.bytes_pruned,
            sums: entry.sums(),
        }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id.parse().unwrap_or_default()
    }

    /// How the statement ended. One that was running has not survived the process.
    pub(super) fn state(&self) -> State {
        let error = self.error.clone().unwrap_or_default();
        match self.state.as_str() {
            "finished" => State::Finished,
            "cancelled" => State::Cancelled(error),
            "running" => {
                State::Failed(Error::new(ErrorKind::Unavailable, "the scheduler stopped while the statement ran"))
            }
            _ => {
                let kind = ErrorKind::ALL.into_iter().find(|kind| Some(kind.name()) == self.kind.as_deref());
                State::Failed(Error::new(kind.unwrap_or(ErrorKind::Internal), error))
            }
        }
    }

    pub(super) fn execution(&self) -> Option<Execution> {
        Execution::ALL.into_iter().find(|execution| Some(execution.name()) == self.execution.as_deref())
    }
}

/// The file, which a thread writes. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Journal(LineWriter<Line>);

impl Journal {
    /// Opens a file, which is created if it is missing, and returns the last statements in it, oldest first.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Line>)> {
        let earlier = read(path)?;
        let mut writer = Writer { path: path.to_path_buf(), file: rewrite(path, &earlier)?, lines: earlier.len() };
        let lines = LineWriter::start(path, move |line| writer.write(line))?;
        Ok((Self(lines), earlier))
    }

    /// Writes a line, soon.
    pub(super) fn write(&self, line: Line) {
        self.0.write(line);
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Writer {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        if self.lines >= MAX_LINES {
            let kept = read(&self.path)?;
            (self.file, self.lines) = (rewrite(&self.path, &kept)?, kept.len());
        }
        self.lines += 1;
        self.file.write_all(&encode(line)?)
    }
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// The last statements in a file, oldest first; none if there is no file. Lines that are cut off are left out.
fn read(path: &Path) -> io::Result<Vec<Line>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let (mut lines, mut at): (Vec<Line>, HashMap<String, usize>) = Default::default();
    for text in BufReader::new(file).split(b'\n') {
        let Ok(line) = serde_json::from_slice::<Line>(&text?) else { continue };
        match at.get(&line.id) {
            Some(at) => lines[*at] = line,
            None => {
                at.insert(line.id.clone(), lines.len());
                lines.push(line);
            }
        }
    }
    let surplus = lines.len().saturating_sub(KEPT);
    Ok(lines.split_off(surplus))
}

/// Replaces a file by one with these lines, and returns it, open for more. Only its owner may read it: statements have
/// values of tables.
fn rewrite(path: &Path, lines: &[Line]) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    let mut text = Vec::new();
    for line in lines {
        text.extend(encode(line)?);
    }
    file.write_all(&text)?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use bergmill_gateway::{Caller, Sender};

    use super::*;
    use crate::metrics::Metrics;
    use crate::system::{Audit, History, Outlets};

    /// Opens a history over a file.
    fn open(path: &Path) -> History {
        let (journal, earlier) = Journal::open(path).unwrap();
        let outlets = Outlets { metrics: Metrics::new().statements, journal: Some(journal), audit: Audit::default() };
        History::new(outlets, earlier)
    }

    /// Waits until a file holds this many statements in these states.
    fn until_written(path: &Path, expected: &[&str]) {
        for _ in 0..500 {
            let found = read(path).unwrap();
            if found.iter().map(|line| line.state.as_str()).eq(expected.iter().copied()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{:?}", read(path).unwrap());
    }

    #[test]
    fn statements_survive_the_process_and_those_that_ran_have_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.jsonl");
        let first = open(&path);
        let nobody = Sender::default();
        let ada = Sender { caller: Some(Caller { user: "ada".to_string(), is_admin: false }), from: None };
        first.begin("SELECT 1", &ada, None).finish(7);
        first.begin("SELECT x", &nobody, None).fail(&Error::new(ErrorKind::NotFound, "column x not found"));
        first.begin("SELECT 2", &nobody, None).fail(&Error::new(ErrorKind::Cancelled, "cancelled by ada"));
        let running = first.begin("SELECT 3", &nobody, None);
        let states = ["finished", "failed", "cancelled", "running"];
        until_written(&path, &states);
        std::mem::forget(running);

        let second = open(&path);
        let kept = second.entries();
        let stopped = Error::new(ErrorKind::Unavailable, "the scheduler stopped while the statement ran");
        let expected = [
            ("SELECT 1", State::Finished),
            ("SELECT x", State::Failed(Error::new(ErrorKind::NotFound, "column x not found"))),
            ("SELECT 2", State::Cancelled("cancelled by ada".to_string())),
            ("SELECT 3", State::Failed(stopped)),
        ];
        assert!(kept.iter().map(|entry| (entry.statement.as_str(), entry.state.clone())).eq(expected));
        assert_eq!((kept[0].rows, kept[0].sender.user()), (7, Some("ada")));
        assert_eq!(first.entries()[0].ended, kept[0].ended);
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_file_is_bounded_and_may_be_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.jsonl");
        let history = open(&path);
        for n in 0..MAX_LINES {
            history.begin(&n.to_string(), &Sender::default(), None).finish(0);
        }
        let last = (MAX_LINES - 1).to_string();
        for _ in 0..500 {
            if read(&path).unwrap().last().is_some_and(|line| line.statement == last && line.ended.is_some()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MAX_LINES + 1, "{lines}");
        let kept = read(&path).unwrap();
        assert_eq!((kept.len(), kept.last().unwrap().statement.as_str()), (KEPT, last.as_str()));

        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert_eq!(open(&path).entries().len(), KEPT);
    }
}
