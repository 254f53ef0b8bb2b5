//! A pipeline as its files define it: steps with outputs, audits, exports and a report, ordered by the tables they read
//! and write.
//!
//! Loading checks everything that can be checked without a cluster (keys, names, templates, SQL syntax, cycles) and
//! reports all mistakes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::audit::Audit;
use crate::definition;
use crate::error::JobError;
use crate::export::Export;
use crate::report::ReportDefinition;
use crate::table_name::TableName;

/// The file that makes a folder a pipeline.
pub(crate) const DEFINITION: &str = "pipeline.toml";

/// The files of a pipeline by their path within its folder.
pub(crate) type Files = BTreeMap<String, String>;

/// A pipeline, checked and ready to run.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name, which identifies it on the command line and in snapshots.
    pub name: String,
    /// Its purpose, in a sentence.
    pub description: String,
    /// Tables that its steps read but do not fill.
    pub inputs: BTreeSet<TableName>,
    /// Defaults of the parameters that a run may change.
    pub parameters: toml::Table,
    /// Steps in the order of the definition; [`Step::depends_on`] determines the order of execution.
    pub steps: Vec<Step>,
    pub(crate) data: toml::Table,
}

/// A part of a pipeline that succeeds or fails as a whole.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name within the pipeline.
    pub name: String,
    /// What it does, in a sentence.
    pub description: String,
    /// Tables it fills, in waves: the outputs of a wave need only those of earlier waves.
    pub outputs: Vec<Vec<Output>>,
    /// Conditions on the rows it writes.
    pub audits: Vec<Audit>,
    /// Files exported from its tables.
    pub exports: Vec<Export>,
    /// The report it writes.
    pub report: Option<ReportDefinition>,
    /// Steps that must be done before it, as indices into [`Pipeline::steps`].
    pub depends_on: BTreeSet<usize>,
}

/// One table that a step fills, by one SELECT.
#[derive(Debug, Clone)]
pub struct Output {
    /// The table.
    pub table: TableName,
    /// File of the SELECT.
    pub file: String,
    /// The template of the SELECT, which returns all columns of the table in the table's order.
    pub sql: String,
    /// Column definitions as in CREATE TABLE.
    pub columns: Vec<String>,
    /// The column of type DATE whose partition a run replaces.
    pub partition: String,
    /// Tables the SELECT reads.
    pub reads: BTreeSet<TableName>,
}

impl Pipeline {
    /// Loads the pipeline of a folder.
    pub fn load(folder: &Path) -> Result<Self, JobError> {
        let mut files = Files::new();
        read_folder(folder, folder, &mut files)?;
        Self::from_files(&folder.display().to_string(), &files)
    }

    /// Loads the pipeline of each folder in `folder` that has a definition; sorted by name.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, JobError> {
        let mut pipelines = Vec::new();
        for path in entries(folder)? {
            if path.join(DEFINITION).is_file() {
                pipelines.push(Self::load(&path)?);
            }
        }
        pipelines.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pipelines)
    }

    pub(crate) fn from_files(source: &str, files: &Files) -> Result<Self, JobError> {
        definition::read(files).map_err(|mistakes| JobError::Definition { pipeline: source.to_owned(), mistakes })
    }

    /// The pipeline with only these steps. Steps that are left out count as done: their tables are read as they are.
    pub fn only(&self, names: &[String]) -> Result<Self, JobError> {
        if let Some(unknown) = names.iter().find(|name| self.steps.iter().all(|step| step.name != **name)) {
            let known = self.steps.iter().map(|step| step.name.clone()).collect();
            return Err(JobError::UnknownStep { pipeline: self.name.clone(), name: unknown.clone(), known });
        }
        let kept: Vec<usize> = (0..self.steps.len()).filter(|i| names.contains(&self.steps[*i].name)).collect();
        let position = |index: &usize| kept.iter().position(|k| k == index);
        let steps = kept.iter().map(|index| {
            let step = &self.steps[*index];
            Step { depends_on: step.depends_on.iter().filter_map(position).collect(), ..step.clone() }
        });
        Ok(Self { steps: steps.collect(), ..self.clone() })
    }

    /// All tables that the pipeline fills, with the name of the step that does.
    pub fn tables(&self) -> Vec<(&str, &TableName)> {
        let mut tables = Vec::new();
        for step in &self.steps {
            tables.extend(step.outputs.iter().flatten().map(|output| (step.name.as_str(), &output.table)));
        }
        tables
    }
}

/// Reads every file that a definition could name; unused ones (README.md) do no harm, and files that are not text are
/// skipped.
fn read_folder(root: &Path, folder: &Path, files: &mut Files) -> Result<(), JobError> {
    for path in entries(folder)? {
        if path.is_dir() {
            read_folder(root, &path, files)?;
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|source| JobError::File { path: path.clone(), source })?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if let Ok(text) = String::from_utf8(bytes) {
            files.insert(name, text);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, JobError> {
    let failed = |source| JobError::File { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use crate::shipped_named;

    #[test]
    fn steps_that_are_left_out_are_not_waited_for() {
        let pipeline = shipped_named("daily_analytics").unwrap();
        let check = |names: &[&str], expected: &[(&str, &[usize])]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let only = pipeline.only(&names).unwrap();
            let got: Vec<(&str, Vec<usize>)> =
                only.steps.iter().map(|s| (s.name.as_str(), s.depends_on.iter().copied().collect())).collect();
            let expected: Vec<(&str, Vec<usize>)> = expected.iter().map(|(n, d)| (*n, d.to_vec())).collect();
            assert_eq!(got, expected);
        };
        check(&["aggregate_daily_sales"], &[("aggregate_daily_sales", &[])]);
        let both: &[(&str, &[usize])] = &[("check_data_quality", &[]), ("aggregate_daily_sales", &[0])];
        check(&["aggregate_daily_sales", "check_data_quality"], both);
        let e = pipeline.only(&["aggregate".to_string()]).unwrap_err().to_string();
        assert!(e.contains("no step \"aggregate\"") && e.contains("check_data_quality"), "{e}");
    }
}
