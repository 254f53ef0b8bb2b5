//! CSV with a header line, after RFC 4180: fields in quotes may contain delimiters, line breaks and doubled quotes.
//!
//! It has its own splitter, because a bad record must be identified by its physical line and be kept unchanged. Where
//! quoting is broken, the end of the record is unknown; then only its first line is bad, and reading continues with the
//! next, so that one stray quote does not make the rest of the file unreadable.

use std::collections::HashMap;
use std::path::Path;
use std::str;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::column::Column;
use crate::describe::{a_type, did_you_mean, quoted};
use crate::error::{Bad, Error, Result};
use crate::lines::Lines;
use crate::progress::Progress;
use crate::rejects::Rejects;
use crate::stream::{batch, internal};
use crate::{BATCH_BYTES, BATCH_ROWS, MAX_LINE_BYTES};

/// Reads the records of a file.
pub(crate) struct Records {
    lines: Lines,
    delimiter: u8,
    /// The record as in the file.
    raw: Vec<u8>,
    /// Its fields without quotes, concatenated.
    text: Vec<u8>,
    fields: Vec<FieldEnd>,
    /// Number of its first line.
    line: u64,
}

#[derive(Clone, Copy)]
struct FieldEnd {
    at: usize,
    in_quotes: bool,
}

impl Records {
    pub(crate) fn open(file: &Path, delimiter: u8) -> Result<Self> {
        let lines = Lines::open(file)?;
        Ok(Self { lines, delimiter, raw: Vec::new(), text: Vec::new(), fields: Vec::new(), line: 0 })
    }

    pub(crate) fn file(&self) -> &Path {
        self.lines.file()
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The fields, and whether they were in quotes.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let mut start = 0;
        self.fields.iter().map(move |field| {
            let text = &self.text[start..field.at];
            start = field.at;
            (text, field.in_quotes)
        })
    }

    /// Reads the next record, skipping blank lines; `None` at the end of the file. An inner error concerns only this
    /// record, and reading can continue.
    pub(crate) fn read(&mut self) -> Result<Option<Result<(), Bad>>> {
        loop {
            self.raw.clear();
            if !self.lines.read(&mut self.raw)? {
                return Ok(None);
            }
            if !matches!(self.raw.as_slice(), b"\n" | b"\r\n") {
                break;
            }
        }
        self.line = self.lines.number();
        let split = self.split()?;
        if split.is_err() {
            let first_line = self.raw.iter().position(|b| *b == b'\n').map_or(self.raw.len(), |at| at + 1);
            self.lines.hand_back(&self.raw[first_line..]);
            self.raw.truncate(first_line);
        }
        Ok(Some(split))
    }

    fn split(&mut self) -> Result<Result<(), Bad>> {
        self.text.clear();
        self.fields.clear();
        let mut at = 0;
        loop {
            let in_quotes = self.raw.get(at) == Some(&b'"');
            if in_quotes {
                match self.unquote(at + 1)? {
                    Ok(after) => at = after,
                    Err(bad) => return Ok(Err(bad)),
                }
            } else {
                let rest = &self.raw[at..];
                let len = rest.iter().position(|b| *b == self.delimiter || *b == b'\n').unwrap_or(rest.len());
                let ends_line = rest.get(len) != Some(&self.delimiter);
                let field = &rest[..len];
                let text = if ends_line { field.strip_suffix(b"\r").unwrap_or(field) } else { field };
                self.text.extend_from_slice(text);
                at += len;
            }
            self.fields.push(FieldEnd { at: self.text.len(), in_quotes });
            match &self.raw[at..] {
                [] | b"\n" | b"\r\n" | b"\r" => return Ok(Ok(())),
                [next, ..] if *next == self.delimiter => at += 1,
                rest => {
                    let line = rest.split(|b| *b == b'\n').next().unwrap_or_default();
                    let reason = format!("{} follows a closing quote", quoted(&String::from_utf8_lossy(line)));
                    return Ok(Err(Bad::line(reason)));
                }
            }
        }
    }

    /// Reads from after an opening quote to after the closing one, across lines if needed.
    fn unquote(&mut self, mut at: usize) -> Result<Result<usize, Bad>> {
        loop {
            let rest = &self.raw[at..];
            let Some(len) = rest.iter().position(|b| *b == b'"') else {
                self.text.extend_from_slice(rest);
                at = self.raw.len();
                if self.raw.len() > MAX_LINE_BYTES {
                    let reason = format!("a quote is opened and not closed within {} MiB", MAX_LINE_BYTES >> 20);
                    return Ok(Err(Bad::line(reason)));
                }
                if !self.lines.read(&mut self.raw)? {
                    return Ok(Err(Bad::line("a quote is opened and never closed")));
                }
                continue;
            };
            self.text.extend_from_slice(&rest[..len]);
            at += len + 1;
            if self.raw.get(at) != Some(&b'"') {
                return Ok(Ok(at));
            }
            self.text.push(b'"');
            at += 1;
        }
    }
}

