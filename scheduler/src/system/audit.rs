//! The audit record: who did what, from where, to which tables, and how it ended.
//!
//! An event is recorded when a statement ends, when a login opens a session or is refused, and when a statement is
//! cancelled by its id. It is a line of JSON in a file, and the last events are also in memory, for `system.audit`. No
//! event has a password. The file is bounded: it is rotated, and refused logins beyond a number a minute are only
//! counted, so that a guesser cannot push older events out of it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bergmill_gateway::Sender;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::history::{Entry, State};
use super::line_writer::LineWriter;
use crate::error::{Error, ErrorKind};

/// Number of events in memory.
const KEPT: usize = 5000;
/// Size at which the file is rotated.
const FILE_BYTES: u64 = 16 << 20;
/// Number of rotated files. Older ones are removed.
const ROTATED: usize = 8;
/// Bytes of a statement, or of an error, that are recorded.
const TEXT_BYTES: usize = 8 << 10;
/// Refused logins that are recorded in a minute.
const REFUSALS: u64 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Login,
    Statement,
    /// A statement was to be cancelled by its id.
    Cancel,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Statement => "statement",
            Self::Cancel => "cancel",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Finished,
    /// The user is unknown, or may not do that.
    Refused,
    Failed,
    Cancelled,
}

impl Outcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Forbidden | ErrorKind::Unauthenticated => Self::Refused,
            ErrorKind::Cancelled => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// One event, as it is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When it ended.
    pub time: DateTime<Utc>,
    pub action: Action,
    /// Who it was, or claimed to be; `None` where nobody has to log in, and if a token was not known.
    pub user: Option<String>,
    /// The address of the client, if it is known.
    pub address: Option<IpAddr>,
    pub query_id: Option<String>,
    /// Without passwords.
    pub statement: Option<String>,
    /// The tables and views that the statement named, and those below views, apart from those that it changes.
    pub tables_read: Vec<String>,
    /// The tables and views that the statement changes.
    pub tables_changed: Vec<String>,
    pub outcome: Outcome,
    /// Rows returned, or changed.
    pub rows: Option<u64>,
    pub error: Option<String>,
}

impl Event {
    fn new(action: Action, sender: &Sender, ended: Result<(), &Error>) -> Self {
        Self {
            time: Utc::now(),
            action,
            user: sender.user().map(cut),
            address: sender.from,
            query_id: None,
            statement: None,
            tables_read: Vec::new(),
            tables_changed: Vec::new(),
            outcome: ended.map_or_else(Outcome::of, |()| Outcome::Finished),
            rows: None,
            error: ended.err().map(|e| cut(&e.to_string())),
        }
    }

    /// The end of a statement; `None` if it runs.
    fn of_entry(entry: &Entry) -> Option<Self> {
        let (outcome, error) = match &entry.state {
            State::Running => return None,
            State::Finished => (Outcome::Finished, None),
            State::Failed(error) => (Outcome::of(error), Some(error.to_string())),
            State::Cancelled(reason) => (Outcome::Cancelled, Some(reason.clone())),
        };
        Some(Self {
            time: entry.ended.unwrap_or_default(),
            query_id: Some(entry.id.to_string()),
            statement: Some(cut(&entry.statement)),
            tables_read: entry.tables_read.clone(),
            tables_changed: entry.tables_changed.clone(),
            outcome,
            rows: (outcome == Outcome::Finished).then_some(entry.rows),
            error: error.map(|error| cut(&error)),
            ..Self::new(Action::Statement, &entry.sender, Ok(()))
        })
    }
}

/// A text that an event can hold.
fn cut(text: &str) -> String {
    match text.len() <= TEXT_BYTES {
        true => text.to_string(),
        false => format!("{} ... ({} bytes)", &text[..text.floor_char_boundary(TEXT_BYTES)], text.len()),
    }
}

/// Records events. Clones share the file and the memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    file: Option<LineWriter<Event>>,
    /// Oldest first.
    kept: Mutex<VecDeque<Event>>,
    refusals: Mutex<Refusals>,
}

/// Refused logins of a minute.
#[derive(Debug, Default)]
struct Refusals {
    since: Option<Instant>,
    count: u64,
}

