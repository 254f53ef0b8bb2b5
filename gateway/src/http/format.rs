//! The formats in which rows are sent, and which of them a request asks for.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::error::{Error, ErrorKind, Result};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// One object: `{"columns": [...], "rows": [{...}, ...], "row_count": 2}`.
    Json,
    /// One object a line.
    Ndjson,
    /// Comma-separated values with a header; nested values are JSON.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

/// The parameter of a request for rows.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Wanted {
    /// How rows are written; otherwise by the header `accept`, and without that as `json`.
    pub format: Option<Format>,
}

impl Format {
    const ALL: [Self; 4] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow];

    /// The format that a request asks for.
    pub(super) fn of(wanted: &Wanted, headers: &HeaderMap) -> Result<Self> {
        if let Some(format) = wanted.format {
            return Ok(format);
        }
        let accepted: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        if accepted.is_empty() {
            return Ok(Self::Json);
        }
        accepted.iter().flat_map(|value| value.split(',')).find_map(Self::of_media_type).ok_or_else(|| {
            let known = Self::ALL.map(Self::media_type).join(", ");
            let message = format!("rows are not available as {:?}, but as {known}", accepted.join(", "));
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    fn of_media_type(text: &str) -> Option<Self> {
        let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "*/*" | "application/*" => Some(Self::Json),
            "text/*" => Some(Self::Csv),
            "application/jsonl" | "application/x-jsonlines" => Some(Self::Ndjson),
            name => Self::ALL.into_iter().find(|format| format.media_type() == name),
        }
    }

    /// Its media type, without parameters.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The header `content-type` of rows.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => other.media_type(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_or_the_first_known_media_type_decides() {
        for (format, accept, expected) in [
            (None, None, Some(Format::Json)),
            (None, Some("*/*"), Some(Format::Json)),
            (None, Some("text/html, text/csv;q=0.9, */*"), Some(Format::Csv)),
            (None, Some("Application/X-NDJSON"), Some(Format::Ndjson)),
            (None, Some("application/vnd.apache.arrow.stream"), Some(Format::Arrow)),
            (Some(Format::Csv), Some("application/json"), Some(Format::Csv)),
            (None, Some("image/png"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Format::of(&Wanted { format }, &headers).ok(), expected, "{accept:?}");
        }
    }
}