/// Reads the header: the names of the file's columns, each once.
pub(crate) fn header(records: &mut Records) -> Result<Vec<String>> {
    let file = records.file().to_owned();
    let unusable = |reason: String| Error::Unusable { file: file.clone(), reason };
    match records.read()? {
        None => return Err(unusable("is empty: a CSV file begins with a header line".into())),
        Some(Err(bad)) => return Err(unusable(format!("has no readable header line: {}", bad.reason))),
        Some(Ok(())) => {}
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut header = Vec::with_capacity(records.len());
    for (i, (name, _)) in records.fields().enumerate() {
        let name = str::from_utf8(name)
            .map_err(|_| unusable(format!("has a header that is not valid UTF-8, in column {}", i + 1)))?
            .trim();
        if name.is_empty() {
            return Err(unusable(format!("has no name for column {} in its header", i + 1)));
        }
        if let Some(first) = seen.insert(name, i) {
            return Err(unusable(format!(
                "has the name {name} twice in its header, columns {} and {}",
                first + 1,
                i + 1
            )));
        }
        header.push(name.to_owned());
    }
    Ok(header)
}

/// Checks that a record has as many fields as the header.
pub(crate) fn check_count(fields: usize, header: usize) -> Result<(), Bad> {
    if fields == header {
        return Ok(());
    }
    let s = if fields == 1 { "" } else { "s" };
    Err(Bad::line(format!("{fields} field{s}, but the header has {header}")))
}

/// Reads one file as batches.
pub(crate) struct CsvReader {
    records: Records,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// For each field of the file, its index in `columns`.
    indices: Vec<usize>,
    /// Columns that the file does not have.
    absent: Vec<usize>,
}

impl CsvReader {
    /// Opens the file and finds its columns among those of `schema`.
    pub(crate) fn open(file: &Path, delimiter: u8, schema: SchemaRef) -> Result<Self> {
        let mut records = Records::open(file, delimiter)?;
        let header = header(&mut records)?;
        let wrong = |reason: String| Error::Columns { file: file.to_owned(), reason };
        let mut indices = Vec::with_capacity(header.len());
        for name in &header {
            let index = schema.fields().iter().position(|f| f.name() == name).ok_or_else(|| {
                let known = schema.fields().iter().map(|f| f.name().as_str());
                wrong(format!("unknown column {name}{}", did_you_mean(name, known)))
            })?;
            indices.push(index);
        }
        let mut columns = Vec::with_capacity(schema.fields().len());
        let mut absent = Vec::new();
        for (i, field) in schema.fields().iter().enumerate() {
            if indices.contains(&i) {
                let column = Column::new(field);
                if !column.is_flat_text() {
                    let ty = a_type(field.data_type());
                    return Err(wrong(format!("column {} is {ty}, which CSV cannot hold", field.name())));
                }
                columns.push(column);
            } else if field.is_nullable() {
                absent.push(i);
                columns.push(Column::absent(field));
            } else {
                return Err(wrong(format!("no column {}, which is NOT NULL", field.name())));
            }
        }
        Ok(Self { records, schema, columns, indices, absent })
    }

    /// The next batch; `None` at the end of the file.
    pub(crate) fn next(&mut self, rejects: &mut Rejects, progress: &Progress) -> Result<Option<RecordBatch>> {
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some(split) = self.records.read()? else { break };
            bytes += self.records.raw().len();
            progress.add_bytes(self.records.raw().len() as u64);
            match split.and_then(|()| self.append()) {
                Ok(()) => rows += 1,
                Err(bad) => {
                    self.columns.iter_mut().for_each(|column| column.truncate(rows));
                    rejects.refuse(self.records.file(), self.records.line(), bad, self.records.raw())?;
                }
            }
        }
        if bytes == 0 {
            return Ok(None);
        }
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<ArrayRef>, _>>();
        progress.add_rows(rows);
        batch(&self.schema, columns.map_err(internal)?, rows).map(Some)
    }

    fn append(&mut self) -> Result<(), Bad> {
        check_count(self.records.len(), self.indices.len())?;
        for ((field, in_quotes), index) in self.records.fields().zip(&self.indices) {
            self.columns[*index].append_csv(field, in_quotes)?;
        }
        for index in &self.absent {
            self.columns[*index].append_null()?;
        }
        Ok(())
    }
}