impl Audit {
    /// Appends to a file, which is created if it is missing; its last events are those of before.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut kept = VecDeque::new();
        for path in [rotated(path, 1), path.to_path_buf()] {
            kept.extend(read(&path)?);
        }
        kept.drain(..kept.len().saturating_sub(KEPT));
        Self::over(AuditFile::open(path)?, kept)
    }

    fn over(mut file: AuditFile, kept: VecDeque<Event>) -> io::Result<Self> {
        let file = LineWriter::start(&file.path.clone(), move |event| file.append(event, FILE_BYTES))?;
        Ok(Self(Arc::new(Shared { file: Some(file), kept: Mutex::new(kept), refusals: Mutex::default() })))
    }

    /// Records a login that opened a session.
    pub(crate) fn logged_in(&self, sender: &Sender) {
        self.record(Event::new(Action::Login, sender, Ok(())));
    }

    /// Records a login that was refused. `user` is who it claimed to be.
    pub(crate) fn login_refused(&self, user: Option<&str>, address: Option<IpAddr>, error: &Error, now: Instant) {
        let mut refusals = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.since.is_none_or(|since| now.saturating_duration_since(since) >= MINUTE) {
            let before = std::mem::replace(&mut *refusals, Refusals { since: Some(now), count: 0 });
            if let Some(others) = before.count.checked_sub(REFUSALS).filter(|others| *others > 0) {
                let what = format!("{others} more logins were refused in a minute");
                let error = Error::new(ErrorKind::Unauthenticated, what);
                self.record(Event::new(Action::Login, &Sender::default(), Err(&error)));
            }
        }
        refusals.count += 1;
        if refusals.count <= REFUSALS {
            let new = Event::new(Action::Login, &Sender { caller: None, from: address }, Err(error));
            self.record(Event { user: user.map(cut), ..new });
        }
    }

    /// Records a statement that has ended.
    pub(super) fn ended(&self, entry: &Entry) {
        if let Some(event) = Event::of_entry(entry) {
            self.record(event);
        }
    }

    /// Records that a statement was to be cancelled.
    pub(crate) fn cancelled(&self, id: &str, sender: &Sender, done: &Result<(), Error>) {
        let done = done.as_ref().map_or_else(Err, |()| Ok(()));
        let id = id.parse::<Uuid>().ok().map(|id| id.to_string());
        self.record(Event { query_id: id, ..Event::new(Action::Cancel, sender, done) });
    }

    /// The last events, oldest first.
    pub(super) fn events(&self) -> Vec<Event> {
        self.kept().iter().cloned().collect()
    }

    /// How many events are missing in the file.
    pub(crate) fn lost(&self) -> u64 {
        self.0.file.as_ref().map_or(0, LineWriter::lost)
    }

    fn record(&self, event: Event) {
        if let Some(file) = &self.0.file {
            file.write(event.clone());
        }
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event);
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events in a file, oldest first; none if there is no file. Lines that are cut off are left out.
fn read(path: &Path) -> io::Result<Vec<Event>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The name of a rotated file. The one with the lowest number has the last events.
fn rotated(path: &Path, n: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{n}"));
    name.into()
}

/// The file. Other programs may rotate it as well: when it was renamed or removed, the next event starts a new one.
#[derive(Debug)]
struct AuditFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Whether the last line may be cut off.
    is_cut_off: bool,
}

impl AuditFile {
    fn open(path: &Path) -> io::Result<Self> {
        // Statements may hold values that are not for every user of the machine.
        let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
        let (bytes, mut last) = (file.metadata()?.len(), [b'\n']);
        if let Some(at) = bytes.checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        Ok(Self { path: path.to_path_buf(), file, bytes, is_cut_off: last != [b'\n'] })
    }

