//! Writes files atomically: a reader sees the old file or the new one, never a part.

use std::path::Path;

use tokio::io::AsyncWriteExt;

use crate::error::JobError;

/// Writes a file beside the target, syncs it and renames it over the target; creates missing parent folders.
pub(crate) async fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    let failed = |source| JobError::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", uuid::Uuid::now_v7().simple()));
    let temporary = path.with_file_name(name);
    let written = write_and_rename(&temporary, path, bytes).await;
    if written.is_err() {
        // The file may not exist; the first error is the one to report.
        let _ = tokio::fs::remove_file(&temporary).await;
    }
    written.map_err(failed)
}

async fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tokio::fs::File::create(temporary).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    drop(file);
    tokio::fs::rename(temporary, path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replaces_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/report.txt");
        write_atomically(&path, b"one").await.unwrap();
        write_atomically(&path, b"two").await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_file_instead_of_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        let error = write_atomically(&folder.path().join("a/report.txt"), b"one").await.unwrap_err();
        assert!(matches!(error, JobError::File { .. }));
    }
}
