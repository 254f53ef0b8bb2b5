//! `not found` errors, which suggest what the user may have meant.

use bergmill_statement::nearest;
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
