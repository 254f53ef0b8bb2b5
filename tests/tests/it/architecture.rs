//! The code map of ARCHITECTURE.md matches the tree: the crates and their dependencies, and each crate's files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The texts between backticks.
fn code_spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of each row of the Markdown tables in `text`, without header rows.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_head = |i: usize| lines.get(i + 1).is_some_and(|next| next.starts_with("|---"));
    let is_row = |(i, line): &(usize, &&str)| line.starts_with('|') && !line.starts_with("|---") && !is_head(*i);
    let rows = lines.iter().enumerate().filter(is_row);
    rows.map(|(_, line)| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The folders of the workspace's crates.
fn members() -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let list = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).expect("members").0;
    list.split(',').map(|member| member.trim().trim_matches('"').to_string()).collect()
}

/// The folders of our crates that a crate depends on, except for tests.
fn dependencies(member: &str) -> BTreeSet<String> {
    let manifest = read(&format!("{member}/Cargo.toml"));
    let section = manifest.split_once("\n[dependencies]\n").map_or("", |(_, rest)| rest);
    let section = section.split("\n[").next().unwrap_or_default();
    let ours = section.lines().filter_map(|line| line.strip_prefix("bergmill-")?.split_once('.'));
    ours.map(|(name, _)| name.to_string()).collect()
}

/// The code map of ARCHITECTURE.md.
fn map() -> String {
    let text = read("ARCHITECTURE.md");
    text.split("\n## ").find(|part| part.contains("| folder | owns | uses |")).expect("the map").to_string()
}

/// The entries of the map: a crate's folder and a text that names some of its files.
fn entries(map: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for section in map.split("\n### ").skip(1) {
        let (title, body) = section.split_once('\n').expect("a title");
        let table = rows(body);
        if table.is_empty() {
            // Several small crates: an item for each, which starts with a path.
            for item in body.split("\n- ").map(|item| item.trim_start_matches("- ")).filter(|i| i.starts_with('`')) {
                let member = code_spans(item)[0].split('/').next().expect("a folder");
                all.push((member.to_string(), item.to_string()));
            }
        } else {
            let member = code_spans(title)[0].trim_end_matches('/');
            all.extend(table.into_iter().map(|row| (member.to_string(), row[1].to_string())));
        }
    }
    all
}

#[test]
fn the_crates_and_their_dependencies_are_those_of_the_workspace() {
    let map = map();
    let folders = map.split("\n### ").next().expect("a table");
    let mut mapped = BTreeSet::new();
    for row in rows(folders) {
        let folder = code_spans(row[0])[0].trim_end_matches('/');
        assert!(root().join(folder).is_dir(), "ARCHITECTURE.md names {folder}/, which does not exist");
        if !members().contains(folder) {
            continue;
        }
        mapped.insert(folder.to_string());
        let uses: BTreeSet<String> = row[2].split(", ").filter(|name| !name.is_empty()).map(str::to_string).collect();
        if row[2] != "all" {
            assert_eq!(
                uses,
                dependencies(folder),
                "dependencies of {folder}/: ARCHITECTURE.md and its Cargo.toml differ"
            );
        }
    }
    assert_eq!(mapped, members(), "the crates of ARCHITECTURE.md and of Cargo.toml differ");
}

/// Appends all Rust source in a folder.
fn source(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_files_and_names_of_the_map_exist() {
    let is_path = |span: &str| {
        span.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c))
            && (span.contains('/') || [".rs", ".py", ".md", ".toml"].iter().any(|ending| span.ends_with(ending)))
    };
    let is_name = |span: &str| {
        span.starts_with(char::is_alphabetic) && span.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':')
    };
    let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for member in members() {
        let mut text = String::new();
        source(&root().join(&member), &mut text);
        let all = text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_string).collect();
        words.insert(member, all);
    }
    let (mut checked, mut missing) = (0, Vec::new());
    for (member, text) in entries(&map()) {
        let folder = root().join(&member);
        // A file may be in the folder of the file before it.
        let mut beside = folder.clone();
        for span in code_spans(&text) {
            if is_path(span) {
                let candidates = [folder.join("src"), folder.clone(), root(), beside.clone()].map(|f| f.join(span));
                match candidates.into_iter().find(|path| path.exists()) {
                    Some(path) if path.is_dir() => beside = path,
                    Some(path) => beside = path.parent().expect("a folder").to_path_buf(),
                    None => missing.push(format!("{member}: there is no {span}")),
                }
                checked += 1;
            } else if is_name(span) {
                let last = span.rsplit("::").next().unwrap_or(span);
                if !words[&member].contains(last) {
                    missing.push(format!("{member}: nothing is named {span}"));
                }
                checked += 1;
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md is out of date:\n{}", missing.join("\n"));
    assert!(checked > 150, "only {checked} names were found in the map");
}

#[test]
fn the_folders_of_each_crate_are_in_the_map() {
    let entries = entries(&map());
    let mut missing = Vec::new();
    for member in members() {
        let text: String = entries.iter().filter(|(name, _)| *name == member).map(|(_, text)| text.as_str()).collect();
        for entry in fs::read_dir(root().join(&member).join("src")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().to_string();
            let has_code =
                |folder: &Path| fs::read_dir(folder).unwrap().any(|file| file.unwrap().file_name() != "tests.rs");
            if path.is_dir() && name != "tests" && has_code(&path) && !text.contains(&format!("{name}/")) {
                missing.push(format!("{member}/src/{name}/"));
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {}", missing.join(", "));
}

#[test]
fn images_get_every_crate() {
    // The build context excludes everything that is not listed.
    let ignored = read(".dockerignore");
    let kept: BTreeSet<&str> =
        ignored.lines().filter_map(|line| line.strip_prefix('!')).map(|l| l.trim_matches('/')).collect();
    for member in members() {
        let kept = kept.iter().any(|line| line.trim_end_matches("/**").split('/').next() == Some(member.as_str()));
        assert!(kept, ".dockerignore excludes {member}/, which Cargo.toml names");
    }
}
