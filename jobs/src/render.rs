//! Renders all SQL of one run before any of it is sent, so that a mistake in a template or parameter is found before
//! the first table changes. Benchmarks and comparisons with other engines use this SQL too.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::audit::{Audit, AuditTime};
use crate::error::{JobError, Mistake};
use crate::interval::Interval;
use crate::pipeline::{Output, Pipeline, Step};
use crate::table_name::TableName;
use crate::template::{Values, fill};

/// All SQL of one run.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Steps in the order of the definition.
    pub steps: Vec<RenderedStep>,
}

/// The SQL of one step.
#[derive(Debug, Clone)]
pub struct RenderedStep {
    /// The step's name.
    pub name: String,
    /// Changes with the step's SQL, columns, audits, parameters or data, but not with the date.
    pub code_hash: String,
    /// Tables to fill, in waves as in [`Step::outputs`].
    pub outputs: Vec<Vec<RenderedOutput>>,
    /// The report's queries: name and SELECT.
    pub queries: Vec<(String, String)>,
    pub(crate) audits: Vec<Audit>,
}

/// The SQL that fills one table for the interval.
#[derive(Debug, Clone)]
pub struct RenderedOutput {
    /// The table.
    pub table: TableName,
    /// The partition's column.
    pub partition: String,
    /// Statement that creates the table if it does not exist.
    pub create: String,
    /// Query for the rows of the interval.
    pub select: String,
    /// Statement that replaces the interval's partition by the rows of the SELECT.
    pub insert: String,
}

impl Pipeline {
    /// Renders all templates for one interval. `changes` are parameters that differ from the defaults.
    pub fn render(&self, interval: Interval, now: DateTime<Utc>, changes: &toml::Table) -> Result<Rendered, JobError> {
        let mut parameters = self.parameters.clone();
        change(&mut parameters, changes, "")?;
        let values = Values::new(interval, now, &parameters, &self.data);
        let failed = |mistake: Mistake| JobError::Template { pipeline: self.name.clone(), mistake };
        let mut steps = Vec::new();
        for step in &self.steps {
            let code_hash = self.code_hash(step, &parameters);
            steps.push(render_step(step, interval, &values, code_hash).map_err(failed)?);
        }
        Ok(Rendered { steps })
    }

    fn code_hash(&self, step: &Step, parameters: &toml::Table) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            // The length distinguishes "ab", "c" from "a", "bc".
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for output in step.outputs.iter().flatten() {
            let texts = [&output.table.to_string(), &output.sql, &output.columns.join(","), &output.partition];
            texts.into_iter().for_each(|text| add(text));
        }
        for audit in &step.audits {
            let texts = [&audit.name, &audit.table.to_string(), &audit.expect];
            texts.into_iter().for_each(|text| add(text));
        }
        add(&parameters.to_string());
        add(&self.data.to_string());
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn render_step(step: &Step, interval: Interval, values: &Values, code_hash: String) -> Result<RenderedStep, Mistake> {
    let output = |output: &Output| render_output(output, interval, values);
    let wave = |wave: &Vec<Output>| wave.iter().map(output).collect::<Result<Vec<_>, _>>();
    let outputs = step.outputs.iter().map(wave).collect::<Result<Vec<_>, _>>()?;

    let mut audits = step.audits.clone();
    for audit in &mut audits {
        audit.expect = fill("pipeline.toml", &audit.expect, values)?;
        if let Some(explain) = &mut audit.explain {
            *explain = fill("pipeline.toml", explain, values)?;
        }
    }
    let mut queries = Vec::new();
    for query in step.report.iter().flat_map(|report| &report.queries) {
        queries.push((query.name.clone(), fill("pipeline.toml", &query.sql, values)?));
    }
    Ok(RenderedStep { name: step.name.clone(), code_hash, outputs, queries, audits })
}

fn render_output(output: &Output, interval: Interval, values: &Values) -> Result<RenderedOutput, Mistake> {
    let Output { table, columns, partition, .. } = output;
    let select = fill(&output.file, &output.sql, values)?;
    let select = select.trim().trim_end_matches(';').to_owned();
    let columns = columns.join(", ");
    Ok(RenderedOutput {
        table: table.clone(),
        partition: partition.clone(),
        create: format!("CREATE TABLE IF NOT EXISTS {table} ({columns}) PARTITIONED BY ({partition})"),
        insert: format!("INSERT OVERWRITE {table} PARTITION ({partition} = DATE '{interval}')\n{select}"),
        select,
    })
}

impl RenderedStep {
    pub(crate) fn audits_of(&self, table: &TableName, when: AuditTime) -> Vec<&Audit> {
        self.audits.iter().filter(|audit| audit.table == *table && audit.when == when).collect()
    }
}

/// Merges changes into the defaults, level by level. A change with an unknown name or another type is an error, so that
/// a misspelled parameter is noticed; an integer is accepted for a float.
fn change(defaults: &mut toml::Table, changes: &toml::Table, path: &str) -> Result<(), JobError> {
    for (key, new) in changes {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(old) = defaults.get_mut(key) else {
            return Err(JobError::Parameter { name, reason: "the pipeline has no such parameter".to_owned() });
        };
        match (old, new) {
            (toml::Value::Table(old), toml::Value::Table(new)) => change(old, new, &name)?,
            (old @ toml::Value::Float(_), toml::Value::Integer(new)) => *old = toml::Value::Float(*new as f64),
            (old, new) if old.same_type(new) => *old = new.clone(),
            (old, new) => {
                let reason = format!("expected {}, found {}", old.type_str(), new.type_str());
                return Err(JobError::Parameter { name, reason });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(changes: &str, expected: Result<&str, &str>) {
        let mut table: toml::Table = "days = 30\n[limits]\nwarn = 0.1".parse().unwrap();
        let outcome = change(&mut table, &changes.parse().unwrap(), "").map_err(|error| error.to_string());
        let outcome = outcome.map(|()| table.to_string());
        assert_eq!(outcome.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn changes_of_parameters() {
        check("days = 7", Ok("days = 7\n\n[limits]\nwarn = 0.1\n"));
        check("limits.warn = 1", Ok("days = 30\n\n[limits]\nwarn = 1.0\n"));
        check("dyas = 7", Err("parameter dyas: the pipeline has no such parameter"));
        check("limits.fail = 7", Err("parameter limits.fail: the pipeline has no such parameter"));
        check("days = \"7\"", Err("parameter days: expected integer, found string"));
    }
}
