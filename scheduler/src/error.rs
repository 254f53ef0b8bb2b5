//! The scheduler's error: a kind that says what the caller can do, and the complete message, including causes.
//!
//! `From` implementations convert the errors of all lower layers to this one, so that `?` works, and this one to the
//! gateway's, which `impl Backend` needs.

use std::fmt;

use ballista_core::error::BallistaError;
use bergmill_access as access;
use bergmill_catalog as catalog;
use bergmill_engine::{Failure, FailureKind};
use bergmill_gateway as gateway;
use bergmill_statement as statement;
use datafusion::error::DataFusionError;

/// Result of the scheduler crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The statement or its values are wrong: correct them.
    InvalidInput,
    /// A table, namespace or column does not exist.
    NotFound,
    /// Something of that name already exists.
    AlreadyExists,
    /// A concurrent commit changed what the statement relied on: run it again.
    Conflict,
    /// DataFusion or this release does not support it: write the statement differently.
    Unsupported,
    /// Operators needed more memory than their limit: run the query in smaller parts, or with more memory.
    Memory,
    /// Executors, storage or the catalog do not respond: try again later.
    Unavailable,
    /// The commit state is unknown: check it before running the statement again.
    OutcomeUnknown,
    /// The credentials are missing or not valid, or too many were wrong: log in again.
    Unauthenticated,
    /// The user may not do that: ask an administrator.
    Forbidden,
    /// The query was cancelled.
    Cancelled,
    /// A file of a table is missing or damaged: restore it, or roll the table back.
    Corrupt,
    /// A bug in Bergmill or in a library.
    Internal,
}

impl ErrorKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 13] = [
        Self::InvalidInput,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::Unsupported,
        Self::Memory,
        Self::Unavailable,
        Self::OutcomeUnknown,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Cancelled,
        Self::Corrupt,
        Self::Internal,
    ];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::Memory => "memory",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Cancelled => "cancelled",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

/// An error of the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of `kind` with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The scheduler's error inside a DataFusion error, if there is one: kinds survive plans and streams.
    pub(crate) fn find(error: &DataFusionError) -> Option<&Self> {
        cause(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The first error of type `E` among `error` and its causes.
fn cause<E: std::error::Error + 'static>(error: &DataFusionError) -> Option<&E> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        next = current.source();
    }
    None
}

impl From<catalog::Error> for Error {
    fn from(e: catalog::Error) -> Self {
        Self::new(e.kind().into(), e.to_string())
    }
}

impl From<catalog::ErrorKind> for ErrorKind {
    fn from(kind: catalog::ErrorKind) -> Self {
        match kind {
            catalog::ErrorKind::Invalid => Self::InvalidInput,
            catalog::ErrorKind::NotFound => Self::NotFound,
            catalog::ErrorKind::AlreadyExists => Self::AlreadyExists,
            catalog::ErrorKind::Forbidden => Self::Forbidden,
            catalog::ErrorKind::Conflict => Self::Conflict,
            catalog::ErrorKind::Unsupported => Self::Unsupported,
            catalog::ErrorKind::Storage => Self::Unavailable,
            catalog::ErrorKind::Unknown => Self::OutcomeUnknown,
            catalog::ErrorKind::Corrupt => Self::Corrupt,
            catalog::ErrorKind::Internal => Self::Internal,
        }
    }
}

/// An error of parsing a statement.
impl From<statement::Error> for Error {
    fn from(e: statement::Error) -> Self {
        let kind = match e.kind() {
            statement::ErrorKind::Invalid => ErrorKind::InvalidInput,
            statement::ErrorKind::NotFound => ErrorKind::NotFound,
            statement::ErrorKind::Unsupported => ErrorKind::Unsupported,
        };
        Self::new(kind, e.to_string())
    }
}

/// The failure of a plan, wherever the plan ran.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::Invalid => ErrorKind::InvalidInput,
            FailureKind::NotFound => ErrorKind::NotFound,
            FailureKind::Unsupported => ErrorKind::Unsupported,
            FailureKind::Memory => ErrorKind::Memory,
            FailureKind::Storage => ErrorKind::Unavailable,
            FailureKind::Corrupt => ErrorKind::Corrupt,
            FailureKind::Catalog(kind) => kind.into(),
            FailureKind::Internal => ErrorKind::Internal,
        };
        Self::new(kind, failure.message)
    }
}

/// An error of planning or of running a plan: the error of ours that it wraps, if any, or else DataFusion's.
impl From<DataFusionError> for Error {
    fn from(e: DataFusionError) -> Self {
        if let Some(ours) = Self::find(&e) {
            return ours.clone();
        }
        // Rows sent by a client have the gateway's errors.
        match cause::<gateway::Error>(&e) {
            Some(theirs) => Self::new(theirs.kind().into(), theirs.to_string()),
            None => Failure::of(&e).into(),
        }
    }
}