    fn append(&mut self, event: &Event, max_bytes: u64) -> io::Result<()> {
        if !self.is_there() {
            *self = Self::open(&self.path)?;
        }
        if self.bytes >= max_bytes {
            self.rotate()?;
        }
        let mut line = if self.is_cut_off { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, event)?;
        line.push(b'\n');
        self.is_cut_off = true;
        self.file.write_all(&line)?;
        self.is_cut_off = false;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn is_there(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(open)) => identity(there) == identity(open),
            _ => false,
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for n in (1..ROTATED).rev() {
            match fs::rename(rotated(&self.path, n), rotated(&self.path, n + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        fs::rename(&self.path, rotated(&self.path, 1))?;
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bergmill_gateway::Caller;

    use super::*;

    fn sender(user: &str) -> Sender {
        let caller = Some(Caller { user: user.to_string(), is_admin: false });
        Sender { caller, from: "192.0.2.7".parse().ok() }
    }

    fn event(statement: &str) -> Event {
        Event {
            time: DateTime::from_timestamp_nanos(1_771_000_000_000_000_000),
            query_id: Some("019c5a2e".to_string()),
            statement: Some(statement.to_string()),
            tables_read: vec!["raw.events".to_string()],
            rows: Some(7),
            ..Event::new(Action::Statement, &sender("ada"), Ok(()))
        }
    }

    fn path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("audit.jsonl")
    }

    #[test]
    fn events_are_lines_of_json_that_only_the_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        AuditFile::open(&path(&folder)).unwrap().append(&event("SELECT\n1"), FILE_BYTES).unwrap();
        let text = fs::read_to_string(path(&folder)).unwrap();
        let expected = "{\"time\":\"2026-02-13T16:26:40Z\",\"action\":\"statement\",\"user\":\"ada\",\
                        \"address\":\"192.0.2.7\",\"query_id\":\"019c5a2e\",\"statement\":\"SELECT\\n1\",\
                        \"tables_read\":[\"raw.events\"],\"tables_changed\":[],\"outcome\":\"finished\",\"rows\":7,\
                        \"error\":null}\n";
        assert_eq!(text, expected);
        assert_eq!(fs::metadata(path(&folder)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn events_survive_the_process_and_a_line_that_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let mut file = AuditFile::open(&path).unwrap();
        file.append(&event("SELECT 1"), FILE_BYTES).unwrap();
        file.append(&event("SELECT 2"), FILE_BYTES).unwrap();
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();

        let audit = Audit::open(&path).unwrap();
        assert_eq!(audit.events(), [event("SELECT 1")]);
        audit.record(event("SELECT 3"));
        let expected = [event("SELECT 1"), event("SELECT 3")];
        assert_eq!(audit.events(), expected);
        for _ in 0..500 {
            if read(&path).unwrap() == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?}", read(&path).unwrap());
    }

    #[test]
    fn the_file_is_rotated_and_may_be_rotated_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let mut file = AuditFile::open(&path).unwrap();
        for n in 0..=ROTATED + 2 {
            file.append(&event(&n.to_string()), 1).unwrap();
        }
        let statements = |path: &Path| -> Vec<String> {
            read(path).unwrap().into_iter().filter_map(|event| event.statement).collect()
        };
        assert_eq!(statements(&path), [(ROTATED + 2).to_string()]);
        assert_eq!(statements(&rotated(&path, ROTATED)), ["2"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), ROTATED + 1);

        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        file.append(&event("x"), FILE_BYTES).unwrap();
        file.append(&event("y"), FILE_BYTES).unwrap();
        assert_eq!(statements(&path), ["x", "y"]);
    }

    #[test]
    fn a_full_disk_is_counted_and_stops_nothing() {
        let full = AuditFile::open(Path::new("/dev/full")).unwrap();
        let audit = Audit::over(full, VecDeque::new()).unwrap();
        audit.record(event("SELECT 1"));
        audit.record(event("SELECT 2"));
        for _ in 0..500 {
            if audit.lost() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!((audit.lost(), audit.events().len()), (2, 2));
    }

    #[test]
    fn guessed_passwords_do_not_push_events_out() {
        let (audit, now) = (Audit::default(), Instant::now());
        let wrong = Error::new(ErrorKind::Unauthenticated, "the user or the password is wrong");
        for _ in 0..REFUSALS + 40 {
            audit.login_refused(Some("ada"), None, &wrong, now);
        }
        assert_eq!(audit.events().len() as u64, REFUSALS);
        audit.login_refused(Some("eve"), None, &wrong, now + MINUTE);
        let events = audit.events();
        let [count, last] = events.last_chunk().unwrap();
        assert_eq!(count.error.as_deref(), Some("40 more logins were refused in a minute"));
        assert_eq!((last.user.as_deref(), last.outcome), (Some("eve"), Outcome::Refused));
    }

    #[test]
    fn memory_is_bounded() {
        let audit = Audit::default();
        (0..=KEPT).for_each(|n| audit.record(event(&n.to_string())));
        assert_eq!((audit.events().len(), audit.events()[0].clone()), (KEPT, event("1")));
        let long = cut(&"é".repeat(TEXT_BYTES));
        assert!(long.len() < TEXT_BYTES + 30 && long.ends_with("é ... (16384 bytes)"), "{}", &long[TEXT_BYTES - 9..]);
    }
}
