//! What a task that failed on an executor says, as an error for the client.
//!
//! Ballista reports it as text: an error of DataFusion's, Arrow's or ours in the form of Rust's `Debug`. The names of its variants decide the
//! kind. What stands between quotes may hold values of users, and decides nothing.

use bergmill_catalog::storage::{kind_of_unread, remedy};
use bergmill_gateway::{Error, ErrorKind};

use crate::error::kind_of;

/// Variants that only hold another error.
const WRAPPERS: [&str; 8] =
    ["DataFusionError", "ArrowError", "Shared", "Diagnostic", "Collection", "External", "ExternalError", "Context"];

/// What Ballista says of a task's failure before its error.
const TASK: [&str; 2] = ["Task failed due to runtime execution error: ", "Task failed due to IO error: "];
/// What it says before the last failure of a stage, or of a task, that it has tried as often as it does.
const STAGE_REPEATED: &str = " times, most recent failure reason: ";
const TASK_REPEATED: &str = " times, fail the stage, most recent failure reason: ";

/// The error of query `id`, which failed with `text`.
pub(crate) fn from_failed_query(id: &str, text: &str) -> Error {
    let text = text.trim();
    let text = after(text, "Job failed due to stage ", " failed: ").unwrap_or(text);
    // What tasks were to read was lost each time: the reason is no error in the form of `Debug`.
    if let Some(reason) = after(text, "Stage ", STAGE_REPEATED) {
        let what = format!("query {id} failed: {}", unquoted(reason));
        return Error::new(ErrorKind::Unavailable, what);
    }
    let repeated = after(text, "Task", TASK_REPEATED).map(unquoted);
    let told = repeated.as_deref().unwrap_or(text);
    let (kind, what) = match TASK.iter().find_map(|said| told.strip_prefix(said)).and_then(failure) {
        Some(known) => known,
        None if repeated.is_some() => (ErrorKind::Unavailable, told.to_string()),
        None if told == "Task cancelled" => (ErrorKind::Cancelled, told.to_string()),
        None => (ErrorKind::Internal, told.to_string()),
    };
    Error::new(kind, format!("query {id} failed: {what}"))
}

/// What follows `mark` in a text that begins with `start` and has no quote before the mark.
fn after<'a>(text: &'a str, start: &str, mark: &str) -> Option<&'a str> {
    let (before, rest) = text.strip_prefix(start)?.split_once(mark)?;
    (!before.contains('"')).then_some(rest)
}

fn unquoted(text: &str) -> String {
    match tokens(text).into_iter().next() {
        Some(Token::Text(inner)) => inner,
        _ => text.to_string(),
    }
}

/// A part of an error in the form of `Debug`.
#[derive(Debug, PartialEq)]
enum Token<'a> {
    /// The name of a variant, type or field.
    Word(&'a str),
    /// What stood in quotes.
    Text(String),
}

/// Kind and message of an error in the form of `Debug`; `None` if no variant of it is known.
fn failure(debug: &str) -> Option<(ErrorKind, String)> {
    let tokens = tokens(debug);
    let mut context = String::new();
    let mut rest = tokens.iter().enumerate();
    let leaf = loop {
        match rest.next()? {
            (at, Token::Word(word)) if !WRAPPERS.contains(word) => break at,
            (_, Token::Word(_)) => {}
            (_, Token::Text(text)) => context = format!("{context}{text}: "),
        }
    };
    let Token::Word(variant) = &tokens[leaf] else { return None };
    let inside = &tokens[leaf + 1..];
    let texts = || inside.iter().filter_map(|t| if let Token::Text(text) = t { Some(text.as_str()) } else { None });
    let first = texts().next().unwrap_or_default();
    // A back trace is for nobody who asked.
    let first = first.split_once("\n\nbacktrace: ").map_or(first, |(told, _)| told);
    let all = || texts().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    let wrong = |name: &str| Some((ErrorKind::InvalidInput, format!("{name}: {first}")));
    let (kind, what) = match *variant {
        "CastError" => wrong("Arrow error: Cast error"),
        "ParseError" => wrong("Arrow error: Parser error"),
        "ArithmeticOverflow" => wrong("Arrow error: Arithmetic overflow"),
        "InvalidArgumentError" => wrong("Arrow error: Invalid argument error"),
        "ComputeError" => wrong("Arrow error: Compute error"),
        "DivideByZero" => Some((ErrorKind::InvalidInput, "division by zero".to_string())),
        "Plan" | "SQL" | "SchemaError" | "Configuration" => wrong("Error during planning"),
        "NotImplemented" | "NotYetImplemented" => {
            Some((ErrorKind::Unsupported, format!("This feature is not implemented: {first}")))
        }
        // Ballista's own operators put an error into the text of another.
        "Execution" => nested(first).or_else(|| wrong("Execution error")),
        "ResourcesExhausted" => Some((ErrorKind::Unavailable, format!("{NO_MEMORY}: {first}"))),
        "ParquetError" => Some(unread("Parquet error", &all())),
        "ObjectStore" | "Generic" | "NotFound" => Some(unread("Object Store error", &all())),
        "IoError" | "Os" | "Custom" => Some(stored("IO error", &all())),
        "TonicError" | "GrpcError" | "GrpcConnectionError" => Some((ErrorKind::Unavailable, all())),
        // What its storage said was put into words where it was made.
        "Error" => own(inside).map(|kind| (kind, all())),
        "Internal" => Some((ErrorKind::Internal, format!("Internal error: {first}"))),
        _ => None,
    }?;
    Some((kind, format!("{context}{what}")))
}

