//! Texts for error messages: SQL names of types, values cut to a readable length, suggestions for unknown names.

use arrow::datatypes::DataType;
use bergmill_statement::nearest;

/// The longest value in a message, which is enough to recognise it.
const VALUE_CHARS: usize = 80;

/// The type as in CREATE TABLE.
pub(crate) fn sql_type(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Date32 => "DATE".into(),
        DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BINARY".into(),
        DataType::FixedSizeBinary(n) => format!("BINARY({n})"),
        DataType::Struct(_) => "STRUCT".into(),
        DataType::List(_) | DataType::LargeList(_) => "LIST".into(),
        DataType::Map(..) => "MAP".into(),
        other => other.to_string(),
    }
}

/// `a BIGINT`, `an INTEGER`.
pub(crate) fn a_type(ty: &DataType) -> String {
    let name = sql_type(ty);
    let article = if name.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// `text` in quotes, with control characters visible.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text))
}

/// The first characters of `text`.
pub(crate) fn clipped(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `; did you mean price?` if a known name is similar, else an empty text.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|known| format!("; did you mean {known}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested() {
        let known = ["timestamp", "user_id", "price"];
        let check = |name: &str, expected: &str| assert_eq!(did_you_mean(name, known), expected, "{name}");
        check("prise", "; did you mean price?");
        check("Price", "; did you mean price?");
        check("userid", "; did you mean user_id?");
        check("colour", "");
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        let long = "ä".repeat(100);
        assert_eq!(clipped(&long), format!("{}…", "ä".repeat(80)));
    }
}
