//! Converts errors at the protocol: ours to a gRPC status and back, and those from a stream of batches.
//!
//! A status keeps the kind (as its code) and the whole message. Codes that we never send, but a proxy or the transport
//! may, are read as the kind with the same remedy.

use std::error::Error as _;

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use bergmill_tls::grpc::with_sources;
use datafusion::error::DataFusionError;
use tonic::{Code, Status};

use crate::error::{Error, ErrorKind};

/// The message is sent in a header, escaped. A header block over 8 KiB makes grpc-java (and so JDBC) report a protocol
/// error instead of ours, and one over 16 KiB does the same to tonic: a truncated message is better than none.
const MESSAGE_BYTES: usize = 7 << 10;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        if error.kind() == ErrorKind::Internal {
            tracing::error!(error = message, "a call failed with an internal error");
        } else {
            tracing::debug!(kind = ?error.kind(), error = message, "a call failed");
        }
        Status::new(code(error.kind()), fitted(message))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let kind = kind(status.code());
        // A status of the transport says "transport error" and has the reason as its source.
        let message = match status.source() {
            Some(source) if status.message().is_empty() => with_sources(source),
            Some(source) => format!("{}: {}", status.message(), with_sources(source)),
            None if status.message().is_empty() => status.code().description().to_owned(),
            None => status.message().to_owned(),
        };
        Error::new(kind, message)
    }
}

impl From<FlightError> for Error {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => (*status).into(),
            FlightError::Arrow(error) => error.into(),
            FlightError::ExternalError(error) => match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => Error::new(ErrorKind::Internal, with_sources(error.as_ref())),
            },
            // The other side sent invalid Flight or Arrow data.
            other => Error::new(ErrorKind::InvalidInput, other.to_string()),
        }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        let kind = arrow_kind(&error);
        Error::new(kind, error.to_string())
    }
}

/// An [`Error`] that a [`Backend`](crate::Backend) wrapped as [`DataFusionError::External`] keeps its kind; the kind of
/// other variants is derived as well as possible.
impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let Some(own) = Error::find(&error) {
            return own.clone();
        }
        let kind = datafusion_kind(&error);
        // Clients get no backtrace.
        Error::new(kind, error.strip_backtrace())
    }
}

/// For the streams of a backend or a client's input, whose errors are DataFusion's.
impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// The gRPC code for `kind`.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Unavailable => Code::Unavailable,
        // Drivers and proxies retry on UNAVAILABLE, and some on DEADLINE_EXCEEDED, ABORTED and RESOURCE_EXHAUSTED: rows
        // would be written twice. None retries on UNKNOWN, which claims no more than is known; DATA_LOSS would mean
        // that a table is damaged.
        ErrorKind::OutcomeUnknown => Code::Unknown,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The kind for `code`.
fn kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ErrorKind::InvalidInput,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Forbidden,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::Aborted => ErrorKind::Conflict,
        // Other software on the way that sends it does not know the outcome either.
        Code::Unknown => ErrorKind::OutcomeUnknown,
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => ErrorKind::Unavailable,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Ok | Code::Internal => ErrorKind::Internal,
    }
}

