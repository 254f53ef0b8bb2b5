//! Equal shares of the CPU for processes, by Linux control groups.
//!
//! Version 1 and 2 of control groups are supported, see cgroups(7). Without permission to make groups there are no
//! shares: executors then compete for the cores, and more executors than cores cannot scale.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Length of a period, in microseconds. In short periods, a process that has used up its share waits for a short time.
const PERIOD: u64 = 10_000;
/// The smallest quota that the kernel takes, in microseconds.
const SMALLEST_QUOTA: u64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A control group of our own, in which each share is a group.
#[derive(Debug)]
pub struct Quotas {
    folder: PathBuf,
    version: Version,
}

impl Quotas {
    /// Makes the group.
    ///
    /// # Errors
    /// If this system has no control groups for the CPU, or if this user may not make one.
    pub fn open() -> Result<Self> {
        let mount = Path::new("/sys/fs/cgroup");
        let name = format!("bergmill-{}", std::process::id());
        let (parent, version) = if mount.join("cgroup.controllers").is_file() {
            // Children of a group have a CPU controller only if the group passes it on.
            write(&mount.join("cgroup.subtree_control"), "+cpu")?;
            (mount.to_path_buf(), Version::Two)
        } else {
            (mount.join("cpu"), Version::One)
        };
        let quotas = Self { folder: parent.join(name), version };
        fs::create_dir(&quotas.folder).map_err(|e| failed(&quotas.folder, e))?;
        if version == Version::Two {
            write(&quotas.folder.join("cgroup.subtree_control"), "+cpu")?;
        }
        Ok(quotas)
    }

    /// Makes a group whose processes may together use this many cores, 0.25 for example.
    ///
    /// # Errors
    /// If the share is below 0.1 cores, or the group cannot be made.
    pub fn share(&self, name: &str, cores: f64) -> Result<Share> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small"
        )]
        let quota = (cores * PERIOD as f64).round().max(0.0) as u64;
        if quota < SMALLEST_QUOTA {
            return Err(Error::Setting(format!("a share of {cores} cores is too small; the smallest is 0.1")));
        }
        let share = Share { folder: self.folder.join(name), version: self.version };
        fs::create_dir(&share.folder).map_err(|e| failed(&share.folder, e))?;
        match self.version {
            Version::One => {
                write(&share.folder.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
                write(&share.folder.join("cpu.cfs_quota_us"), &quota.to_string())?;
            }
            Version::Two => write(&share.folder.join("cpu.max"), &format!("{quota} {PERIOD}"))?,
        }
        Ok(share)
    }

    /// The version of control groups, for reports.
    pub fn name(&self) -> &'static str {
        match self.version {
            Version::One => "control groups version 1",
            Version::Two => "control groups version 2",
        }
    }
}

impl Drop for Quotas {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// A group with a share of the CPU. It is removed when this is dropped, if its processes have ended.
#[derive(Debug)]
pub struct Share {
    folder: PathBuf,
    version: Version,
}

impl Share {
    /// The file to which a process writes its id to join the group.
    pub(super) fn members(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Number of periods in which the group has used up its share.
    pub(super) fn throttled(&self) -> Option<u64> {
        let statistics = fs::read_to_string(self.folder.join("cpu.stat")).ok()?;
        statistics.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.trim().parse().ok())
    }

    /// The folder of the group, and the quota as the kernel has it.
    #[cfg(test)]
    fn quota(&self) -> String {
        let file = match self.version {
            Version::One => "cpu.cfs_quota_us",
            Version::Two => "cpu.max",
        };
        fs::read_to_string(self.folder.join(file)).unwrap()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = (fs::remove_dir(&self.folder), self.version);
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| failed(path, e))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Io { what: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where control groups can be made: elsewhere, experiments say that there are no shares.
    #[test]
    fn a_share_is_a_quota_in_the_kernel_and_is_removed() {
        let Ok(quotas) = Quotas::open() else { return };
        assert!(quotas.share("too-small", 0.05).is_err());
        let share = quotas.share("quarter", 0.25).unwrap();
        assert!(share.quota().starts_with("2500"), "{}", share.quota());
        assert_eq!(share.throttled(), Some(0));
        let folders = [share.folder.clone(), quotas.folder.clone()];
        drop(share);
        drop(quotas);
        assert!(folders.iter().all(|folder| !folder.exists()));
    }
}
