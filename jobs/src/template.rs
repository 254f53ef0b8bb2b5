//! SQL templates: minijinja whose `{{ value }}` writes a SQL literal.
//!
//! A string is written quoted and escaped, a number as a number, none as NULL; a list or table is an error. So no
//! parameter, word of a lexicon or date can become SQL by accident, without any care by the template's author. An
//! undefined name is an error, not an empty string.

use chrono::{DateTime, Days, Utc};
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

use crate::error::Mistake;
use crate::interval::Interval;

/// Names defined in every template, which no parameter or data file may have.
pub(crate) const BUILT_IN: [&str; 5] = ["date", "start", "end", "days_before", "days_ahead"];

/// Values for templates: the interval, the clock, and the pipeline's parameters and data by name.
pub(crate) struct Values {
    context: Value,
}

impl Values {
    /// `now` is the time of the run; it is an argument so that a run can be repeated exactly.
    pub(crate) fn new(interval: Interval, now: DateTime<Utc>, parameters: &toml::Table, data: &toml::Table) -> Self {
        let days_before = Value::from_function(move |days: u64| -> Result<Value, Error> {
            let too_far =
                || Error::new(ErrorKind::InvalidOperation, format!("{days} days before {interval} is no date"));
            interval.start().checked_sub_days(Days::new(days)).map(timestamp).ok_or_else(too_far)
        });
        // A late run of a day must not treat rows of later days as in the future, nor an early run the day's own rows.
        let latest = now.max(interval.end());
        let days_ahead = Value::from_function(move |days: u64| -> Result<Value, Error> {
            let too_far = || Error::new(ErrorKind::InvalidOperation, format!("{days} days from now is no date"));
            latest.checked_add_days(Days::new(days)).map(timestamp).ok_or_else(too_far)
        });
        let built_in = context! {
            date => Value::from_safe_string(format!("DATE '{interval}'")),
            start => timestamp(interval.start()),
            end => timestamp(interval.end()),
            days_before,
            days_ahead,
        };
        let given = Value::from_serialize(parameters);
        let data = Value::from_serialize(data);
        Self { context: context! { ..built_in, ..given, ..data } }
    }
}

fn timestamp(at: DateTime<Utc>) -> Value {
    Value::from_safe_string(format!("TIMESTAMP '{}'", at.format("%Y-%m-%dT%H:%M:%SZ")))
}

/// Renders a template; `file` is its name in a mistake.
pub(crate) fn fill(file: &str, template: &str, values: &Values) -> Result<String, Mistake> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    // Neither Html nor None: the output of a macro or captured block is SQL already and must not be quoted again.
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("sql"));
    environment.set_formatter(|out, state, value| {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        let _ = state;
        out.write_str(&literal(value)?).map_err(Error::from)
    });
    environment.render_named_str(file, template, &values.context).map_err(|error| mistake(file, &error))
}

fn literal(value: &Value) -> Result<String, Error> {
    let unfit = |what: &str| Error::new(ErrorKind::InvalidOperation, format!("{what} cannot be written as SQL"));
    match value.kind() {
        _ if value.is_safe() => Ok(value.to_string()),
        ValueKind::None => Ok("NULL".to_owned()),
        ValueKind::Bool => Ok(if value.is_true() { "TRUE" } else { "FALSE" }.to_owned()),
        ValueKind::Number if f64::try_from(value.clone()).is_ok_and(f64::is_finite) => Ok(value.to_string()),
        ValueKind::String => match value.as_str() {
            Some(text) if !text.contains('\0') => Ok(format!("'{}'", text.replace('\'', "''"))),
            _ => Err(unfit("text with a zero byte")),
        },
        kind => Err(unfit(&format!("a {kind}"))),
    }
}

/// A template's error as a mistake in its file.
pub(crate) fn mistake(file: &str, error: &Error) -> Mistake {
    let message = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    Mistake { file: file.to_owned(), line: error.line(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_with(template: &str, parameters: &str) -> Result<String, String> {
        let interval: Interval = "2026-02-14".parse().unwrap();
        let parameters: toml::Table = parameters.parse().unwrap();
        let values = Values::new(interval, interval.end(), &parameters, &toml::Table::new());
        fill("a.sql", template, &values).map_err(|mistake| mistake.to_string())
    }

    fn check(template: &str, parameters: &str, expected: &str) {
        assert_eq!(fill_with(template, parameters).unwrap(), expected);
    }

    #[test]
    fn values_become_literals() {
        check("{{ date }} {{ start }}", "", "DATE '2026-02-14' TIMESTAMP '2026-02-14T00:00:00Z'");
        check(
            "{{ end }} {{ days_before(30) }}",
            "",
            "TIMESTAMP '2026-02-15T00:00:00Z' TIMESTAMP '2026-01-15T00:00:00Z'",
        );
        check("{{ p }}", "p = \"it's '; DROP\"", "'it''s ''; DROP'");
        check("{{ p }}", "p = 0.01", "0.01");
        check("{{ p }} {{ p + 1 }}", "p = 30", "30 31");
        check("{{ p }} {{ none }}", "p = true", "TRUE NULL");
        check("{{ p.a | default(none) }}", "p = {}", "NULL");
    }

    #[test]
    fn constants_of_the_template_are_values_too() {
        check(
            "{% for w in p %}{{ w }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "p = [\"a\", \"b\"]",
            "'a', 'b'",
        );
    }

    #[test]
    fn the_output_of_a_macro_is_sql() {
        check("{% macro m(w) %}contains(x, {{ w }}){% endmacro %}{{ m(p) }}", "p = \"a'b\"", "contains(x, 'a''b')");
    }

    #[test]
    fn unfit_values_are_refused() {
        for (template, parameters, expected) in [
            ("\n{{ lookback }}", "", "a.sql:2: undefined value"),
            ("{{ p }}", "p = [1]", "a.sql:1: a sequence cannot be written as SQL"),
            ("{{ p }}", "p = inf", "a.sql:1: a number cannot be written as SQL"),
            ("{{ days_before(99999999) }}", "", "a.sql:1: 99999999 days before 2026-02-14 is no date"),
        ] {
            assert_eq!(fill_with(template, parameters).unwrap_err(), expected, "{template}");
        }
    }
}
