//! Failures of object stores, explained by what the user can do about them.

use std::error::Error as StdError;

use crate::error::{Error, ErrorKind};

/// The error of an executor that has no credentials for its task.
pub(crate) const NO_VENDOR: &str = "no REST catalog is configured for this process; \
     give each executor the --catalog (BERGMILL_CATALOG) and related options of the scheduler";

/// Part of the error of a file that is shorter than the requested range.
pub(crate) const ENDS_EARLY: &str = "ends before the end of bytes";

impl Error {
    /// The failure of a store somewhere inside `e`, the error of a library that reads or writes through one; `None`
    /// when no store failed.
    pub fn find(e: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(e);
        while let Some(e) = next {
            if let Some(found) = e.downcast_ref::<object_store::Error>() {
                return Some(explain(found));
            }
            next = match e.downcast_ref::<std::io::Error>() {
                // Its `source` would skip the error that it holds.
                Some(io) => io.get_ref().map(|inner| inner as _),
                None => e.source(),
            };
        }
        None
    }
}

impl From<object_store::Error> for Error {
    fn from(e: object_store::Error) -> Self {
        explain(&e)
    }
}

/// The kind and the message of a store's failure.
fn explain(e: &object_store::Error) -> Error {
    if let Some(ours) = ours(e) {
        return ours.clone();
    }
    let text = e.to_string();
    let is_missing =
        matches!(e, object_store::Error::NotFound { .. }) && matches!(element(&text, "Code"), None | Some("NoSuchKey"));
    let kind = if is_missing || is_too_short(&text) { ErrorKind::Corrupt } else { ErrorKind::Unavailable };
    Error::new(kind, remedy(&text).unwrap_or_else(|| with_root(text, e)))
}

/// Our own error, when there were no credentials to make a request with.
fn ours(e: &object_store::Error) -> Option<&Error> {
    let mut next = e.source();
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<Error>() {
            return Some(found);
        }
        next = e.source();
    }
    None
}

/// What to do about the store's failure that `text` reports, with the server's message; `None` if that is not known.
pub fn remedy(text: &str) -> Option<String> {
    if text.contains(NO_VENDOR) {
        return Some(format!("the files of a table need credentials that its catalog vends, but {NO_VENDOR}"));
    }
    // S3 answers in XML (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
    let code = element(text, "Code").unwrap_or_default();
    let remedy = match code {
        "NoSuchBucket" => "the bucket does not exist; create it first",
        "InvalidBucketName" => "S3 does not allow this bucket name",
        "InvalidAccessKeyId" => "the server does not know the access key; see AWS_ACCESS_KEY_ID",
        "SignatureDoesNotMatch" => "the secret access key is not that of the access key; see AWS_SECRET_ACCESS_KEY",
        "ExpiredToken" | "InvalidToken" => "the session token has expired or is not valid",
        "AccessDenied" => "the access key has no right to do this",
        "RequestTimeTooSkewed" => "the clocks of this machine and of the server differ",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => "the bucket is in another region; see AWS_REGION",
        _ if text.contains("//169.254.") => {
            let what =
                "there are no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the host a role";
            return Some(format!("{what} ({text})"));
        }
        _ => return None,
    };
    let message = element(text, "Message").map(|m| format!(": {m}")).unwrap_or_default();
    Some(format!("{remedy} ({code}{message})"))
}

/// The kind of a data file's failure of which only the text is known: of its storage, or else of the file, which then
/// does not match its manifest.
pub fn kind_of_unread(text: &str) -> ErrorKind {
    let from_store = ["Object Store error", "Generic S3 error"].iter().any(|part| text.contains(part));
    let is_missing = text.contains("Object at location") && text.contains("not found");
    if from_store && !is_missing && !is_too_short(text) { ErrorKind::Unavailable } else { ErrorKind::Corrupt }
}

/// Whether a failure is that of a file without the requested bytes: by our message, those of `object_store`'s stores,
/// and that of S3.
fn is_too_short(text: &str) -> bool {
    let said = [ENDS_EARLY, "range was invalid", "Out of range of file", "Wanted range starting at", "InvalidRange"];
    said.iter().any(|part| text.contains(part))
}

/// The text of a failure with that of its first cause, such as a refused connection, which HTTP clients leave out.
fn with_root(text: String, e: &(dyn StdError + 'static)) -> String {
    let mut root = e;
    while let Some(cause) = root.source() {
        root = cause;
    }
    let root = root.to_string();
    if text.contains(&root) { text } else { format!("{text}: {root}") }
}

/// The text of the first element of that name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn failures_say_what_to_do() {
        let check = |answer: &str, expected: &str| {
            let text = format!("Error performing PUT http://h/raw/k in 1ms - Server returned 403 Forbidden: {answer}");
            let e = explain(&failure(&text));
            assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Unavailable, expected));
        };
        check(
            "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>",
            "the bucket does not exist; create it first (NoSuchBucket: The specified bucket does not exist)",
        );
        check(
            "<Error><Code>SlowDown</Code></Error>",
            "Generic S3 error: Error performing PUT http://h/raw/k in 1ms - Server returned 403 Forbidden: \
             <Error><Code>SlowDown</Code></Error>",
        );
    }

    #[test]
    fn a_failure_is_found_inside_its_wrappers() {
        let io = std::io::Error::other(failure("<Code>AccessDenied</Code>"));
        let outer = std::io::Error::other(io);
        assert!(Error::find(&outer).unwrap().to_string().starts_with("the access key has no right"));
        assert!(Error::find(&std::io::Error::other("the disk is gone")).is_none());
        let missing = object_store::Error::NotFound { path: "k".into(), source: "gone".into() };
        assert_eq!(explain(&missing).kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_file_that_is_missing_or_too_short_is_damage() {
        let check = |text: &str, expected: ErrorKind| assert_eq!(kind_of_unread(text), expected, "{text}");
        check("Object Store error: Object at location /t/a.parquet not found: no such file", ErrorKind::Corrupt);
        check("Generic S3 error: <Error><Code>InvalidRange</Code></Error>", ErrorKind::Corrupt);
        check("Generic S3 error: connection refused", ErrorKind::Unavailable);
        check("Invalid Parquet file. Corrupt footer", ErrorKind::Corrupt);
        let short = failure(&format!("t/a.parquet {ENDS_EARLY} 2..11"));
        assert_eq!(explain(&short).kind(), ErrorKind::Corrupt);
        check(&short.to_string(), ErrorKind::Corrupt);
    }
}
