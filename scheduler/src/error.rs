//! One place where errors of the layers below become the front door's.

use ballista_core::error::BallistaError;
use bergmill_catalog as catalog;
use bergmill_gateway::{Error, ErrorKind};
use datafusion::common::SchemaError;
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
        catalog::ErrorKind::Storage | catalog::ErrorKind::Unknown => ErrorKind::Unavailable,
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

/// What DataFusion says, in both of its forms, when its operators may hold no more.
const NO_MEMORY: [&str; 2] = ["Resources exhausted", "ResourcesExhausted"];

/// Whether a query failed because it would have held more memory than it may.
pub(crate) fn is_out_of_memory(e: &Error) -> bool {
    let text = e.to_string();
    NO_MEMORY.iter().any(|said| text.contains(said))
}

/// What a failed query said, as an error for the client. Ballista reports the failure of a task as text only, in part in
/// the form of Rust's `Debug`.
pub(crate) fn from_failed_query(id: &str, text: &str) -> Error {
    let text = text.trim();
    if text.contains("DivideByZero") {
        return Error::new(ErrorKind::InvalidInput, format!("division by zero (query {id})"));
    }
    let wrong_value = ["ArrowError(CastError", "Cast error", "ArithmeticOverflow", "Overflow", "InvalidArgumentError"];
    let no_disk = ["No space left", "StorageFull"];
    let any = |of: &[&str]| of.iter().any(|part| text.contains(part));
    if let Some(remedy) = catalog::storage::remedy(text) {
        return Error::new(ErrorKind::Unavailable, format!("query {id} failed on an executor: {remedy}"));
    }
    let kind = match () {
        () if any(&["Parquet error", "ParquetError"]) => kind_of(catalog::storage::kind_of_unread(text)),
        () if any(&["Object Store error", "Generic S3 error"]) => ErrorKind::Unavailable,
        () if any(&NO_MEMORY) || any(&no_disk) => ErrorKind::Unavailable,
        () if any(&wrong_value) || text.contains("kind: Invalid") => ErrorKind::InvalidInput,
        // Ballista has tried again as often as it does: what a task was to read was lost each time, or the task itself.
        () if any(&[" times, most recent failure reason: ", " times, fail the stage, most recent"]) => {
            ErrorKind::Unavailable
        }
        () => ErrorKind::Internal,
    };
    Error::new(kind, format!("query {id} failed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_storage_refused_says_what_to_do() {
        let text = "Task failed: ParquetError(\"Object Store error: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                    <Message>no match</Message></Error>\")";
        let e = from_failed_query("q1", text);
        assert_eq!(e.kind(), ErrorKind::Unavailable);
        assert!(e.to_string().contains("q1 failed on an executor: the secret access key is not that"), "{e}");
        for text in [
            "Generic S3 error: connection refused",
            "Job failed due to stage 2 failed: Stage 2 has failed 4 times, most recent failure reason: \"FetchFailed\"",
        ] {
            assert_eq!(from_failed_query("q1", text).kind(), ErrorKind::Unavailable, "{text}");
        }
    }
}
