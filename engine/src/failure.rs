//! Carries the failure of a task from the executor to the scheduler.
//!
//! Ballista reports the failure of a task as text, in the form of Rust's `Debug`, several layers deep. The scheduler
//! needs a kind and a message, as if the plan had run in its own process, so an executor writes these two into the
//! text, in a form that no message can be mistaken for.

use std::fmt;

use bergmill_catalog::{Error as CatalogError, ErrorKind as CatalogErrorKind};
use bergmill_storage as storage;
use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// Prefix of an encoded failure.
const TAG: &str = "BERGMILL/failure/1:";

/// What can be done about a failure of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The statement or its values are wrong.
    Invalid,
    /// A column or table does not exist.
    NotFound,
    /// DataFusion does not support it.
    Unsupported,
    /// Operators needed more memory than their limit.
    Memory,
    /// Files cannot be reached, or the disk is full.
    Storage,
    /// A file is missing or damaged.
    Corrupt,
    /// The catalog reported an error.
    Catalog(CatalogErrorKind),
    /// A bug, ours or a library's.
    Internal,
}

/// A failure of a plan: its kind and DataFusion's message.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// What went wrong.
    pub message: String,
}

impl Failure {
    /// Classifies an error.
    pub fn of(error: &DataFusionError) -> Self {
        if let Some(catalog) = CatalogError::find(error) {
            return Self { kind: FailureKind::Catalog(catalog.kind()), message: catalog.to_string() };
        }
        let mut error = error;
        loop {
            error = match error {
                // A constant that cannot be computed is found by an optimizer rule, whose name does not help the user.
                DataFusionError::Context(doing, inner) if doing.starts_with("Optimizer rule") => inner,
                DataFusionError::Shared(inner) => inner,
                _ => break,
            };
        }
        match error {
            DataFusionError::ArrowError(inner, _) if !matches!(**inner, ArrowError::ExternalError(_)) => {
                return Self::of_arrow(inner);
            }
            _ => {}
        }
        let (kind, message) = (kind(error), error.strip_backtrace());
        match storage::remedy(&message) {
            Some(remedy) if matches!(kind, FailureKind::Storage | FailureKind::Corrupt) => {
                Self { kind: FailureKind::Storage, message: remedy }
            }
            _ => Self { kind, message },
        }
    }

    /// Classifies an error of Arrow: an invalid value.
    pub fn of_arrow(error: &ArrowError) -> Self {
        let message = match error {
            ArrowError::DivideByZero => "division by zero".to_string(),
            other => format!("Arrow error: {other}"),
        };
        Self { kind: FailureKind::Invalid, message }
    }

    /// Finds the failure encoded in a task's report, if an executor put one there.
    pub fn find(text: &str) -> Option<Self> {
        let encoded = &text[text.find(TAG)? + TAG.len()..];
        let (name, rest) = encoded.split_once(':')?;
        let kind = KINDS.iter().find(|(_, known)| *known == name)?.0;
        let digits = rest.split(':').next()?;
        let digit = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let bytes = (0..digits.len()).step_by(2).map(digit).collect::<Option<Vec<u8>>>()?;
        Some(Self { kind, message: String::from_utf8(bytes).ok()? })
    }
}

/// The encoded form: Ballista reports errors by `Debug`.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("internal", |(_, name)| name);
        write!(f, "{TAG}{name}:")?;
        self.message.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(":")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Kinds and their encoded names.
const KINDS: [(FailureKind, &str); 17] = [
    (FailureKind::Invalid, "invalid"),
    (FailureKind::NotFound, "not-found"),
    (FailureKind::Unsupported, "unsupported"),
    (FailureKind::Memory, "memory"),
    (FailureKind::Storage, "storage"),
    (FailureKind::Corrupt, "corrupt"),
    (FailureKind::Internal, "internal"),
    (FailureKind::Catalog(CatalogErrorKind::Invalid), "catalog-invalid"),
    (FailureKind::Catalog(CatalogErrorKind::NotFound), "catalog-not-found"),
    (FailureKind::Catalog(CatalogErrorKind::AlreadyExists), "catalog-already-exists"),
    (FailureKind::Catalog(CatalogErrorKind::Forbidden), "catalog-forbidden"),
    (FailureKind::Catalog(CatalogErrorKind::Conflict), "catalog-conflict"),
    (FailureKind::Catalog(CatalogErrorKind::Unsupported), "catalog-unsupported"),
    (FailureKind::Catalog(CatalogErrorKind::Storage), "catalog-storage"),
    (FailureKind::Catalog(CatalogErrorKind::Unknown), "catalog-unknown"),
    (FailureKind::Catalog(CatalogErrorKind::Corrupt), "catalog-corrupt"),
    (FailureKind::Catalog(CatalogErrorKind::Internal), "catalog-internal"),
];

fn kind(error: &DataFusionError) -> FailureKind {
    match error.find_root() {
        DataFusionError::SQL(..) | DataFusionError::Plan(_) => FailureKind::Invalid,
        DataFusionError::SchemaError(schema, _) => match **schema {
            SchemaError::FieldNotFound { .. } => FailureKind::NotFound,
            _ => FailureKind::Invalid,
        },
        DataFusionError::NotImplemented(_) => FailureKind::Unsupported,
        // Invalid values: a division by zero, a cast that overflows.
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => FailureKind::Invalid,
        // DataFusion keeps only the text of the store's error.
        DataFusionError::ParquetError(inner) => match storage::kind_of_unread(&inner.to_string()) {
            storage::ErrorKind::Unavailable => FailureKind::Storage,
            _ => FailureKind::Corrupt,
        },
        DataFusionError::ResourcesExhausted(_) => FailureKind::Memory,
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => FailureKind::Storage,
        _ => FailureKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_failure_arrives_whatever_its_message_says() {
        let cast = ArrowError::CastError("Cannot cast string '\"No space left': 가\\n' to Int32".to_string());
        let error = DataFusionError::Shared(Arc::new(DataFusionError::ArrowError(Box::new(cast), None)));
        let failure = Failure::of(&error);
        assert_eq!(failure.kind, FailureKind::Invalid);
        let text = format!("Task failed: DataFusionError({:?})", DataFusionError::External(Box::new(failure.clone())));
        assert_eq!(Failure::find(&text), Some(failure));
        assert_eq!(Failure::find("Task failed: BERGMILL/failure/1:invalid:4"), None);
        assert_eq!(Failure::find("Task failed"), None);
    }

    #[test]
    fn every_kind_arrives() {
        for (kind, _) in KINDS {
            let failure = Failure { kind, message: String::new() };
            assert_eq!(Failure::find(&format!("{failure:?}")), Some(failure));
        }
    }
}
