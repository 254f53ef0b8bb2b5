//! `not found` errors, which say what the user may have meant.

use datafusion::common::utils::datafusion_strsim::levenshtein;
use iceberg::{NamespaceIdent, TableIdent};

use crate::error::{Error, ErrorKind};

pub(crate) fn namespace(namespace: &NamespaceIdent, known: &[NamespaceIdent]) -> Error {
    not_found("namespace", &namespace.to_string(), known.iter().map(ToString::to_string))
}

pub(crate) fn table(table: &TableIdent, known: &[TableIdent]) -> Error {
    not_found("table", &table.to_string(), known.iter().map(ToString::to_string))
}

pub(crate) fn view(view: &TableIdent, known: &[TableIdent]) -> Error {
    not_found("view", &view.to_string(), known.iter().map(ToString::to_string))
}

fn not_found(what: &str, name: &str, known: impl Iterator<Item = String>) -> Error {
    let hint = match nearest(name, known) {
        Some(known) => format!("; did you mean {known}?"),
        None => String::new(),
    };
    Error::new(ErrorKind::NotFound, format!("{what} {name} not found{hint}"))
}

/// The known name that `name` is likely a misspelling of.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let lower = name.to_lowercase();
    let tolerated = 1 + name.chars().count() / 3;
    known
        .map(|k| (levenshtein(&lower, &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= tolerated)
        .min()
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_when_it_is_near() {
        let known = ["raw.events", "raw.reviews", "processed.events"];
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(nearest(name, known.iter().map(ToString::to_string)).as_deref(), expected, "{name}");
        };
        check("raw.evnts", Some("raw.events"));
        check("RAW.EVENTS", Some("raw.events"));
        check("processd.event", Some("processed.events"));
        check("raw.x", None);
        check("nothing.like.it", None);
    }
}