impl From<access::Error> for Error {
    fn from(e: access::Error) -> Self {
        let kind = match e.kind() {
            access::ErrorKind::Unauthenticated | access::ErrorKind::Throttled => ErrorKind::Unauthenticated,
            access::ErrorKind::Invalid => ErrorKind::InvalidInput,
            access::ErrorKind::NotFound => ErrorKind::NotFound,
            access::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            access::ErrorKind::Store => ErrorKind::Unavailable,
        };
        Self::new(kind, e.to_string())
    }
}

impl From<gateway::ErrorKind> for ErrorKind {
    fn from(kind: gateway::ErrorKind) -> Self {
        match kind {
            gateway::ErrorKind::InvalidInput => Self::InvalidInput,
            gateway::ErrorKind::NotFound => Self::NotFound,
            gateway::ErrorKind::AlreadyExists => Self::AlreadyExists,
            gateway::ErrorKind::Conflict => Self::Conflict,
            gateway::ErrorKind::Unavailable => Self::Unavailable,
            gateway::ErrorKind::OutcomeUnknown => Self::OutcomeUnknown,
            gateway::ErrorKind::Unauthenticated => Self::Unauthenticated,
            gateway::ErrorKind::Forbidden => Self::Forbidden,
            gateway::ErrorKind::Cancelled => Self::Cancelled,
            gateway::ErrorKind::Unsupported => Self::Unsupported,
            gateway::ErrorKind::Corrupt => Self::Corrupt,
            gateway::ErrorKind::Internal => Self::Internal,
        }
    }
}

impl From<BallistaError> for Error {
    fn from(e: BallistaError) -> Self {
        match e {
            BallistaError::DataFusionError(inner) => (*inner).into(),
            BallistaError::Cancelled => Self::new(ErrorKind::Cancelled, "the query was cancelled"),
            other => Self::new(ErrorKind::Internal, other.to_string()),
        }
    }
}

/// For streams of rows, which have DataFusion's errors.
impl From<Error> for DataFusionError {
    fn from(e: Error) -> Self {
        Self::External(Box::new(e))
    }
}

