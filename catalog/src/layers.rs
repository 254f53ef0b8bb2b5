//! The layers of this crate: no file names a folder above its own.

use std::path::{Path, PathBuf};

/// The folders, the lowest first. Folders on one line are on one level, and do not name each other.
const LAYERS: [&[&str]; 6] = [
    &["pointers"],
    &["table"],
    &["read", "write"],
    &["metadata_tables", "row_level"],
    &["time_travel"],
    &["namespaces"],
];

/// The layer of a folder; `None` for a file that belongs to no layer.
fn layer(folder: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&folder))
}

/// Tests may use every layer.
fn is_test(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    name.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The folders that a file names: the words after `crate::`, outside its tests.
fn named(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let is_end = |c: char| !c.is_alphanumeric() && c != '_';
    code.split("crate::").skip(1).filter_map(|rest| rest.split(is_end).next()).collect()
}

#[test]
fn no_file_names_a_layer_above_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in sources(&root) {
        let inside = file.strip_prefix(&root).unwrap();
        let folder = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let Some(own) = layer(folder) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        for other in named(&text) {
            seen += 1;
            // An empty name starts a list, `crate::{...}`, and a capital an item of the root: their layer is unknown.
            if other.is_empty() || other.starts_with(char::is_uppercase) {
                wrong.push(format!("{} names crate::{other} without its folder", inside.display()));
            }
            if layer(other).is_some_and(|above| above > own || above == own && other != folder) {
                wrong.push(format!("{} names {other}", inside.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "lower folders name higher ones");
    assert!(seen > 100, "the sources were not read");
}
