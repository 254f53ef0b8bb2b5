//! One place where errors of the layers below become the front door's.

use ballista_core::error::BallistaError;
use bergmill_catalog as catalog;
use bergmill_engine::{Failure, FailureKind};
use bergmill_gateway::{Error, ErrorKind};
use datafusion::error::DataFusionError;

/// The catalog's error for the client.
pub(crate) fn from_catalog(e: &catalog::Error) -> Error {
    Error::new(kind_of(e.kind()), e.to_string())
}

fn kind_of(kind: catalog::ErrorKind) -> ErrorKind {
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
    match Error::find(&e) {
        Some(ours) => ours.clone(),
        None => from_failure(Failure::of(&e)),
    }
}

/// The failure of a plan for the client, wherever the plan ran.
pub(crate) fn from_failure(failure: Failure) -> Error {
    let kind = match failure.kind {
        FailureKind::Invalid => ErrorKind::InvalidInput,
        FailureKind::NotFound => ErrorKind::NotFound,
        FailureKind::Unsupported => ErrorKind::Unsupported,
        FailureKind::Memory | FailureKind::Storage => ErrorKind::Unavailable,
        FailureKind::Corrupt => ErrorKind::Corrupt,
        FailureKind::Catalog(kind) => kind_of(kind),
        FailureKind::Internal => ErrorKind::Internal,
    };
    Error::new(kind, failure.message)
}

/// Ballista's error for the client.
pub(crate) fn from_ballista(e: BallistaError) -> Error {
    match e {
        BallistaError::DataFusionError(inner) => from_datafusion(*inner),
        BallistaError::Cancelled => Error::new(ErrorKind::Cancelled, "the query was cancelled"),
        other => Error::new(ErrorKind::Internal, other.to_string()),
    }
}

/// What DataFusion says when its operators may hold no more memory.
const NO_MEMORY: &str = "Resources exhausted";

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
