//! Rows as a table: aligned text, Markdown or HTML from the same column list.
//!
//! A column is specified as `key:Title:format`; title and format are optional. The format `bar` draws a number as a bar
//! relative to the column's maximum, which also works in a terminal.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, HtmlEscape, Value};

use super::{Format, number};

/// Width of the longest bar, in characters.
const BAR: f64 = 30.0;

struct Column<'c> {
    title: &'c str,
    right: bool,
    cells: Vec<String>,
}

/// Renders the rows.
pub(crate) fn draw(rows: &Value, specs: &[String], format: Format) -> Result<String, Error> {
    let rows: Vec<Value> = rows.try_iter()?.collect();
    let columns = specs.iter().map(|spec| column(&rows, spec)).collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() {
        return Ok(match format {
            Format::Text => "  (no rows)\n".to_owned(),
            Format::Markdown => "*no rows*\n".to_owned(),
            Format::Html => "<p class=\"empty\">no rows</p>".to_owned(),
        });
    }
    Ok(match format {
        Format::Text => text(&columns, rows.len()),
        Format::Markdown => markdown(&columns, rows.len()),
        Format::Html => html(&columns, rows.len()),
    })
}

fn column<'c>(rows: &[Value], spec: &'c str) -> Result<Column<'c>, Error> {
    let mut parts = spec.splitn(3, ':');
    let key = parts.next().unwrap_or_default();
    let title = parts.next().unwrap_or(key);
    let format = parts.next();
    let values = rows.iter().map(|row| field(row, key)).collect::<Result<Vec<_>, _>>()?;
    if format == Some("bar") {
        return Ok(Column { title, right: false, cells: bars(&values) });
    }
    let write = |value: &Value| number::format(value, format.unwrap_or_else(|| number::natural(value)));
    let cells = values.iter().map(write).collect::<Result<Vec<_>, _>>()?;
    let right = format != Some("text") && values.iter().any(|value| value.kind() == ValueKind::Number);
    Ok(Column { title, right, cells })
}

/// A field that must exist, so that a misspelled key is an error and not an empty column.
pub(crate) fn field(row: &Value, key: &str) -> Result<Value, Error> {
    let value = row.get_attr(key)?;
    let missing = || Error::new(ErrorKind::UndefinedError, format!("the rows have no column {key}"));
    if value.is_undefined() { Err(missing()) } else { Ok(value) }
}

fn bars(values: &[Value]) -> Vec<String> {
    let numbers: Vec<f64> = values.iter().map(|value| f64::try_from(value.clone()).unwrap_or(0.0).max(0.0)).collect();
    let most = numbers.iter().copied().fold(0.0, f64::max);
    let bar = |number: &f64| {
        let eighths = if most > 0.0 { (number / most * BAR * 8.0).round() as usize } else { 0 };
        let last = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        format!("{}{last}", "█".repeat(eighths / 8))
    };
    numbers.iter().map(bar).collect()
}

fn text(columns: &[Column], rows: usize) -> String {
    let widest = |column: &Column| column.cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(|column| widest(column).max(width(column.title))).collect();
    let line = |cell: &dyn Fn(&Column) -> String| {
        let mut line = String::new();
        for (column, wide) in columns.iter().zip(&widths) {
            let cell = cell(column);
            let space = " ".repeat(wide - width(&cell));
            line += "  ";
            line += &if column.right { format!("{space}{cell}") } else { format!("{cell}{space}") };
        }
        format!("{}\n", line.trim_end())
    };
    let mut drawn = line(&|column| column.title.to_owned());
    let rules: Vec<String> = widths.iter().map(|wide| "-".repeat(*wide)).collect();
    drawn += &format!("  {}\n", rules.join("  "));
    for row in 0..rows {
        drawn += &line(&|column| column.cells[row].clone());
    }
    drawn
}

fn markdown(columns: &[Column], rows: usize) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut drawn = line(columns.iter().map(|column| column.title.to_owned()).collect());
    drawn += &line(columns.iter().map(|column| if column.right { "---:" } else { "---" }.to_owned()).collect());
    for row in 0..rows {
        let safe =
            |cell: &str| cell.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;");
        drawn += &line(columns.iter().map(|column| safe(&column.cells[row])).collect());
    }
    drawn
}

fn html(columns: &[Column], rows: usize) -> String {
    let cell = |tag: &str, column: &Column, text: &str| {
        let class = if column.right { " class=\"number\"" } else { "" };
        format!("<{tag}{class}>{}</{tag}>", HtmlEscape(text))
    };
    let mut drawn = String::from("<table>\n<thead><tr>");
    for column in columns {
        drawn += &cell("th", column, column.title);
    }
    drawn += "</tr></thead>\n<tbody>\n";
    for row in 0..rows {
        drawn += "<tr>";
        for column in columns {
            drawn += &cell("td", column, &column.cells[row]);
        }
        drawn += "</tr>\n";
    }
    drawn + "</tbody>\n</table>"
}

/// Display width of a text in a terminal: Hangul, Han and kana take two columns each.
fn width(text: &str) -> usize {
    let wide = |c: char| {
        matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
            | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff)
    };
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}
