//! Where the work folder has the files of a query. Requests name the query, and no name leads out of the folder.

use std::path::{Path, PathBuf};

use tonic::Status;

/// The folder of a query's files, which may be missing.
///
/// # Errors
/// If the id of the query is not one, or the folder is elsewhere, since it is a link.
pub(crate) async fn folder_of(work_dir: &Path, query: &str) -> Result<PathBuf, Status> {
    let is_id = !query.is_empty() && query.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !is_id {
        return Err(Status::invalid_argument(format!("{query:?} is not the id of a query")));
    }
    let folder = work_dir.join(query);
    check_inside(work_dir, &folder).await?;
    Ok(folder)
}

/// Checks that a file in the folder of a query is really there, if it exists.
///
/// # Errors
/// If a link leads to another place.
pub(crate) async fn check_inside(folder: &Path, path: &Path) -> Result<(), Status> {
    let Ok(real) = tokio::fs::canonicalize(path).await else {
        // Whatever opens it reports why it cannot.
        return Ok(());
    };
    match tokio::fs::canonicalize(folder).await {
        Ok(folder) if real.starts_with(&folder) && real != folder => Ok(()),
        _ => Err(Status::permission_denied(format!("{} is not in {}", path.display(), folder.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn no_query_is_outside_of_the_work_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (work, outside) = (folder.path().join("work"), folder.path().join("outside"));
        for made in [work.join("q1/1/0"), outside.join("1/0")] {
            std::fs::create_dir_all(made).unwrap();
        }
        symlink(&outside, work.join("link")).unwrap();
        symlink(&work, work.join("loop")).unwrap();
        let inside = folder_of(&work, "q1").await.unwrap();
        assert_eq!(inside, work.join("q1"));
        assert_eq!(folder_of(&work, "gone_2-x").await.unwrap(), work.join("gone_2-x"));
        let absolute = outside.to_str().unwrap();
        for wrong in
            ["", ".", "..", "../outside", "/", "/etc", absolute, "q1/../../outside", "q1/1", "q1\0", "link", "loop"]
        {
            folder_of(&work, wrong).await.unwrap_err();
        }
        symlink(outside.join("1/0"), inside.join("1/1")).unwrap();
        check_inside(&inside, &inside.join("1/0")).await.unwrap();
        check_inside(&inside, &inside.join("1/2")).await.unwrap();
        check_inside(&inside, &inside.join("1/1")).await.unwrap_err();
    }
}
