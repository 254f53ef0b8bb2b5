//! Reports: queries over the tables, and templates that render their results as text, Markdown and HTML.
//!
//! A template has each query's rows under the query's name, the `date` and the `pipeline`, and the function
//! `table(...)`, which renders for the template's format; HTML templates also have charts as inline SVG. Files are
//! self-contained: no script, font or image is fetched. The queries run after the commit, so a report shows the
//! committed tables.

mod chart;
mod number;
mod rows;
mod table;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use minijinja::value::{Kwargs, Rest};
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use crate::error::{JobError, Mistake};
use crate::files::write_atomically;
use crate::interval::Interval;
use crate::template;

/// The queries and templates of a step's report.
#[derive(Debug, Clone)]
pub struct ReportDefinition {
    pub(crate) templates: Vec<ReportTemplate>,
    pub(crate) queries: Vec<ReportQuery>,
}

#[derive(Debug, Clone)]
pub(crate) struct ReportTemplate {
    pub(crate) format: Format,
    pub(crate) file: String,
    pub(crate) source: String,
}

#[derive(Debug, Clone)]
pub(crate) struct ReportQuery {
    pub(crate) name: String,
    pub(crate) sql: String,
}

/// The format of a report's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For the terminal.
    Text,
    /// For a wiki or a ticket.
    Markdown,
    /// For a browser, with charts.
    Html,
}

/// A report that was written.
#[derive(Debug, Clone)]
pub struct Report {
    /// The text form, for the terminal; empty when the definition has none.
    pub text: String,
    /// Its files, one per format.
    pub files: Vec<PathBuf>,
}

/// The name and rows of each query.
pub(crate) type Answers = [(String, Vec<RecordBatch>)];

impl ReportDefinition {
    /// Renders all formats, then writes them; if a template fails, the files of an earlier run are unchanged.
    pub(crate) async fn write(
        &self,
        pipeline: &str,
        interval: Interval,
        answers: &Answers,
        folder: &Path,
    ) -> Result<Report, JobError> {
        let failed = |mistake| JobError::Template { pipeline: pipeline.to_owned(), mistake };
        let context = context(pipeline, interval, answers);
        let mut laid_out = Vec::new();
        for template in &self.templates {
            laid_out.push((template.format, lay_out(template, &context).map_err(failed)?));
        }
        let mut report = Report { text: String::new(), files: Vec::new() };
        for (format, text) in laid_out {
            let path = folder.join(format.file_name());
            write_atomically(&path, text.as_bytes()).await?;
            report.files.push(path);
            if format == Format::Text {
                report.text = text;
            }
        }
        Ok(report)
    }
}

impl Format {
    fn file_name(self) -> &'static str {
        match self {
            Self::Text => "report.txt",
            Self::Markdown => "report.md",
            Self::Html => "report.html",
        }
    }
}

fn context(pipeline: &str, interval: Interval, answers: &Answers) -> Value {
    let fixed = [("pipeline", Value::from(pipeline)), ("date", Value::from(interval.to_string()))];
    let rows = answers.iter().map(|(name, batches)| (name.as_str(), rows::values(batches)));
    Value::from_iter(fixed.into_iter().chain(rows))
}

fn lay_out(template: &ReportTemplate, context: &Value) -> Result<String, Mistake> {
    let environment = environment(template.format);
    let text = environment.render_named_str(&template.file, &template.source, context);
    text.map_err(|error| template::mistake(&template.file, &error))
}

/// Checks the template's syntax; errors in its use of rows are only found when it is rendered.
pub(crate) fn check_template(file: &str, source: &str) -> Result<(), Mistake> {
    let environment = environment(Format::Text);
    let read = environment.template_from_named_str(file, source).map(drop);
    read.map_err(|error| template::mistake(file, &error))
}

fn environment(format: Format) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    let escape = if format == Format::Html { AutoEscape::Html } else { AutoEscape::None };
    environment.set_auto_escape_callback(move |_| escape);
    for name in number::FORMATS {
        environment.add_filter(name, move |value: &Value| number::format(value, name));
    }
    environment.add_function("table", move |rows: Value, columns: Rest<String>| {
        table::draw(&rows, &columns, format).map(Value::from_safe_string)
    });
    type Chart = fn(&Value, &Kwargs) -> Result<String, Error>;
    let charts: [(&str, Chart); 3] =
        [("column_chart", chart::columns), ("bar_chart", chart::bars), ("funnel_chart", chart::funnel)];
    for (name, chart) in charts {
        environment.add_function(name, move |rows: Value, options: Kwargs| {
            let svg = chart(&rows, &options)?;
            options.assert_all_used()?;
            Ok::<_, Error>(Value::from_safe_string(svg))
        });
    }
    environment
}

#[cfg(test)]
#[path = "report/tests.rs"]
mod tests;
