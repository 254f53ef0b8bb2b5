//! JSON lines: one object per line, whose keys are the columns.
//!
//! Values stay raw text until a column parses them, so that a number keeps all its digits.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::column::Object;
use crate::describe::clipped;
use crate::error::{Bad, Result};
use crate::lines::Lines;
use crate::progress::Progress;
use crate::rejects::Rejects;
use crate::stream::{batch, internal};
use crate::{BATCH_BYTES, BATCH_ROWS};

/// The text of one JSON value, known to be well formed except for the escapes in its strings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a>(&'a str);

/// The kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl<'a> Json<'a> {
    /// The object of a line. Only its start and end are checked here; `entries` checks the rest.
    pub(crate) fn object(line: &'a [u8]) -> Result<Self, Bad> {
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(Bad::line("not valid UTF-8"));
        };
        let text = text.trim_ascii();
        match text.starts_with('{') {
            true => Ok(Self(text)),
            false if text.starts_with('[') => {
                Err(Bad::line(format!("an array; each line must be one JSON object: {}", clipped(text))))
            }
            false => Err(Bad::line(format!("not a JSON object: {}", clipped(text)))),
        }
    }

    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'"') => Kind::String,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// The text of a string, without escapes.
    pub(crate) fn string(self) -> Result<Cow<'a, str>, Bad> {
        match self.0.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
            Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
            _ => serde_json::from_str(self.0).map(Cow::Owned).map_err(|e| malformed(&e)),
        }
    }

    /// The values of an array.
    pub(crate) fn items(self) -> Result<impl Iterator<Item = Json<'a>>, Bad> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.0).map_err(|e| malformed(&e))?;
        Ok(items.into_iter().map(|raw| Json(raw.get())))
    }

    /// The keys and values of an object, in order.
    pub(crate) fn entries(self) -> Result<impl Iterator<Item = (Cow<'a, str>, Json<'a>)>, Bad> {
        let entries: Entries<'a> = serde_json::from_str(self.0).map_err(|e| malformed(&e))?;
        Ok(entries.0.into_iter().map(|(key, raw)| (key, Json(raw.get()))))
    }
}

/// serde_json reports `expected value at line 1 column 9`; its line is always 1.
fn malformed(error: &serde_json::Error) -> Bad {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    Bad::line(format!("invalid JSON, {what} at byte {}", error.column()))
}

struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A key, borrowed where it has no escapes; serde's own `Cow` is always a copy.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads one file as batches.
pub(crate) struct JsonReader {
    lines: Lines,
    schema: SchemaRef,
    row: Object,
    line: Vec<u8>,
}

impl JsonReader {
    pub(crate) fn open(file: &Path, schema: SchemaRef) -> Result<Self> {
        let row = Object::new(schema.fields());
        Ok(Self { lines: Lines::open(file)?, schema, row, line: Vec::new() })
    }

    /// The next batch; `None` at the end of the file.
    pub(crate) fn next(&mut self, rejects: &mut Rejects, progress: &Progress) -> Result<Option<RecordBatch>> {
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES {
            self.line.clear();
            if !self.lines.read(&mut self.line)? {
                break;
            }
            bytes += self.line.len();
            progress.add_bytes(self.line.len() as u64);
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            match Json::object(&self.line).and_then(|object| self.row.append(object)) {
                Ok(()) => rows += 1,
                Err(bad) => {
                    self.row.truncate(rows);
                    rejects.refuse(self.lines.file(), self.lines.number(), bad, &self.line)?;
                }
            }
        }
        if bytes == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = self.row.finish().map_err(internal)?;
        progress.add_rows(rows);
        batch(&self.schema, columns, rows).map(Some)
    }
}
