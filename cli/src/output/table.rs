//! A table for a terminal: with types, numbers aligned to the right, and no line longer than the terminal.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrow::error::ArrowError;
use console::{measure_text_width, truncate_str};

use super::cells::{cells, in_one_line, is_number};

/// A column is not cut to less than this as long as there are others to cut or to leave out.
const LEAST_WIDTH: usize = 10;
/// Stands for what is left out.
const MORE: &str = "…";

struct Column {
    name: String,
    data_type: String,
    is_number: bool,
    width: usize,
}

/// The rows as a table of at most `width` columns of a terminal.
///
/// Wide columns are cut first. If that is not enough, columns in the middle are left out, which a last line says.
pub fn fitted(schema: &Schema, batches: &[RecordBatch], width: usize) -> Result<String, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend(cells(batch)?);
    }
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let (name, data_type) = (in_one_line(field.name()), type_name(field.data_type()));
        let widest = rows.iter().map(|row| measure_text_width(&row[at])).max().unwrap_or(0);
        let width = widest.max(measure_text_width(&name)).max(measure_text_width(&data_type)).max(1);
        Column { name, data_type, is_number: is_number(field.data_type()), width }
    });
    let mut columns: Vec<Column> = columns.collect();
    let all = columns.len();
    let left_out = fit(&mut columns, width);
    let shown: Vec<usize> = (0..all).filter(|at| !left_out.contains(at)).collect();

    let line = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = parts(&shown, all, |at| "─".repeat(columns[at].width), "─");
        format!("{left}─{}─{right}\n", parts.join(&format!("─{middle}─")))
    };
    let texts = |cell: &dyn Fn(usize) -> (String, bool)| {
        let parts = parts(&shown, all, |at| aligned(&cell(at), columns[at].width), MORE);
        format!("│ {} │\n", parts.join(" │ "))
    };
    let mut text = line("┌", "┬", "┐");
    text += &texts(&|at| (columns[at].name.clone(), false));
    text += &texts(&|at| (columns[at].data_type.clone(), false));
    text += &line("├", "┼", "┤");
    for row in &rows {
        text += &texts(&|at| (row[at].clone(), columns[at].is_number));
    }
    text += &line("└", "┴", "┘");
    if !left_out.is_empty() {
        text += &format!("{} of {all} columns; \\x or --format vertical shows all\n", shown.len());
    }
    Ok(text)
}

/// The parts of a line, with one in place of the columns that are left out.
fn parts(shown: &[usize], all: usize, part: impl Fn(usize) -> String, gap: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut next = 0;
    for at in shown {
        if *at > next {
            parts.push(gap.to_owned());
        }
        parts.push(part(*at));
        next = at + 1;
    }
    if next < all {
        parts.push(gap.to_owned());
    }
    parts
}

/// Narrows columns until a line has at most `width`, and returns those that have to be left out for it.
fn fit(columns: &mut [Column], width: usize) -> std::ops::Range<usize> {
    let all = columns.len();
    // Borders and padding take three for each column and one at the end.
    let total = |columns: &[Column], left_out: &std::ops::Range<usize>| {
        let shown = columns.iter().enumerate().filter(|(at, _)| !left_out.contains(at)).map(|(_, c)| c.width + 3);
        shown.sum::<usize>() + 1 + if left_out.is_empty() { 0 } else { 4 }
    };
    let mut left_out = all / 2..all / 2;
    loop {
        let Some(excess) = total(columns, &left_out).checked_sub(width).filter(|excess| *excess > 0) else {
            return left_out;
        };
        let shown = |at: &usize| !left_out.contains(at);
        let widest = (0..all).filter(shown).max_by_key(|at| columns[*at].width);
        match widest {
            Some(widest) if columns[widest].width > LEAST_WIDTH => {
                let least = columns[widest].width.saturating_sub(excess).max(LEAST_WIDTH);
                // Not below the next widest: columns of the same width are cut alike.
                let next = (0..all).filter(|at| shown(at) && *at != widest).map(|at| columns[at].width).max();
                let step = next.filter(|next| *next < columns[widest].width).unwrap_or(columns[widest].width - 1);
                columns[widest].width = least.max(step);
            }
            // Nothing but its first column fits, or not even that.
            _ if left_out.len() + 1 >= all => return left_out,
            _ if left_out.start > all - left_out.end => left_out.start -= 1,
            _ if left_out.end < all => left_out.end += 1,
            _ => left_out.start -= 1,
        }
    }
}

fn aligned((text, right): &(String, bool), width: usize) -> String {
    let text = truncate_str(text, width, MORE);
    let gap = " ".repeat(width.saturating_sub(measure_text_width(&text)));
    if *right { format!("{gap}{text}") } else { format!("{text}{gap}") }
}

/// The name of a type in SQL, in small letters.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt8 => "utinyint".into(),
        DataType::UInt16 => "usmallint".into(),
        DataType::UInt32 => "uinteger".into(),
        DataType::UInt64 => "ubigint".into(),
        DataType::Float16 => "float16".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".into()
        }
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second => "(0)",
                TimeUnit::Millisecond => "(3)",
                TimeUnit::Microsecond => "",
                TimeUnit::Nanosecond => "(9)",
            };
            format!("timestamp{}{unit}", if zone.is_some() { "tz" } else { "" })
        }
        DataType::Duration(_) | DataType::Interval(_) => "interval".into(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", type_name(item.data_type())),
        DataType::Struct(_) => "struct".into(),
        DataType::Map(..) => "map".into(),
        DataType::Dictionary(_, values) => type_name(values),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
        RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, Arc::clone(column)))).unwrap()
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn table(batch: &RecordBatch, width: usize) -> String {
        let text = fitted(&batch.schema(), std::slice::from_ref(batch), width).unwrap();
        for line in text.lines().filter(|line| !line.contains(" columns; ")) {
            assert!(measure_text_width(line) <= width.max(18), "{line}");
        }
        text
    }

    #[test]
    fn columns_have_types_and_are_aligned() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![5, 1200]));
        let batch = batch(&[("n", ids), ("상품", texts(&[Some("커피"), None]))]);
        let expected = "\
┌────────┬─────────┐
│ n      │ 상품    │
│ bigint │ varchar │
├────────┼─────────┤
│      5 │ 커피    │
│   1200 │ NULL    │
└────────┴─────────┘
";
        assert_eq!(table(&batch, 80), expected);
    }

    #[test]
    fn wide_columns_are_cut_and_then_columns_left_out() {
        let long = texts(&[Some("a text that is too long for the terminal")]);
        let short = texts(&[Some("short")]);
        let wide = batch(&[("a", Arc::clone(&long)), ("b", Arc::clone(&short))]);
        let expected = "\
┌────────────────┬─────────┐
│ a              │ b       │
│ varchar        │ varchar │
├────────────────┼─────────┤
│ a text that i… │ short   │
└────────────────┴─────────┘
";
        assert_eq!(table(&wide, 28), expected);
        let columns: Vec<(String, ArrayRef)> = (0..9).map(|n| (format!("c{n}"), Arc::clone(&long))).collect();
        let columns: Vec<(&str, ArrayRef)> = columns.iter().map(|(n, c)| (n.as_str(), Arc::clone(c))).collect();
        let many = batch(&columns);
        let text = table(&many, 50);
        assert!(text.contains("│ c0") && text.contains("│ c8") && text.contains("│ … │"), "{text}");
        assert!(text.ends_with("3 of 9 columns; \\x or --format vertical shows all\n"), "{text}");
        for width in 0..120 {
            table(&many, width);
        }
    }
}
