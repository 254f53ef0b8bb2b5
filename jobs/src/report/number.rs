//! Formats numbers for display.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// Names of the formats, which are also template filters.
pub(crate) const FORMATS: [&str; 5] = ["text", "int", "money", "percent", "ratio"];

/// Formats a value; NULL is a dash, to distinguish it from zero.
pub(crate) fn format(value: &Value, format: &str) -> Result<String, Error> {
    if value.is_none() {
        return Ok("-".to_owned());
    }
    if format == "text" || value.kind() != ValueKind::Number {
        return Ok(value.to_string());
    }
    let number = f64::try_from(value.clone())?;
    match format {
        "int" => Ok(grouped(number, 0)),
        "money" => Ok(grouped(number, 2)),
        "ratio" => Ok(grouped(number, 3)),
        "percent" => Ok(format!("{}%", grouped(number * 100.0, 2))),
        _ => Err(Error::new(ErrorKind::InvalidOperation, format!("there is no format {format}"))),
    }
}

/// The default format of a value.
pub(crate) fn natural(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "ratio",
        _ => "text",
    }
}

/// Formats a number with thousands separators.
pub(crate) fn grouped(number: f64, decimals: usize) -> String {
    let plain = format!("{:.decimals$}", number.abs());
    let (whole, fraction) = plain.split_once('.').map_or((plain.as_str(), None), |(whole, f)| (whole, Some(f)));
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let zero = plain.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if number < 0.0 && !zero { "-" } else { "" };
    match fraction {
        Some(fraction) => format!("{sign}{text}.{fraction}"),
        None => format!("{sign}{text}"),
    }
}

/// A short form for the ticks of an axis: 1.5k, 20M.
pub(crate) fn short(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, "G"),
        n if n >= 1e6 => (number / 1e6, "M"),
        n if n >= 1e3 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let text = format!("{scaled:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted() {
        assert_eq!(grouped(1234567.0, 0), "1,234,567");
        assert_eq!(grouped(-1234.5, 2), "-1,234.50");
        assert_eq!(grouped(-0.001, 2), "0.00");
        assert_eq!(grouped(999.0, 0), "999");
        assert_eq!(format(&Value::from(0.0666), "percent").unwrap(), "6.66%");
        assert_eq!(format(&Value::from(()), "money").unwrap(), "-");
        assert_eq!(format(&Value::from("p001"), "money").unwrap(), "p001");
        assert_eq!((short(1500.0), short(20e6), short(0.25)), ("1.5k".into(), "20M".into(), "0.25".into()));
    }
}
