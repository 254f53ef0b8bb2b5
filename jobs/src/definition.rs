//! Builds a [`Pipeline`] from a folder's files: reads `pipeline.toml`, renders every template with a sample date to
//! check it, parses the resulting SQL, and derives the order of steps from the tables in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use bergmill_statement::nearest;
use chrono::NaiveDate;

use crate::audit::{Audit, AuditTime};
use crate::error::{Mistake, Mistakes};
use crate::export::Export;
use crate::graph::waves;
use crate::interval::Interval;
use crate::pipeline::{DEFINITION, Files, Output, Pipeline, Step};
use crate::report::{Format, ReportDefinition, ReportQuery, ReportTemplate, check_template};
use crate::table_name::{TableName, is_identifier};
use crate::table_refs::tables_read;
use crate::template::{BUILT_IN, Values, fill};
use crate::toml_reader::{At, Reader, Section};

/// A step being read, with the inputs for deriving the order.
struct Draft {
    step: Step,
    line: usize,
    after: Vec<At<String>>,
    outputs: Vec<Output>,
    reads: BTreeSet<TableName>,
}

/// Reads and checks a definition.
pub(crate) fn read(files: &Files) -> Result<Pipeline, Mistakes> {
    let Some(source) = files.get(DEFINITION) else {
        let mistake = Mistake { file: DEFINITION.to_owned(), line: None, message: "the file is missing".to_owned() };
        return Err(Mistakes(vec![mistake]));
    };
    let mut reader = Reader::new(DEFINITION, source);
    let entries = reader.parse();
    if !reader.mistakes.is_empty() {
        // With broken syntax, a key that seems missing may only be unreadable.
        return Err(Mistakes(reader.mistakes));
    }
    let root = Section { entries: &entries, line: 1, title: "pipeline".to_owned() };
    let mut definition = Definition { reader, files, values: None };
    definition.pipeline(&root, source).ok_or_else(|| Mistakes(definition.mistakes()))
}

struct Definition<'f> {
    reader: Reader<'f>,
    files: &'f Files,
    values: Option<Values>,
}