/// What DataFusion says when its operators may hold no more memory.
pub(crate) const NO_MEMORY: &str = "Resources exhausted";

/// An error that is the whole text of another.
fn nested(text: &str) -> Option<(ErrorKind, String)> {
    let debug = text.strip_prefix("BallistaError: ").unwrap_or(text);
    let is_error = WRAPPERS
        .iter()
        .chain(&["IoError", "ParquetError"])
        .any(|name| debug.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')));
    if is_error { failure(debug) } else { None }
}

/// A data file that could not be read: what the store said is part of the text.
fn unread(name: &str, text: &str) -> (ErrorKind, String) {
    match remedy(text) {
        Some(remedy) => (ErrorKind::Unavailable, remedy),
        None => {
            let what = if text.starts_with(name) { text.to_string() } else { format!("{name}: {text}") };
            (kind_of(kind_of_unread(&what)), what)
        }
    }
}

/// A disk that is full, a store that refused.
fn stored(name: &str, text: &str) -> (ErrorKind, String) {
    (ErrorKind::Unavailable, remedy(text).unwrap_or_else(|| format!("{name}: {text}")))
}

/// The kind of an error of our own.
fn own(inside: &[Token<'_>]) -> Option<ErrorKind> {
    let [Token::Word("kind"), Token::Word(kind), ..] = inside else { return None };
    Some(match *kind {
        "Invalid" | "InvalidInput" => ErrorKind::InvalidInput,
        "NotFound" => ErrorKind::NotFound,
        "AlreadyExists" => ErrorKind::AlreadyExists,
        "Conflict" => ErrorKind::Conflict,
        "Unsupported" => ErrorKind::Unsupported,
        "Storage" | "Unavailable" => ErrorKind::Unavailable,
        "Corrupt" => ErrorKind::Corrupt,
        "Unknown" | "OutcomeUnknown" => ErrorKind::OutcomeUnknown,
        "Cancelled" => ErrorKind::Cancelled,
        _ => ErrorKind::Internal,
    })
}

fn tokens(debug: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = debug;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let (text, after) = quoted(&rest[1..]);
            tokens.push(Token::Text(text));
            rest = after;
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..end]));
            rest = &rest[end..];
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    tokens
}

