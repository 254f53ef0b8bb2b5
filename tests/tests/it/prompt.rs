//! The prompt as a person uses it, on a terminal created by `script`.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::process::{binary, run, serve};

struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: mpsc::Receiver<Vec<u8>>,
}

impl Terminal {
    /// `None` if there is no `script`.
    fn open(command: &str) -> Option<Self> {
        let mut child = Command::new("script")
            .args(["-qefc", command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (keys, mut out) = (child.stdin.take()?, child.stdout.take()?);
        let (sender, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut bytes) {
                if sender.send(bytes[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Some(Self { child, keys, shown })
    }

    /// Waits until `text` is shown, and returns everything shown until then. Input typed earlier can be lost, because
    /// the line editor takes over the terminal for each line.
    fn wait_for(&self, text: &str) -> String {
        let (mut shown, deadline) = (String::new(), Instant::now() + Duration::from_secs(60));
        while !shown.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.shown.recv_timeout(left) else { panic!("{text:?} was not shown, but: {shown}") };
            shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        shown
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.keys, "{line}").expect("the terminal takes keys");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shown when the prompt waits for a line, after the complete last result.
const READY: &str = "bergmill> \r\u{1b}[10C\u{1b}[?2026l";

#[cfg(target_os = "linux")]
#[test]
fn it_answers_goes_on_after_a_mistake_and_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let command = format!("NO_COLOR=1 '{}' sql --data '{}'", binary().display(), folder.path().display());
    let Some(mut terminal) = Terminal::open(&command) else {
        eprintln!("SKIPPED: there is no `script` to create a terminal");
        return;
    };
    terminal.wait_for(READY);
    terminal.type_line("SELECT 40 +");
    terminal.type_line("2 AS answer;");
    let answer = terminal.wait_for(READY);
    for shown in ["│ answer │", "│ bigint │", "│     42 │", "1 row in"] {
        assert!(answer.contains(shown), "{answer}");
    }
    terminal.type_line("SELECT nonsense;");
    assert!(terminal.wait_for(READY).contains("error: "));
    terminal.type_line("SELECT 'after' AS word;");
    assert!(terminal.wait_for(READY).contains("│ after   │"));
    for (line, shown) in [
        ("CREATE TABLE raw.prompted (id BIGINT);", "done"),
        ("\\dt raw.promp*", "│ raw       │ prompted │ table   │"),
        ("\\d raw.prompted", "│ id "),
        ("\\x", "below each other"),
        ("SELECT 7 AS seven;", "seven | 7"),
        ("\\x off", "in a table"),
        ("\\df regexp_l*", "│ regexp_like │"),
        ("\\nonsense", "there is no command \\nonsense"),
        ("SELECT (1 + ;", "^"),
    ] {
        terminal.type_line(line);
        let answer = terminal.wait_for(READY);
        assert!(answer.contains(shown), "{line}: {answer}");
    }
    let file = folder.path().join("rows.csv");
    terminal.type_line(&format!("\\o {}", file.display()));
    terminal.wait_for(READY);
    terminal.type_line("SELECT 8 AS eight;");
    assert!(terminal.wait_for(READY).contains("1 row in"));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "eight\n8\n");
    // Tab completes the name of the new table.
    terminal.type_line("\\o");
    terminal.wait_for(READY);
    terminal.type_line("SELECT count(*) AS n FROM raw.prom\t;");
    assert!(terminal.wait_for(READY).contains("│      0 │"));
    terminal.type_line("\\q");
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = terminal.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "the prompt does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    let history = std::fs::read_to_string(folder.path().join(".sql_history")).unwrap();
    assert!(history.contains("AS answer") && history.contains("'after'"), "{history}");
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_cancels_the_statement_and_keeps_the_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let command = format!("'{}' sql --data '{}'", binary().display(), folder.path().display());
    let Some(mut terminal) = Terminal::open(&command) else {
        eprintln!("SKIPPED: there is no `script` to create a terminal");
        return;
    };
    terminal.wait_for(READY);
    terminal.type_line("SELECT count(*) FROM generate_series(1, 20000000000);");
    std::thread::sleep(Duration::from_secs(2));
    terminal.keys.write_all(b"\x03").unwrap();
    let shown = terminal.wait_for(READY);
    assert!(shown.contains("error: the statement was cancelled"), "{shown}");
    // The cluster of this process goes on.
    terminal.type_line("SELECT 'after' AS word;");
    assert!(terminal.wait_for(READY).contains("│ after   │"));
    let state =
        "SELECT state || ' ' || execution AS ended FROM system.queries WHERE statement LIKE '%20000000000%' LIMIT 1;";
    terminal.type_line(state);
    let shown = terminal.wait_for(READY);
    assert!(shown.contains("cancelled local"), "{shown}");
    terminal.type_line("\\q");
}

#[cfg(target_os = "linux")]
#[test]
fn a_password_is_asked_for_and_neither_shown_nor_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (_server, door) = serve(folder.path(), &[]);
    let created = run(&["sql", "--connect", &door, "-e", "CREATE USER ada PASSWORD 'correct horse'"]);
    assert!(created.status.success());
    let command = format!("'{}' sql --data '{data}' --connect {door} --user ada", binary().display());
    let Some(mut terminal) = Terminal::open(&command) else {
        eprintln!("SKIPPED: there is no `script` to create a terminal");
        return;
    };
    terminal.wait_for("password of ada: ");
    // The terminal stops to show what is typed right after it has shown this.
    std::thread::sleep(Duration::from_millis(500));
    terminal.type_line("correct horse");
    let shown = terminal.wait_for(READY);
    assert!(!shown.contains("correct horse"), "{shown}");
    terminal.type_line("ALTER USER ada PASSWORD 'battery staple';");
    assert!(terminal.wait_for(READY).contains("done"));
    terminal.type_line("\\q");
    let history = folder.path().join(".sql_history");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !history.exists() {
        assert!(Instant::now() < deadline, "the prompt does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = terminal.child.wait();
    let history = std::fs::read_to_string(history).unwrap();
    assert!(history.contains("ALTER USER ada PASSWORD '***'") && !history.contains("battery"), "{history}");
}
