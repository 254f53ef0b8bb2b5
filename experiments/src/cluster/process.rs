//! A process of an experiment: how it is started and stopped, and what it uses.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use super::quota::Share;
use crate::error::{Error, Result};
use crate::machine::TICKS;

/// Time for a line: enough for a long query with a small share of the CPU.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a process has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU time since its start, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Most memory that it held since [`Process::forget_peak`], in bytes.
    pub peak_rss: u64,
    /// Periods since its start in which it used up its share of the CPU.
    pub throttled: u64,
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    share: Option<Share>,
    /// For its temporary files, which a killed process leaves behind.
    _temporary: TempDir,
}

impl Process {
    /// Starts a program with these arguments, in a share of the CPU if there is one, with `threads` worker threads of
    /// Tokio or as many as it has cores. Its errors are added to `log`.
    pub(crate) fn start(
        binary: &Path,
        arguments: &[String],
        share: Option<Share>,
        threads: Option<usize>,
        log: &Path,
    ) -> Result<Self> {
        let failed = |source| Error::Io { what: binary.display().to_string(), source };
        let temporary = tempfile::tempdir().map_err(failed)?;
        let mut command = match &share {
            // A shell joins the group before it becomes the process, so that no thread stays outside.
            Some(share) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(share.members()).arg(binary);
                shell
            }
            None => Command::new(binary),
        };
        let log = fs::OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        command.args(arguments).env("TMPDIR", temporary.path());
        if let Some(threads) = threads {
            command.env("TOKIO_WORKER_THREADS", threads.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(failed)?;
        let (lines, input) = (lines(&mut child), child.stdin.take());
        Ok(Self { child, input, lines, share, _temporary: temporary })
    }

    /// Writes a line to its standard input.
    pub(crate) fn send(&mut self, line: &str) -> Result<()> {
        let failed = |source| Error::Io { what: "a process of the experiment".to_string(), source };
        let Some(input) = &mut self.input else { return Ok(()) };
        writeln!(input, "{line}").and_then(|()| input.flush()).map_err(failed)
    }

    /// What follows `prefix` in the line that begins with it, once the process has printed it.
    pub(crate) fn announced(&self, prefix: &str) -> Result<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok(rest.trim().to_string());
                    }
                }
                Err(_) => {
                    let what =
                        format!("a process of the experiment has not announced {:?}; see its log", prefix.trim());
                    return Err(Error::NoData(what));
                }
            }
        }
    }

    /// Ends it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has used. Zero of what the system does not tell.
    pub fn usage(&self) -> Usage {
        let throttled = self.share.as_ref().and_then(Share::throttled).unwrap_or_default();
        Usage { throttled, ..usage_of(self.child.id()) }
    }

    /// What it and the processes below it have used, as far as they still run. The peak is the sum of their peaks.
    pub fn usage_with_children(&self) -> Usage {
        let mut sum = Usage::default();
        for usage in tree(self.child.id()).into_iter().map(usage_of) {
            sum.cpu_seconds += usage.cpu_seconds;
            sum.peak_rss += usage.peak_rss;
        }
        sum
    }

    /// Makes the peaks of memory start again from what it and the processes below it hold now, where the system allows
    /// it.
    pub fn forget_peak(&self) {
        for id in tree(self.child.id()) {
            let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines that it prints. They are read even if unused, so that the pipe does not fill.
fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(std::result::Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    lines
}

/// What one process has used of CPU and memory.
fn usage_of(id: u32) -> Usage {
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
    Usage {
        cpu_seconds: cpu_seconds(&read("stat")).unwrap_or_default(),
        peak_rss: peak_rss(&read("status")).unwrap_or_default(),
        throttled: 0,
    }
}

/// The ids of a process and of all processes below it.
fn tree(root: u32) -> Vec<u32> {
    let ids =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> =
        ids.filter_map(|id: u32| Some((id, parent(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?))).collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(above) = tree.get(next).copied() {
        tree.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(id, _)| *id));
        next += 1;
    }
    tree
}

/// The fields of `/proc/PID/stat` from the third on. The second, the name in parentheses, may contain spaces.
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// Field 4.
fn parent(stat: &str) -> Option<u32> {
    fields(stat)?.nth(1)?.parse().ok()
}

/// Fields 14 and 15.
pub(crate) fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = fields(stat)?.skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS)
}

fn peak_rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_from_proc() {
        let stat = "12 (a) name) S 1 12 12 0 -1 4194560 1 2 3 4 250 150 7 8 20 0 9 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("12 (cut"), None);
        assert_eq!(parent(stat), Some(1));
        assert_eq!(peak_rss("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 10 kB\n"), Some(2 << 20));
        assert_eq!(peak_rss(""), None);
    }

    #[test]
    fn a_process_is_read_measured_and_killed() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo listening on here; read line; echo got $line; exec sleep 60";
        let arguments = ["-c", script].map(ToString::to_string);
        let log = folder.path().join("log");
        let mut process = Process::start(Path::new("sh"), &arguments, None, None, &log).unwrap();
        assert_eq!(process.announced("listening on ").unwrap(), "here");
        process.send("a line").unwrap();
        assert_eq!(process.announced("got ").unwrap(), "a line");
        assert!(process.is_running() && process.usage().peak_rss > 0);
        let id = process.child.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn usage_includes_the_processes_below() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 60 & echo started; wait";
        let arguments = ["-c", script].map(ToString::to_string);
        let process = Process::start(Path::new("sh"), &arguments, None, None, &folder.path().join("log")).unwrap();
        process.announced("started").unwrap();
        let all = tree(process.child.id());
        assert!(all.len() > 1, "{all:?}");
        assert!(process.usage_with_children().peak_rss > process.usage().peak_rss);
        for id in &all[1..] {
            let _ = std::process::Command::new("kill").arg(id.to_string()).status();
        }
    }
}
