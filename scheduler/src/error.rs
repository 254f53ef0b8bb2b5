//! One place where errors of the layers below become the front door's.

use ballista_core::error::BallistaError;
use bergmill_catalog as catalog;
use bergmill_gateway::{Error, ErrorKind};
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::failed_task::NO_MEMORY;

/// The catalog's error for the client.
pub(crate) fn from_catalog(e: &catalog::Error) -> Error {
    Error::new(kind_of(e.kind()), e.to_string())
}

pub(crate) fn kind_of(kind: catalog::ErrorKind) -> ErrorKind {
    match kind {
        catalog::ErrorKind::Invalid => ErrorKind::InvalidInput,
        catalog::ErrorKind::NotFound => ErrorKind::NotFound,
        catalog::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        catalog::ErrorKind::Conflict => ErrorKind::Conflict,
        catalog::ErrorKind::Unsupported => ErrorKind::Unsupported,
        catalog::ErrorKind::Storage => ErrorKind::Unavailable,
        catalog::ErrorKind::Unknown => ErrorKind::OutcomeUnknown,
        catalog::ErrorKind::Corrupt => ErrorKind::Corrupt,
        catalog::ErrorKind::Internal => ErrorKind::Internal,
    }
}

/// DataFusion's error for the client: the kind of the error of ours that lies inside, if there is one.
pub(crate) fn from_datafusion(e: DataFusionError) -> Error {
    if let Some(told) = Error::find(&e) {
        return told.clone();
    }
    if let Some(inner) = catalog::Error::find(&e) {
        return from_catalog(inner);
    }
    let mut e = e;
    // A constant that cannot be computed is found by a rule of the optimizer, whose name helps nobody.
    while let DataFusionError::Context(doing, inner) = e {
        if !doing.starts_with("Optimizer rule") {
            e = DataFusionError::Context(doing, inner);
            break;
        }
        e = *inner;
    }
    let kind = match e.find_root() {
        DataFusionError::SQL(..) | DataFusionError::Plan(_) => ErrorKind::InvalidInput,
        DataFusionError::SchemaError(schema, _) => match **schema {
            SchemaError::FieldNotFound { .. } => ErrorKind::NotFound,
            _ => ErrorKind::InvalidInput,
        },
        DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
        // Wrong values: a division by zero, a cast that does not fit.
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => ErrorKind::InvalidInput,
        // DataFusion puts what the store said into the text.
        DataFusionError::ParquetError(inner) => kind_of(catalog::storage::kind_of_unread(&inner.to_string())),
        DataFusionError::ResourcesExhausted(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Internal,
    };
    Error::new(kind, e.strip_backtrace())
}

/// Ballista's error for the client.
pub(crate) fn from_ballista(e: BallistaError) -> Error {
    match e {
        BallistaError::DataFusionError(inner) => from_datafusion(*inner),
        BallistaError::Cancelled => Error::new(ErrorKind::Cancelled, "the query was cancelled"),
        other => Error::new(ErrorKind::Internal, other.to_string()),
    }
}

/// Whether a query failed because it would have held more memory than it may.
pub(crate) fn is_out_of_memory(e: &Error) -> bool {
    // A wrong value that holds these words is of another kind.
    e.kind() == ErrorKind::Unavailable && e.to_string().contains(NO_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_the_catalogs_has_one_of_the_front_doors() {
        for (kind, expected) in [
            (catalog::ErrorKind::Invalid, ErrorKind::InvalidInput),
            (catalog::ErrorKind::NotFound, ErrorKind::NotFound),
            (catalog::ErrorKind::AlreadyExists, ErrorKind::AlreadyExists),
            (catalog::ErrorKind::Conflict, ErrorKind::Conflict),
            (catalog::ErrorKind::Unsupported, ErrorKind::Unsupported),
            (catalog::ErrorKind::Storage, ErrorKind::Unavailable),
            (catalog::ErrorKind::Unknown, ErrorKind::OutcomeUnknown),
            (catalog::ErrorKind::Corrupt, ErrorKind::Corrupt),
            (catalog::ErrorKind::Internal, ErrorKind::Internal),
        ] {
            let e = from_datafusion(catalog::Error::new(kind, "x").into());
            assert_eq!((e.kind(), e.to_string().as_str()), (expected, "x"));
        }
    }

    #[test]
    fn memory_is_told_from_a_value_that_speaks_of_it() {
        let full = from_datafusion(DataFusionError::ResourcesExhausted("no more".to_string()));
        assert!(is_out_of_memory(&full), "{full}");
        let value = from_datafusion(DataFusionError::Execution("'Resources exhausted' is no number".to_string()));
        assert!(!is_out_of_memory(&value), "{value}");
    }
}