/// The text up to the closing quote, without the escapes of `Debug`, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut inner = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (inner, &text[at + 1..]),
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => inner.push('\n'),
                Some('r') => inner.push('\r'),
                Some('t') => inner.push('\t'),
                Some('0') => inner.push('\0'),
                Some('u') => {
                    let code: String = chars.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                    let code = u32::from_str_radix(code.trim_start_matches('{'), 16).ok();
                    inner.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Some(escaped) => inner.push(escaped),
                None => {}
            },
            other => inner.push(other),
        }
    }
    (inner, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use arrow::error::ArrowError;
    use ballista_core::error::BallistaError;
    use ballista_core::serde::protobuf::FailedTask;
    use bergmill_catalog as catalog;
    use datafusion::error::DataFusionError;
    use datafusion::parquet::errors::ParquetError;

    /// What an executor makes of an error, and the scheduler of that.
    fn reported(e: DataFusionError) -> String {
        format!("Job failed due to stage 1 failed: {}\n", FailedTask::from(BallistaError::from(e)).error)
    }

    fn check_text(text: &str, kind: ErrorKind, message: &str) {
        let e = from_failed_query("q1", text);
        assert_eq!((e.kind(), e.to_string()), (kind, format!("query q1 failed: {message}")), "{text}");
    }

    /// Each error as a task reports it, also from inside others.
    fn check(make: impl Fn() -> DataFusionError, kind: ErrorKind, message: &str) {
        check_text(&reported(make()), kind, message);
        check_text(&reported(DataFusionError::Shared(Arc::new(make()))), kind, message);
        check_text(&reported(make().context("sorting")), kind, &format!("sorting: {message}"));
        let of_an_operator = DataFusionError::Execution(format!("{:?}", BallistaError::from(make())));
        check_text(&reported(of_an_operator), kind, message);
    }

    #[test]
    fn each_error_of_a_task_has_its_kind() {
        use ErrorKind::*;
        let arrow = |e: fn() -> ArrowError| move || DataFusionError::ArrowError(Box::new(e()), Some(String::new()));
        check(arrow(|| ArrowError::CastError("x".into())), InvalidInput, "Arrow error: Cast error: x");
        check(arrow(|| ArrowError::ParseError("x".into())), InvalidInput, "Arrow error: Parser error: x");
        check(arrow(|| ArrowError::DivideByZero), InvalidInput, "division by zero");
        let overflow = "Arrow error: Arithmetic overflow: x";
        check(arrow(|| ArrowError::ArithmeticOverflow("x".into())), InvalidInput, overflow);
        check(arrow(|| ArrowError::ComputeError("x".into())), InvalidInput, "Arrow error: Compute error: x");
        let argument = "Arrow error: Invalid argument error: x";
        check(arrow(|| ArrowError::InvalidArgumentError("x".into())), InvalidInput, argument);
        check(|| DataFusionError::Execution("x".into()), InvalidInput, "Execution error: x");
        check(|| DataFusionError::Plan("x".into()), InvalidInput, "Error during planning: x");
        check(|| DataFusionError::NotImplemented("x".into()), Unsupported, "This feature is not implemented: x");
        check(|| DataFusionError::ResourcesExhausted("x".into()), Unavailable, "Resources exhausted: x");
        check(|| DataFusionError::Internal("x".into()), Internal, "Internal error: x");
        let parquet =
            |text: &'static str| move || DataFusionError::ParquetError(Box::new(ParquetError::General(text.into())));
        check(parquet("Invalid Parquet file"), Corrupt, "Parquet error: Invalid Parquet file");
        let refused = "Parquet error: Object Store error: Generic S3 error: connection refused";
        check(parquet("Object Store error: Generic S3 error: connection refused"), Unavailable, refused);
        for (kind, ours) in [
            (catalog::ErrorKind::Invalid, InvalidInput),
            (catalog::ErrorKind::NotFound, NotFound),
            (catalog::ErrorKind::AlreadyExists, AlreadyExists),
            (catalog::ErrorKind::Conflict, Conflict),
            (catalog::ErrorKind::Unsupported, Unsupported),
            (catalog::ErrorKind::Storage, Unavailable),
            (catalog::ErrorKind::Corrupt, Corrupt),
            (catalog::ErrorKind::Unknown, OutcomeUnknown),
            (catalog::ErrorKind::Internal, Internal),
        ] {
            check(|| catalog::Error::new(kind, "x").into(), ours, "x");
        }
        for kind in [InvalidInput, NotFound, AlreadyExists, Conflict, Unavailable, OutcomeUnknown, Cancelled] {
            check(|| Error::new(kind, "x").into(), kind, "x");
        }
    }

    #[test]
    fn a_full_disk_is_one_also_when_the_task_was_repeated() {
        let full = || {
            let e = std::io::Error::from(std::io::ErrorKind::StorageFull);
            DataFusionError::IoError(std::io::Error::new(e.kind(), "No space left on device"))
        };
        check(full, ErrorKind::Unavailable, "IO error: No space left on device");
        let last = FailedTask::from(BallistaError::from(full())).error;
        let text = format!(
            "Job failed due to stage 2 failed: Task 1 in Stage 2 failed 4 times, fail the stage, most recent failure reason: {last:?}\n"
        );
        check_text(&text, ErrorKind::Unavailable, "IO error: No space left on device");
    }

    #[test]
    fn values_of_users_decide_nothing() {
        for value in [
            "No space left on device",
            "Resources exhausted",
            "ResourcesExhausted(\"x\")",
            "\"), IoError(Os { kind: StorageFull })",
            "ParquetError(\"x\")",
            "Object Store error: Generic S3 error: <Code>AccessDenied</Code>",
            " times, most recent failure reason: \"x\"",
            " times, fail the stage, most recent failure reason: \"x\"",
            "DivideByZero",
            "kind: Corrupt",
            "\\\" \n 가 \u{1}",
        ] {
            let text = format!("Cannot cast string '{value}' to value of Int32 type");
            let cast = || DataFusionError::ArrowError(Box::new(ArrowError::CastError(text.clone())), None);
            check(cast, ErrorKind::InvalidInput, &format!("Arrow error: Cast error: {text}"));
            let message = format!("column c: {value:?} is no date");
            let ours = || catalog::Error::new(catalog::ErrorKind::Invalid, message.clone()).into();
            check(ours, ErrorKind::InvalidInput, message.trim());
        }
    }

    #[test]
    fn a_task_that_storage_refused_says_what_to_do() {
        let text = "Job failed due to stage 1 failed: Task failed due to runtime execution error: DataFusionError(ParquetError(\
                    General(\"Object Store error: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                    <Message>no match</Message></Error>\")))";
        let e = from_failed_query("q1", text);
        assert_eq!(e.kind(), ErrorKind::Unavailable);
        assert!(e.to_string().starts_with("query q1 failed: the secret access key is not that"), "{e}");
    }

    #[test]
    fn what_is_lost_each_time_is_unavailable() {
        for text in [
            "Job failed due to stage 2 failed: Stage 2 has failed 4 times, most recent failure reason: \"FetchFailed\"",
            "Task 1 in Stage 2 failed 4 times, fail the stage, most recent failure reason: \"connection reset\"",
        ] {
            assert_eq!(from_failed_query("q1", text).kind(), ErrorKind::Unavailable, "{text}");
        }
        check_text("Task cancelled", ErrorKind::Cancelled, "Task cancelled");
        check_text("who knows", ErrorKind::Internal, "who knows");
    }
}
