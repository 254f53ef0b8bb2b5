//! Removes shuffle files that the scheduler did not: those of an executor that was killed, and of lost messages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ballista_core::error::BallistaError;
use ballista_executor::executor_process::satisfy_dir_ttl;

/// Age of such files.
const MAX_AGE: Duration = Duration::from_secs(6 * 3600);
/// Interval between checks for them.
const CHECK_EVERY: Duration = Duration::from_secs(600);

/// Checks the work folder again and again.
pub(crate) async fn remove_old(work_dir: PathBuf) {
    loop {
        if let Err(e) = remove_older_than(&work_dir, MAX_AGE).await {
            tracing::warn!("old shuffle files in {} are not removed: {e}", work_dir.display());
        }
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// Removes the folders in which nothing has changed for so long.
async fn remove_older_than(work_dir: &Path, age: Duration) -> Result<(), BallistaError> {
    let mut entries = tokio::fs::read_dir(work_dir).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if entry.file_type().await?.is_dir() && !satisfy_dir_ttl(entry, age.as_secs()).await? {
            tokio::fs::remove_dir_all(&path).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir_all};
    use std::time::SystemTime;

    use super::*;

    #[tokio::test]
    async fn folders_without_recent_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
        let make = |path: &str, hours: u64| {
            let path = folder.path().join(path);
            create_dir_all(path.parent().unwrap()).unwrap();
            File::create(&path).unwrap().set_modified(hours_ago(hours)).unwrap();
            for parent in path.ancestors().skip(1).take_while(|parent| *parent != folder.path()) {
                File::open(parent).unwrap().set_modified(hours_ago(hours)).unwrap();
            }
        };
        make("old/1/0/data.arrow", 7);
        make("new/1/0/data.arrow", 5);
        File::create(folder.path().join("file")).unwrap().set_modified(hours_ago(7)).unwrap();
        remove_older_than(folder.path(), MAX_AGE).await.unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["file", "new"]);
    }
}
