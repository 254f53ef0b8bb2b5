//! Texts against files that hold what they were, and how they become what they are now.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

/// The files of one folder below `tests/plans/`.
pub struct Frozen {
    folder: PathBuf,
    accepts: bool,
    seen: BTreeSet<PathBuf>,
    differences: Vec<String>,
}

impl Frozen {
    pub fn new(folder: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(folder);
        let accepts = std::env::var_os("BERGMILL_COMPLETE").is_some();
        Self { folder, accepts, seen: BTreeSet::new(), differences: Vec::new() }
    }

    /// Compares a text with its file, or writes it there.
    pub fn check(&mut self, name: &str, text: &str) {
        let path = self.folder.join(name);
        let held = fs::read_to_string(&path).unwrap_or_default();
        if held != text {
            if self.accepts {
                fs::create_dir_all(path.parent().expect("a folder")).unwrap();
                fs::write(&path, text).unwrap();
            } else {
                let diff = TextDiff::from_lines(held.as_str(), text);
                self.differences.push(diff.unified_diff().header(name, "now").to_string());
            }
        }
        self.seen.insert(path);
    }

    /// Fails when a text was another than in its file, or a file was of none.
    pub fn finish(mut self) {
        for path in files(&self.folder).into_iter().filter(|path| !self.seen.contains(path)) {
            if self.accepts {
                fs::remove_file(&path).unwrap();
            } else {
                self.differences.push(format!("{}: nothing has this plan any more", path.display()));
            }
        }
        assert!(
            self.differences.is_empty(),
            "{} plans are not those in {}. If they are better, this writes them there: cargo build && BERGMILL_COMPLETE=1 \
             cargo test -p bergmill-tests plans\n\n{}",
            self.differences.len(),
            self.folder.display(),
            self.differences.join("\n")
        );
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}
