//! Locates DataFusion's test files in the registry, and the crates whose data they read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The crate that holds the files.
const PACKAGE: &str = "datafusion-sqllogictest";

/// The folders of the packages that the corpus consists of.
#[derive(Debug)]
pub struct Package {
    /// The folder of `datafusion-sqllogictest`: paths in its files are relative to it.
    pub folder: PathBuf,
    folders: BTreeMap<String, PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    manifest_path: PathBuf,
}

impl Package {
    /// Runs cargo, which downloads missing packages.
    ///
    /// # Errors
    /// When cargo fails, or the package lacks the files.
    pub fn find() -> Result<Self> {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let corpus = crate_folder.join("corpus");
        // With the workspace's versions there is little to download.
        let (ours, lock) = (crate_folder.join("../Cargo.lock"), corpus.join("Cargo.lock"));
        if !lock.exists() && ours.exists() {
            std::fs::copy(&ours, &lock).with_context(|| format!("cannot write {}", lock.display()))?;
        }
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(corpus.join("Cargo.toml"))
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("unexpected output of cargo metadata")?;
        let folder = |p: Described| Some((p.name, p.manifest_path.parent()?.to_path_buf()));
        let folders: BTreeMap<_, _> = metadata.packages.into_iter().filter_map(folder).collect();
        let folder =
            folders.get(PACKAGE).cloned().with_context(|| format!("cargo metadata does not list {PACKAGE}"))?;
        ensure!(folder.join("test_files").is_dir(), "{} has no test_files", folder.display());
        Ok(Self { folder, folders })
    }

    /// The files of the corpus, in order, relative to `test_files`.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let root = self.folder.join("test_files");
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "slt") {
                    files.push(path.strip_prefix(&root)?.to_string_lossy().into_owned());
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// The file at a path in the corpus's notation, if some package contains it.
    pub fn resolve(&self, path: &str) -> Option<PathBuf> {
        // `../core/tests/data/x.csv` is in the repository beside this package; packages have other names.
        let found = match path.strip_prefix("../").and_then(|rest| rest.split_once('/')) {
            Some(("..", _)) => return None,
            Some(("core", rest)) => self.folders.get("datafusion")?.join(rest),
            Some((neighbour, rest)) => self.folders.get(&format!("datafusion-{neighbour}"))?.join(rest),
            None => self.folder.join(path),
        };
        found.exists().then_some(found)
    }
}