/// The error for clients.
impl From<Error> for gateway::Error {
    fn from(e: Error) -> Self {
        let kind = match e.kind {
            ErrorKind::InvalidInput => gateway::ErrorKind::InvalidInput,
            ErrorKind::NotFound => gateway::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => gateway::ErrorKind::AlreadyExists,
            ErrorKind::Conflict => gateway::ErrorKind::Conflict,
            ErrorKind::Unsupported => gateway::ErrorKind::Unsupported,
            ErrorKind::Memory | ErrorKind::Unavailable => gateway::ErrorKind::Unavailable,
            ErrorKind::OutcomeUnknown => gateway::ErrorKind::OutcomeUnknown,
            ErrorKind::Unauthenticated => gateway::ErrorKind::Unauthenticated,
            ErrorKind::Forbidden => gateway::ErrorKind::Forbidden,
            ErrorKind::Cancelled => gateway::ErrorKind::Cancelled,
            ErrorKind::Corrupt => gateway::ErrorKind::Corrupt,
            ErrorKind::Internal => gateway::ErrorKind::Internal,
        };
        Self::new(kind, e.message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Checks the kind and message of `e` here, and its kind for clients.
    fn check(e: impl Into<Error>, kind: ErrorKind, for_clients: gateway::ErrorKind, message: &str) {
        let ours = e.into();
        let theirs = gateway::Error::from(ours.clone());
        assert_eq!((ours.kind(), ours.to_string().as_str()), (kind, message));
        assert_eq!((theirs.kind(), theirs.to_string().as_str()), (for_clients, message));
    }

    #[test]
    fn each_kind_of_catalog_error_maps_to_ours_and_to_the_clients() {
        use gateway::ErrorKind as Gateway;
        for (kind, ours, theirs) in [
            (catalog::ErrorKind::Invalid, ErrorKind::InvalidInput, Gateway::InvalidInput),
            (catalog::ErrorKind::NotFound, ErrorKind::NotFound, Gateway::NotFound),
            (catalog::ErrorKind::AlreadyExists, ErrorKind::AlreadyExists, Gateway::AlreadyExists),
            (catalog::ErrorKind::Conflict, ErrorKind::Conflict, Gateway::Conflict),
            (catalog::ErrorKind::Unsupported, ErrorKind::Unsupported, Gateway::Unsupported),
            (catalog::ErrorKind::Storage, ErrorKind::Unavailable, Gateway::Unavailable),
            (catalog::ErrorKind::Unknown, ErrorKind::OutcomeUnknown, Gateway::OutcomeUnknown),
            (catalog::ErrorKind::Corrupt, ErrorKind::Corrupt, Gateway::Corrupt),
            (catalog::ErrorKind::Internal, ErrorKind::Internal, Gateway::Internal),
        ] {
            let e = || catalog::Error::new(kind, "x");
            check(e(), ours, theirs, "x");
            // Also from inside a plan, here or on an executor.
            check(DataFusionError::from(e()), ours, theirs, "x");
            check(DataFusionError::Shared(Arc::new(e().into())).context("y"), ours, theirs, "x");
            check(Failure { kind: FailureKind::Catalog(kind), message: "x".to_string() }, ours, theirs, "x");
            check(BallistaError::DataFusionError(Box::new(e().into())), ours, theirs, "x");
        }
    }

    #[test]
    fn errors_of_statements_keep_their_kind_and_position() {
        use gateway::ErrorKind as Gateway;
        for (sql, kind, theirs) in [
            ("SELECT\n  1 +", ErrorKind::InvalidInput, Gateway::InvalidInput),
            ("CALL system.no_such('raw.t')", ErrorKind::NotFound, Gateway::NotFound),
            ("CREATE TABLE t (a INT DEFAULT 1)", ErrorKind::Unsupported, Gateway::Unsupported),
        ] {
            let e = statement::parse(sql).expect_err(sql);
            let message = e.to_string();
            check(e, kind, theirs, &message);
        }
        let e = Error::from(statement::parse("SELECT\n  1 +").unwrap_err());
        assert!(e.to_string().contains("line 2"), "{e}");
    }

    #[test]
    fn each_kind_of_access_error_maps_to_ours_and_to_the_clients() {
        use gateway::ErrorKind as Gateway;
        for (kind, ours, theirs) in [
            (access::ErrorKind::Unauthenticated, ErrorKind::Unauthenticated, Gateway::Unauthenticated),
            (access::ErrorKind::Throttled, ErrorKind::Unauthenticated, Gateway::Unauthenticated),
            (access::ErrorKind::Invalid, ErrorKind::InvalidInput, Gateway::InvalidInput),
            (access::ErrorKind::NotFound, ErrorKind::NotFound, Gateway::NotFound),
            (access::ErrorKind::AlreadyExists, ErrorKind::AlreadyExists, Gateway::AlreadyExists),
            (access::ErrorKind::Store, ErrorKind::Unavailable, Gateway::Unavailable),
        ] {
            check(access::Error::new(kind, "x"), ours, theirs, "x");
        }
    }

    #[test]
    fn each_kind_of_failure_maps_to_ours_and_to_the_clients() {
        use gateway::ErrorKind as Gateway;
        for (kind, ours, theirs) in [
            (FailureKind::Invalid, ErrorKind::InvalidInput, Gateway::InvalidInput),
            (FailureKind::NotFound, ErrorKind::NotFound, Gateway::NotFound),
            (FailureKind::Unsupported, ErrorKind::Unsupported, Gateway::Unsupported),
            (FailureKind::Memory, ErrorKind::Memory, Gateway::Unavailable),
            (FailureKind::Storage, ErrorKind::Unavailable, Gateway::Unavailable),
            (FailureKind::Corrupt, ErrorKind::Corrupt, Gateway::Corrupt),
            (FailureKind::Internal, ErrorKind::Internal, Gateway::Internal),
        ] {
            check(Failure { kind, message: "x".to_string() }, ours, theirs, "x");
        }
    }

    #[test]
    fn the_error_inside_a_stream_keeps_its_kind() {
        use ErrorKind::*;
        let kinds = [
            InvalidInput,
            NotFound,
            AlreadyExists,
            Conflict,
            Unsupported,
            Memory,
            Unavailable,
            OutcomeUnknown,
            Unauthenticated,
            Forbidden,
            Cancelled,
            Corrupt,
            Internal,
        ];
        for kind in kinds {
            let e = DataFusionError::from(Error::new(kind, "x")).context("y");
            assert_eq!(Error::from(e).kind(), kind);
        }
    }

    /// For example in an upload.
    #[test]
    fn errors_of_the_rows_that_a_client_sends_are_returned_to_it() {
        use gateway::ErrorKind::*;
        let kinds = [
            InvalidInput,
            NotFound,
            AlreadyExists,
            Conflict,
            Unavailable,
            OutcomeUnknown,
            Unauthenticated,
            Forbidden,
            Cancelled,
            Unsupported,
            Corrupt,
            Internal,
        ];
        for kind in kinds {
            let e = Error::from(DataFusionError::from(gateway::Error::new(kind, "x")).context("y"));
            let back = gateway::Error::from(e);
            assert_eq!((back.kind(), back.to_string().as_str()), (kind, "x"));
        }
    }

    #[test]
    fn errors_of_ballista_are_internal_by_default() {
        use gateway::ErrorKind as Gateway;
        let plan = BallistaError::DataFusionError(Box::new(DataFusionError::Plan("x".to_string())));
        check(plan, ErrorKind::InvalidInput, Gateway::InvalidInput, "Error during planning: x");
        check(BallistaError::Cancelled, ErrorKind::Cancelled, Gateway::Cancelled, "the query was cancelled");
        let other = BallistaError::General("x".to_string());
        check(other, ErrorKind::Internal, Gateway::Internal, "General error: x");
    }

    #[test]
    fn memory_errors_are_distinguished_from_values_that_mention_them() {
        let full = Error::from(DataFusionError::ResourcesExhausted("no more".to_string()));
        assert_eq!(full.kind(), ErrorKind::Memory, "{full}");
        let value = Error::from(DataFusionError::Execution("'Resources exhausted' is no number".to_string()));
        assert_ne!(value.kind(), ErrorKind::Memory, "{value}");
    }
}
