//! Converts Ballista's error of a failed query to an error for the client.
//!
//! Ballista reports the failure of a task as text. It contains the error of the task as a [`Failure`], which the
//! executor encoded; without one, Ballista's own text decides the kind.

use bergmill_engine::Failure;

use crate::error::{Error, ErrorKind};

/// Ballista's text before the last failure of a stage or task that has reached the maximum number of attempts.
const STAGE_REPEATED: &str = " times, most recent failure reason: ";
const TASK_REPEATED: &str = " times, fail the stage, most recent failure reason: ";
/// Its text for a full disk, or a file that cannot be written, after retries of the task.
const IO_ERROR: &str = "Task failed due to IO error: ";

/// The error of query `id`, which failed with `text`.
pub(crate) fn from_failed_query(id: &str, text: &str) -> Error {
    let text = text.trim();
    if let Some(failure) = Failure::find(text) {
        let e = Error::from(failure);
        return Error::new(e.kind(), format!("query {id} failed: {e}"));
    }
    let text = after(text, "Job failed due to stage ", " failed: ").unwrap_or(text);
    // In each attempt the input of tasks was lost, or a disk was full.
    let repeated = after(text, "Stage ", STAGE_REPEATED).or_else(|| after(text, "Task", TASK_REPEATED));
    let kind = match () {
        () if repeated.is_some() || text.starts_with(IO_ERROR) => ErrorKind::Unavailable,
        () if text == "Task cancelled" => ErrorKind::Cancelled,
        () => ErrorKind::Internal,
    };
    Error::new(kind, format!("query {id} failed: {}", repeated.unwrap_or(text).trim_matches('"')))
}

/// The text after `mark` if `text` begins with `start` and has no quote before the mark.
fn after<'a>(text: &'a str, start: &str, mark: &str) -> Option<&'a str> {
    let (before, rest) = text.strip_prefix(start)?.split_once(mark)?;
    (!before.contains('"')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::error::ArrowError;
    use ballista_core::error::BallistaError;
    use ballista_core::serde::protobuf::FailedTask;
    use bergmill_catalog as catalog;
    use bergmill_gateway::{Error, ErrorKind};
    use datafusion::error::DataFusionError;
    use datafusion::parquet::errors::ParquetError;

    use super::{Failure, from_failed_query};
    use crate::error;

    /// The text of Ballista's scheduler for an error that an executor reports.
    fn reported(e: &DataFusionError) -> String {
        let failure = DataFusionError::External(Box::new(Failure::of(e)));
        format!("Job failed due to stage 1 failed: {}\n", FailedTask::from(BallistaError::from(failure)).error)
    }

    /// The error for clients.
    fn failed(text: &str) -> Error {
        from_failed_query("q1", text).into()
    }

    fn check_text(text: &str, kind: ErrorKind, message: &str) {
        let e = failed(text);
        assert_eq!((e.kind(), e.to_string()), (kind, format!("query q1 failed: {message}")), "{text}");
    }

    /// Checks an error as a task reports it, also wrapped in another.
    fn check(make: impl Fn() -> DataFusionError, kind: ErrorKind, message: &str) {
        check_text(&reported(&make()), kind, message);
        check_text(&reported(&DataFusionError::Shared(Arc::new(make()))), kind, message);
    }

    #[test]
    fn each_error_of_a_task_has_its_kind() {
        use ErrorKind::*;
        let arrow = |e: fn() -> ArrowError| move || DataFusionError::ArrowError(Box::new(e()), Some(String::new()));
        check(arrow(|| ArrowError::CastError("x".into())), InvalidInput, "Arrow error: Cast error: x");
        check(arrow(|| ArrowError::DivideByZero), InvalidInput, "division by zero");
        check(|| DataFusionError::Execution("x".into()), InvalidInput, "Execution error: x");
        check(|| DataFusionError::Plan("x".into()), InvalidInput, "Error during planning: x");
        check(|| DataFusionError::NotImplemented("x".into()), Unsupported, "This feature is not implemented: x");
        check(|| DataFusionError::ResourcesExhausted("x".into()), Unavailable, "Resources exhausted: x");
        let parquet =
            |text: &'static str| move || DataFusionError::ParquetError(Box::new(ParquetError::General(text.into())));
        check(parquet("Invalid Parquet file"), Corrupt, "Parquet error: Parquet error: Invalid Parquet file");
        for (kind, ours) in [
            (catalog::ErrorKind::Invalid, InvalidInput),
            (catalog::ErrorKind::NotFound, NotFound),
            (catalog::ErrorKind::Storage, Unavailable),
            (catalog::ErrorKind::Corrupt, Corrupt),
            (catalog::ErrorKind::Unknown, OutcomeUnknown),
            (catalog::ErrorKind::Internal, Internal),
        ] {
            check(|| catalog::Error::new(kind, "x").into(), ours, "x");
        }
    }

    /// Such a query runs in another way.
    #[test]
    fn too_little_memory_has_its_own_kind() {
        let text = reported(&DataFusionError::ResourcesExhausted("x".into()));
        assert_eq!(from_failed_query("q1", &text).kind(), error::ErrorKind::Memory);
    }

    #[test]
    fn a_full_disk_is_unavailable_also_after_retries() {
        let full = || DataFusionError::IoError(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let last = FailedTask::from(BallistaError::from(full())).error;
        let once = failed(&format!("Job failed due to stage 2 failed: {last}"));
        assert_eq!(once.kind(), ErrorKind::Unavailable, "{once}");
        let text = format!(
            "Job failed due to stage 2 failed: Task 1 in Stage 2 failed 4 times, fail the stage, most recent failure reason: {last:?}\n"
        );
        assert_eq!(failed(&text).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn values_do_not_affect_the_kind() {
        for value in [
            "No space left on device",
            "Resources exhausted",
            "\"), IoError(Os { kind: StorageFull })",
            " times, fail the stage, most recent failure reason: \"x\"",
            "kind: Corrupt",
            "BERGMILL/failure/1:corrupt:00:",
            "\\\" \n 가 \u{1}",
        ] {
            let text = format!("Cannot cast string '{value}' to value of Int32 type");
            let cast = || DataFusionError::ArrowError(Box::new(ArrowError::CastError(text.clone())), None);
            check(cast, ErrorKind::InvalidInput, &format!("Arrow error: Cast error: {text}"));
        }
    }

    #[test]
    fn rows_lost_in_each_attempt_are_unavailable() {
        for text in [
            "Job failed due to stage 2 failed: Stage 2 has failed 4 times, most recent failure reason: \"FetchFailed\"",
            "Task 1 in Stage 2 failed 4 times, fail the stage, most recent failure reason: \"connection reset\"",
        ] {
            assert_eq!(failed(text).kind(), ErrorKind::Unavailable, "{text}");
        }
        check_text("Task cancelled", ErrorKind::Cancelled, "Task cancelled");
        check_text("anything else", ErrorKind::Internal, "anything else");
    }
}