impl Definition<'_> {
    fn mistakes(self) -> Vec<Mistake> {
        self.reader.mistakes
    }

    fn pipeline(&mut self, root: &Section, source: &str) -> Option<Pipeline> {
        self.reader.only(root, &["name", "description", "inputs", "parameters", "data", "step"]);
        let name = self.reader.text(root, "name");
        let description = self.reader.text(root, "description");
        if let Some(name) = name.as_ref().filter(|name| !is_identifier(&name.value)) {
            self.reader.mistake(name.line, format!("name {:?} should be a lower-case identifier", name.value));
        }
        let inputs: BTreeSet<TableName> = {
            let texts = self.reader.texts(root, "inputs");
            texts.iter().filter_map(|text| self.parsed(text)).collect()
        };
        let parameters = source.parse::<toml::Table>().ok().and_then(|mut table| table.remove("parameters"));
        let parameters = parameters.and_then(|value| value.as_table().cloned()).unwrap_or_default();
        let data = self.data(root);
        for name in parameters.keys().chain(data.keys()) {
            let taken = BUILT_IN.contains(&name.as_str()) || (parameters.contains_key(name) && data.contains_key(name));
            if taken || !is_identifier(name) {
                self.reader.mistake(
                    root.line,
                    format!("parameter or data name {name:?} is taken or no lower-case identifier"),
                );
            }
        }
        let sample = Interval::of(NaiveDate::default());
        self.values = Some(Values::new(sample, sample.end(), &parameters, &data));

        let sections = self.reader.tables(root, "step", "step");
        if sections.is_empty() {
            self.reader.mistake(root.line, "pipeline: there is no [[step]]");
        }
        let mut drafts: Vec<Draft> = sections.iter().map(|section| self.step(section)).collect();
        self.order(&inputs, &mut drafts);

        let steps = drafts.into_iter().map(|draft| draft.step).collect();
        let complete = self.reader.mistakes.is_empty();
        complete.then_some(Pipeline {
            name: name?.value,
            description: description?.value,
            inputs,
            parameters,
            steps,
            data,
        })
    }

    /// The files of `[data]`: TOML tables, available to templates under their names.
    fn data(&mut self, root: &Section) -> toml::Table {
        let mut data = toml::Table::new();
        for (name, file) in self.reader.named_texts(root, "data") {
            let Some(text) = self.file(&file) else { continue };
            match text.parse::<toml::Table>() {
                Ok(table) => {
                    data.insert(name, toml::Value::Table(table));
                }
                Err(error) => {
                    let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
                    self.reader.mistakes.push(Mistake { file: file.value, line, message: error.message().to_owned() });
                }
            }
        }
        data
    }

    fn step(&mut self, section: &Section) -> Draft {
        let known = ["name", "description", "after", "output", "audit", "export", "report"];
        self.reader.only(section, &known);
        let name = self.reader.text(section, "name").map(|name| name.value).unwrap_or_default();
        let description = self.reader.optional_text(section, "description").map(|text| text.value).unwrap_or_default();
        let after = self.reader.texts(section, "after");
        let title = |part: &str| format!("{}: {part}", section.title);

        let sections = self.reader.tables(section, "output", &title("output"));
        let outputs: Vec<Output> = sections.iter().filter_map(|output| self.output(output)).collect();
        let tables: Vec<TableName> = outputs.iter().map(|output| output.table.clone()).collect();
        let mut audits = Vec::new();
        for audit in self.reader.tables(section, "audit", &title("audit")) {
            audits.extend(self.audit(&audit, &tables));
        }
        let mut exports = Vec::new();
        for export in self.reader.tables(section, "export", &title("export")) {
            exports.extend(self.export(&export, &tables));
        }
        let mut reads: BTreeSet<TableName> = outputs.iter().flat_map(|output| output.reads.iter().cloned()).collect();
        let report = self.reader.table(section, "report", &title("report"));
        let report = report.and_then(|report| self.report(&report, &mut reads));
        if sections.is_empty() && !section.entries.contains_key("report") {
            self.reader.mistake(section.line, format!("{}: has neither an output nor a report", section.title));
        }
        // Waves and dependencies are set once all steps are known.
        let step =
            Step { name, description, outputs: Vec::new(), audits, exports, report, depends_on: BTreeSet::new() };
        Draft { step, line: section.line, after, outputs, reads }
    }

    fn output(&mut self, section: &Section) -> Option<Output> {
        self.reader.only(section, &["table", "sql", "columns", "partition"]);
        let table = self.reader.text(section, "table").and_then(|table| self.parsed::<TableName>(&table));
        let columns: Vec<String> = self.reader.texts(section, "columns").into_iter().map(|at| at.value).collect();
        let partition = self.reader.optional_text(section, "partition").map_or("date".to_owned(), |text| text.value);
        self.columns(section, &columns, &partition);
        // Even with broken SQL, other steps may read the table; reporting it as unknown would mislead.
        let file = self.reader.text(section, "sql");
        let sql = file.as_ref().and_then(|file| self.file(file)).cloned();
        let file = file.map(|file| file.value).unwrap_or_default();
        let reads = sql.as_ref().and_then(|sql| self.select(&file, sql, 0)).unwrap_or_default();
        Some(Output { table: table?, file, sql: sql.unwrap_or_default(), columns, partition, reads })
    }

    /// Checks that the column definitions are valid in CREATE TABLE and that the partition column is a DATE.
    fn columns(&mut self, section: &Section, columns: &[String], partition: &str) {
        let create = format!("CREATE TABLE checked ({})", columns.join(", "));
        if columns.is_empty() {
            self.reader.mistake(section.line, format!("{}: columns are missing", section.title));
        } else if let Err(error) = bergmill_statement::parse(&create) {
            self.reader.mistake(section.line, format!("{}: columns: {error}", section.title));
        } else if !columns.iter().any(|column| is_date(column, partition)) {
            let message = format!("{}: columns need `{partition} DATE`, whose partition a run replaces", section.title);
            self.reader.mistake(section.line, message);
        }
    }

    fn audit(&mut self, section: &Section, tables: &[TableName]) -> Option<Audit> {
        self.reader.only(section, &["name", "table", "expect", "explain", "when"]);
        let name = self.reader.text(section, "name");
        let table = self.own_table(section, tables);
        let expect = self.reader.text(section, "expect");
        let explain = self.reader.optional_text(section, "explain");
        let when = match self.reader.optional_text(section, "when") {
            None => AuditTime::BeforeCommit,
            Some(text) if text.value == "before_commit" => AuditTime::BeforeCommit,
            Some(text) if text.value == "after_commit" => AuditTime::AfterCommit,
            Some(text) => {
                self.reader.mistake(text.line, format!("{}: when is before_commit or after_commit", section.title));
                return None;
            }
        };
        for expression in [&expect, &explain].into_iter().flatten() {
            self.select(DEFINITION, &format!("SELECT ({})", expression.value), expression.line);
        }
        Some(Audit {
            name: name?.value,
            table: table?,
            expect: expect?.value,
            explain: explain.map(|text| text.value),
            when,
        })
    }

    fn export(&mut self, section: &Section, tables: &[TableName]) -> Option<Export> {
        self.reader.only(section, &["name", "table", "order_by"]);
        let name = self.reader.text(section, "name")?;
        if !is_identifier(&name.value) {
            self.reader.mistake(name.line, format!("{}: name should be a lower-case identifier", section.title));
        }
        let table = self.own_table(section, tables);
        let order_by = self.reader.optional_text(section, "order_by").map(|text| text.value).unwrap_or_default();
        Some(Export { table: table?, name: name.value, order_by })
    }

    fn report(&mut self, section: &Section, reads: &mut BTreeSet<TableName>) -> Option<ReportDefinition> {
        self.reader.only(section, &["text", "markdown", "html", "queries"]);
        let mut templates = Vec::new();
        for (key, format) in [("text", Format::Text), ("markdown", Format::Markdown), ("html", Format::Html)] {
            let Some(file) = self.reader.optional_text(section, key) else { continue };
            let Some(source) = self.file(&file).cloned() else { continue };
            if let Err(mistake) = check_template(&file.value, &source) {
                self.reader.mistakes.push(mistake);
            }
            templates.push(ReportTemplate { format, file: file.value, source });
        }
        if templates.is_empty() {
            self.reader.mistake(section.line, format!("{}: needs one of text, markdown, html", section.title));
        }
        let mut queries = Vec::new();
        for (name, sql) in self.reader.named_texts(section, "queries") {
            if let Some(read) = self.select(DEFINITION, &sql.value, sql.line) {
                reads.extend(read);
            }
            queries.push(ReportQuery { name, sql: sql.value });
        }
        Some(ReportDefinition { templates, queries })
    }

    /// A table that must be one of the step's own outputs.
    fn own_table(&mut self, section: &Section, tables: &[TableName]) -> Option<TableName> {
        let text = self.reader.text(section, "table")?;
        let table: TableName = self.parsed(&text)?;
        if !tables.contains(&table) {
            self.reader.mistake(text.line, format!("{}: {table} is not an output of this step", section.title));
        }
        Some(table)
    }

    /// Renders a SELECT's template with the sample date and finds the tables it reads. `line` is the line of a SQL text
    /// within the definition, or 0 for a SQL file, where the template's mistakes have their own lines.
    fn select(&mut self, file: &str, sql: &str, line: usize) -> Option<BTreeSet<TableName>> {
        let filled = fill(file, sql, self.values.as_ref()?).map_err(|mut mistake| {
            if line > 0 {
                mistake.line = Some(line);
            }
            mistake
        });
        let read = filled.and_then(|sql| {
            let line = Some(line).filter(|line| *line > 0);
            tables_read(&sql).map_err(|message| Mistake { file: file.to_owned(), line, message })
        });
        read.map_err(|mistake| self.reader.mistakes.push(mistake)).ok()
    }

    fn file(&mut self, name: &At<String>) -> Option<&String> {
        let found = self.files.get(&name.value);
        if found.is_none() {
            let known: Vec<&str> = self.files.keys().map(String::as_str).collect();
            let hint = nearest(&name.value, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            self.reader.mistake(name.line, format!("there is no file {}{hint}", name.value));
        }
        found
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, text: &At<String>) -> Option<T> {
        text.value.parse().map_err(|error| self.reader.mistake(text.line, format!("{error}"))).ok()
    }

    /// Derives the dependencies of each step, and the waves of its outputs.
    fn order(&mut self, inputs: &BTreeSet<TableName>, drafts: &mut [Draft]) {
        let mut indices: BTreeMap<String, usize> = BTreeMap::new();
        let mut writers: BTreeMap<TableName, usize> = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            let name = &draft.step.name;
            if indices.insert(name.clone(), index).is_some() {
                self.reader.mistake(draft.line, format!("there are two steps called {name}"));
            }
            for output in &draft.outputs {
                if let Some(other) = writers.insert(output.table.clone(), index) {
                    let (table, other) = (&output.table, &drafts[other].step.name);
                    self.reader.mistake(draft.line, format!("table {table} is written twice, by {other} and {name}"));
                }
            }
        }
        for (index, draft) in drafts.iter_mut().enumerate() {
            let mut needs = self.read_from(draft, &writers, inputs);
            // A step may read its own table, for instance earlier dates; naming itself in `after` is a mistake.
            needs.remove(&index);
            needs.extend(self.named_after(draft, &indices));
            draft.step.depends_on = needs;
            self.order_outputs(draft);
        }
        let needs: Vec<BTreeSet<usize>> = drafts.iter().map(|draft| draft.step.depends_on.clone()).collect();
        if let Err(cycle) = waves(&needs) {
            let names: Vec<&str> = cycle.iter().map(|index| drafts[*index].step.name.as_str()).collect();
            let line = cycle.first().map_or(1, |index| drafts[*index].line);
            self.reader.mistake(line, format!("steps wait for each other: {}", names.join(" waits for ")));
        }
    }

    /// The steps that `after` names.
    fn named_after(&mut self, draft: &Draft, indices: &BTreeMap<String, usize>) -> BTreeSet<usize> {
        let mut needs = BTreeSet::new();
        for after in &draft.after {
            if let Some(index) = indices.get(&after.value) {
                needs.insert(*index);
                continue;
            }
            let known: Vec<&str> = indices.keys().map(String::as_str).collect();
            let hint = nearest(&after.value, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            self.reader.mistake(after.line, format!("after: there is no step {}{hint}", after.value));
        }
        needs
    }

    /// The steps that write the tables that this one reads.
    fn read_from(
        &mut self,
        draft: &Draft,
        writers: &BTreeMap<TableName, usize>,
        inputs: &BTreeSet<TableName>,
    ) -> BTreeSet<usize> {
        let name = &draft.step.name;
        for table in draft.reads.iter().filter(|table| !writers.contains_key(*table) && !inputs.contains(*table)) {
            self.reader
                .mistake(draft.line, format!("step {name} reads {table}, which is neither an input nor an output"));
        }
        draft.reads.iter().filter_map(|table| writers.get(table)).copied().collect()
    }

    fn order_outputs(&mut self, draft: &mut Draft) {
        let outputs = std::mem::take(&mut draft.outputs);
        let reads_other = |output: &Output, index: usize, other: usize| {
            other != index && output.reads.contains(&outputs[other].table)
        };
        let needs: Vec<BTreeSet<usize>> = outputs
            .iter()
            .enumerate()
            .map(|(index, output)| (0..outputs.len()).filter(|other| reads_other(output, index, *other)).collect())
            .collect();
        match waves(&needs) {
            Ok(waves) => {
                let wave = |indices: Vec<usize>| indices.into_iter().map(|index| outputs[index].clone()).collect();
                draft.step.outputs = waves.into_iter().map(wave).collect();
            }
            Err(cycle) => {
                let names: Vec<String> = cycle.iter().map(|index| outputs[*index].table.to_string()).collect();
                let message = format!("step {}: tables read each other: {}", draft.step.name, names.join(" reads "));
                self.reader.mistake(draft.line, message);
            }
        }
    }
}

fn is_date(column: &str, name: &str) -> bool {
    let mut words = column.split_whitespace();
    words.next() == Some(name) && words.next().is_some_and(|word| word.eq_ignore_ascii_case("date"))
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
