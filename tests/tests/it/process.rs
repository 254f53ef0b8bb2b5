//! Starts `bergmill` as a user does, and stops it in any case.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// Long enough for a debug binary on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The binary that this test run built.
pub fn binary() -> PathBuf {
    let mut path = std::env::current_exe().expect("path of the test");
    // target/<profile>/deps/it-<hash>
    path.pop();
    path.pop();
    path.push("bergmill");
    assert!(path.exists(), "{} is not built; run `cargo test --workspace`, or `cargo build` first", path.display());
    path
}

/// A process of ours, killed when it goes out of scope.
pub struct Process {
    child: Child,
    /// Its output and log, line by line.
    lines: mpsc::Receiver<String>,
    /// For its temporary files, which a killed process leaves behind.
    _temporary: TempDir,
}

impl Process {
    /// Starts `bergmill` with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts `bergmill` with these arguments and environment variables.
    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().expect("temporary folder");
        let mut child = bergmill(arguments)
            .env("TMPDIR", temporary.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bergmill starts");
        let (out, log) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        let logged = sender.clone();
        // The lines are read even if unused, so that the pipes do not fill.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                eprintln!("{line}");
                let _ = logged.send(line);
            }
        });
        Self { child, lines, _temporary: temporary }
    }

    /// Waits for a line that starts with `beginning`, and returns the rest of it.
    pub fn wait_for(&self, beginning: &str) -> String {
        self.wait(beginning, |line| line.strip_prefix(beginning).map(|rest| rest.trim().to_string()))
    }

    /// Waits for a line that contains `part`.
    pub fn wait_for_part(&self, part: &str) {
        self.wait(part, |line| line.contains(part).then_some(()));
    }

    /// Discards the lines printed so far, so that only new lines are waited for.
    pub fn catch_up(&self) {
        self.lines.try_iter().for_each(drop);
    }

    fn wait<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let line = self.lines.recv_timeout(START).unwrap_or_else(|e| panic!("waiting for {what:?}: {e}"));
            if let Some(found) = found(&line) {
                return found;
            }
        }
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and waits for its exit status.
    pub fn terminate(mut self) -> bool {
        self.signal("TERM");
        self.ends_within(START)
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let signalled = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill");
        assert!(signalled.success());
    }

    /// Whether it ends within this time, with success.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = std::time::Instant::now() + time;
        while std::time::Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `bergmill` with these arguments, without the settings of the user who runs the tests.
fn bergmill(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    for name in [
        "BERGMILL_CONFIG",
        "BERGMILL_WAREHOUSE",
        "BERGMILL_CATALOG",
        "BERGMILL_CATALOG_NAME",
        "BERGMILL_CONNECT",
        "BERGMILL_USER",
        "BERGMILL_PASSWORD",
        "BERGMILL_PASSWORD_FILE",
        "BERGMILL_TOKEN",
        "BERGMILL_TLS_CA",
        "BERGMILL_CLUSTER_CA",
        "BERGMILL_CLUSTER_CERT",
        "BERGMILL_CLUSTER_KEY",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs `bergmill` to its end.
pub fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[])
}

/// Runs `bergmill` with these environment variables to its end.
pub fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    bergmill(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).output().expect("bergmill runs")
}

/// A cluster in one process, over a warehouse in `folder`: the process and the front door's address.
pub fn serve(folder: &Path, more: &[&str]) -> (Process, String) {
    let data = folder.to_str().expect("UTF-8 path");
    let mut arguments = vec!["serve", "--data", data, "--listen", "127.0.0.1:0"];
    arguments.extend(more);
    let process = Process::start(&arguments);
    let door = process.wait_for("front door ");
    (process, door)
}
