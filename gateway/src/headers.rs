//! Encodes a [`CommitTag`] as gRPC metadata, which every Flight client can set, in any language.
//!
//! | header | value |
//! |---|---|
//! | `bergmill-commit-key` | the commit key |
//! | `bergmill-summary-<name>` | the value of the summary entry `<name>` |
//!
//! Header values are printable ASCII and summary values are any text, so `%` and everything outside printable ASCII is
//! percent-encoded. Header names are lower case, so summary names must be too.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use tonic::metadata::{Ascii, KeyAndValueRef, MetadataKey, MetadataMap, MetadataValue};

use crate::backend::CommitTag;
use crate::error::{Error, ErrorKind, Result};

/// The header that holds the commit key.
pub const COMMIT_KEY: &str = "bergmill-commit-key";

/// Prefix of the name of a header that holds a summary entry.
pub const SUMMARY_PREFIX: &str = "bergmill-summary-";

/// Besides characters that HTTP forbids: `%` because it starts an escape, and spaces because leading and trailing ones
/// could be trimmed on the way.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// Writes `tag` into the metadata of a call.
///
/// # Errors
/// If the key is empty, or the name of a summary entry cannot be part of a header name.
pub fn encode(tag: &CommitTag, metadata: &mut MetadataMap) -> Result<()> {
    if tag.key.is_empty() {
        return Err(invalid("a commit key must not be empty".to_owned()));
    }
    metadata.insert(COMMIT_KEY, value(&tag.key)?);
    for (name, text) in &tag.summary {
        let header = format!("{SUMMARY_PREFIX}{name}");
        // gRPC treats a `-bin` header as binary, and upper case would silently become lower case.
        let fits = !name.is_empty() && !name.ends_with("-bin") && !name.contains(char::is_uppercase);
        let key = MetadataKey::<Ascii>::from_bytes(header.as_bytes()).ok().filter(|_| fits).ok_or_else(|| {
            invalid(format!("summary name {name:?} cannot be sent: use lower case letters, digits, '-', '_' and '.'"))
        })?;
        metadata.insert(key, value(text)?);
    }
    Ok(())
}

/// Reads the tag from the metadata of a call, if the client sent one.
///
/// # Errors
/// If a value cannot be the output of [`encode`], or there are summary entries without a commit key.
pub fn decode(metadata: &MetadataMap) -> Result<Option<CommitTag>> {
    let mut key = None;
    let mut summary = BTreeMap::new();
    for entry in metadata.iter() {
        let KeyAndValueRef::Ascii(header, raw) = entry else { continue };
        if header.as_str() == COMMIT_KEY {
            key = Some(text(COMMIT_KEY, raw)?);
        } else if let Some(name) = header.as_str().strip_prefix(SUMMARY_PREFIX) {
            summary.insert(name.to_owned(), text(header.as_str(), raw)?);
        }
    }
    match key {
        Some(key) if key.is_empty() => Err(invalid(format!("header {COMMIT_KEY} is empty"))),
        Some(key) => Ok(Some(CommitTag { key, summary })),
        None if summary.is_empty() => Ok(None),
        None => Err(invalid(format!("{SUMMARY_PREFIX}* headers need a {COMMIT_KEY} header"))),
    }
}

fn value(text: &str) -> Result<MetadataValue<Ascii>> {
    let escaped = utf8_percent_encode(text, ESCAPED).to_string();
    // Cannot happen, since escaping leaves only printable ASCII, but is no reason to panic.
    escaped.parse().map_err(|_| invalid(format!("{text:?} cannot be sent as a header")))
}

fn text(header: &str, raw: &MetadataValue<Ascii>) -> Result<String> {
    let escaped = raw.to_str().map_err(|_| invalid(format!("header {header} is not printable ASCII")))?;
    let text = percent_decode_str(escaped).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| invalid(format!("header {header} does not hold UTF-8")))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, summary: &[(&str, &str)]) -> CommitTag {
        let summary = summary.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        CommitTag { key: key.to_owned(), summary }
    }

    #[test]
    fn tags_round_trip() {
        for tag in [
            tag("sales/2026-08-01", &[]),
            tag(" key with spaces ", &[("pipeline.step", "reviews"), ("hash", "100% ÄÖ\n\t€")]),
            tag("k", &[("empty", "")]),
        ] {
            let mut metadata = MetadataMap::new();
            encode(&tag, &mut metadata).unwrap();
            assert_eq!(decode(&metadata).unwrap(), Some(tag));
        }
    }

    #[test]
    fn a_call_without_headers_has_no_tag() {
        let mut metadata = MetadataMap::new();
        metadata.insert("user-agent", "x".parse().unwrap());
        assert_eq!(decode(&metadata).unwrap(), None);
    }

    #[test]
    fn tags_that_cannot_be_sent_are_refused() {
        for tag in [tag("", &[]), tag("k", &[("", "x")]), tag("k", &[("Upper", "x")]), tag("k", &[("a b", "x")])] {
            let error = encode(&tag, &mut MetadataMap::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{tag:?}");
        }
    }

    #[test]
    fn headers_without_a_valid_tag_are_refused() {
        for (header, value) in
            [("bergmill-summary-step", "x"), ("bergmill-commit-key", ""), ("bergmill-commit-key", "%ff")]
        {
            let mut metadata = MetadataMap::new();
            metadata.insert(header, value.parse().unwrap());
            assert_eq!(decode(&metadata).unwrap_err().kind(), ErrorKind::InvalidInput, "{header}: {value}");
        }
    }
}