fn datafusion_kind(error: &DataFusionError) -> ErrorKind {
    match error {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Configuration(_) => ErrorKind::InvalidInput,
        DataFusionError::ArrowError(error, _) => arrow_kind(error),
        DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
        DataFusionError::ResourcesExhausted(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            ErrorKind::Unavailable
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => datafusion_kind(inner),
        DataFusionError::Shared(inner) => datafusion_kind(inner),
        DataFusionError::Collection(all) => all.first().map_or(ErrorKind::Internal, datafusion_kind),
        _ => ErrorKind::Internal,
    }
}

/// Arrow's kernels fail on values (a cast, a division), which come from the statement or its tables.
fn arrow_kind(error: &ArrowError) -> ErrorKind {
    match error {
        ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::DivideByZero
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::InvalidArgumentError(_)
        | ArrowError::ComputeError(_) => ErrorKind::InvalidInput,
        ArrowError::NotYetImplemented(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
}

/// Truncates `message` to fit into a header once escaped.
fn fitted(mut message: String) -> String {
    const NOTE: &str = " ... (the rest is cut)";
    // gRPC requires only '%' and non-printable bytes to be escaped, as three bytes each; tonic escapes these too.
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '#' | '%' | '<' | '>' | '`' | '?' | '{' | '}');
    let escaped_len = |c: char| if plain(c) { 1 } else { 3 * c.len_utf8() };
    let mut room = MESSAGE_BYTES - 3 * NOTE.len();
    for (at, c) in message.char_indices() {
        match room.checked_sub(escaped_len(c)) {
            Some(rest) => room = rest,
            None => {
                message.truncate(at);
                message.push_str(NOTE);
                return message;
            }
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_code_and_comes_back() {
        for (kind, code) in [
            (ErrorKind::InvalidInput, Code::InvalidArgument),
            (ErrorKind::NotFound, Code::NotFound),
            (ErrorKind::AlreadyExists, Code::AlreadyExists),
            (ErrorKind::Conflict, Code::Aborted),
            (ErrorKind::Unavailable, Code::Unavailable),
            (ErrorKind::OutcomeUnknown, Code::Unknown),
            (ErrorKind::Unauthenticated, Code::Unauthenticated),
            (ErrorKind::Forbidden, Code::PermissionDenied),
            (ErrorKind::Cancelled, Code::Cancelled),
            (ErrorKind::Unsupported, Code::Unimplemented),
            (ErrorKind::Corrupt, Code::DataLoss),
            (ErrorKind::Internal, Code::Internal),
        ] {
            let status = Status::from(Error::new(kind, "table \"a\" is gone\nas of 100% now"));
            assert_eq!(status.code(), code);
            let error = Error::from(status);
            assert_eq!(error.kind(), kind);
            assert_eq!(error.to_string(), "table \"a\" is gone\nas of 100% now");
        }
    }

    #[test]
    fn foreign_codes_map_to_the_kind_with_the_same_remedy() {
        for (code, kind) in [
            (Code::DeadlineExceeded, ErrorKind::Unavailable),
            (Code::ResourceExhausted, ErrorKind::Unavailable),
            (Code::OutOfRange, ErrorKind::InvalidInput),
        ] {
            assert_eq!(Error::from(Status::new(code, "x")).kind(), kind, "{code:?}");
        }
    }

    #[test]
    fn a_message_too_long_for_a_header_is_cut_on_a_character() {
        for text in ["x", "é", "%", " ", "\"", "\n"].map(|text| text.repeat(100_000)) {
            let status = Status::from(Error::new(ErrorKind::InvalidInput, text));
            assert!(status.message().ends_with("(the rest is cut)"));
            let headers = status.into_http::<()>().into_parts().0.headers;
            assert!(headers["grpc-message"].len() <= MESSAGE_BYTES);
        }
    }

    #[test]
    fn our_error_survives_a_datafusion_stream() {
        let ours = Error::new(ErrorKind::Conflict, "another writer was first");
        let wrapped = DataFusionError::from(ours).context("while writing").context("outer");
        let error = Error::from(wrapped);
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.to_string(), "another writer was first");
    }

    #[test]
    fn datafusion_errors_get_a_matching_kind() {
        for (error, kind) in [
            (DataFusionError::Plan("x".into()), ErrorKind::InvalidInput),
            (DataFusionError::Plan("x".into()).context("y"), ErrorKind::InvalidInput),
            (DataFusionError::NotImplemented("x".into()), ErrorKind::Unsupported),
            (DataFusionError::ResourcesExhausted("x".into()), ErrorKind::Unavailable),
            (ArrowError::DivideByZero.into(), ErrorKind::InvalidInput),
            (DataFusionError::Internal("x".into()), ErrorKind::Internal),
        ] {
            let text = error.to_string();
            assert_eq!(Error::from(error).kind(), kind, "{text}");
        }
    }
}
