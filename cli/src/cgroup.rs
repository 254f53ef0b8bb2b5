//! Limits that a container, or any other Linux control group, sets for this process.
//!
//! CPU quotas need no code here: `std::thread::available_parallelism` respects them in both versions of control groups,
//! rounded down to whole cores and at least one.

use std::path::Path;

/// Tasks may hold half of the limit. The rest is for memory that they do not account for: pages being read and decoded,
/// shuffles in flight, metadata, the program itself. A process that exceeds the limit is killed. A grouping that spills
/// all the time was seen at 1.5 times its limit.
const TASKS_PART: u64 = 2;

/// Bytes that tasks may hold, or `None` if memory is not limited.
pub fn task_memory() -> Option<u64> {
    memory_limit(Path::new("/")).map(|limit| limit / TASKS_PART)
}

/// The lowest memory limit of the control groups of this process, read below the root folder `root`.
///
/// `/proc/self/cgroup` has lines of `id:controllers:path`, where version 2 names no controllers (cgroups(7)). In a
/// container the path may be the host's, of which the container sees only the last part, mounted as the root: missing
/// folders are skipped on the way up.
fn memory_limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            some if some.split(',').any(|c| c == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        lowest(&root.join(mount), path, file)
    });
    limits.min()
}

/// The lowest number in `file` of the folder `path` under `mount` and of its parents.
fn lowest(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let folder = mount.join(path.trim_start_matches('/'));
    let up = folder.ancestors().take_while(|folder| folder.starts_with(mount));
    up.filter_map(|folder| limit(&std::fs::read_to_string(folder.join(file)).ok()?)).min()
}

/// Without a limit, version 2 has `max` and version 1 the highest whole page of an i64.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < i64::MAX as u64 / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_memory_limit_on_the_way_up_counts() {
        let check = |files: &[(&str, &str)], expected: Option<u64>| {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(memory_limit(root.path()), expected, "{files:?}");
        };
        check(&[], None);
        // Version 2, in a container with its own namespace.
        let v2 = ("proc/self/cgroup", "0::/\n");
        check(&[v2], None);
        check(&[v2, ("sys/fs/cgroup/memory.max", "2147483648\n")], Some(2 << 30));
        check(&[v2, ("sys/fs/cgroup/memory.max", "max\n")], None);
        // Version 2 on a host: the group's own limit, and that of the slice around it.
        let slices = ("proc/self/cgroup", "0::/a.slice/b.scope\n");
        let outer = ("sys/fs/cgroup/a.slice/memory.max", "1000000\n");
        check(&[slices, ("sys/fs/cgroup/a.slice/b.scope/memory.max", "max\n"), outer], Some(1_000_000));
        check(&[slices, ("sys/fs/cgroup/a.slice/b.scope/memory.max", "7000\n"), outer], Some(7000));
        // Version 1 in a container: the path is the host's, its folder is mounted as the root.
        let v1 = ("proc/self/cgroup", "5:cpu,cpuacct:/docker/c0\n4:memory:/docker/c0\n0::/\n");
        check(&[v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n")], Some(512 << 20));
        check(&[v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], None);
        // Unreadable text is no limit.
        check(&[("proc/self/cgroup", "nonsense\n::\n"), ("sys/fs/cgroup/memory.max", "?\n")], None);
    }
}
