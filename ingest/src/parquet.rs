//! Parquet: the file has types, so columns are matched by name and widened to those of the table.
//!
//! Rows have no lines that could be fixed or rejected: a value that does not fit stops the load, even with a reject
//! file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::BATCH_ROWS;
use crate::describe::{a_type, did_you_mean};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::stream::batch;

/// The columns of the file, without field ids and other metadata.
pub(crate) fn schema(file: &Path) -> Result<Schema> {
    let builder = builder(file)?;
    Ok(Schema::new(plain_fields(builder.schema().fields())))
}

fn builder(file: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let input = File::open(file).map_err(|cause| Error::Read { file: file.to_owned(), cause })?;
    // Parquet types match those of tables; the additional Arrow schema, with types like dictionaries, does not.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ParquetRecordBatchReaderBuilder::try_new_with_options(input, options).map_err(|e| damaged(file, &e))
}

fn damaged(file: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Unusable { file: file.to_owned(), reason: format!("is not a whole Parquet file: {error}") }
}

fn plain_fields(fields: &Fields) -> Fields {
    fields.iter().map(|f| plain_field(f)).collect()
}

fn plain_field(field: &Field) -> FieldRef {
    let ty = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(plain_fields(fields)),
        DataType::List(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) => DataType::List(plain_field(item)),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), ty, field.is_nullable()))
}

/// Reads one file as batches.
pub(crate) struct ParquetReader {
    file: PathBuf,
    batches: ParquetRecordBatchReader,
    schema: SchemaRef,
    /// For each column of the table, its index in the file.
    indices: Vec<Option<usize>>,
    bytes: u64,
    rows: u64,
    rows_read: u64,
}

impl ParquetReader {
    /// Opens the file and checks that its columns can be those of `schema`.
    pub(crate) fn open(file: &Path, schema: SchemaRef) -> Result<Self> {
        let builder = builder(file)?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let bytes = std::fs::metadata(file).map_err(|cause| Error::Read { file: file.to_owned(), cause })?.len();
        let indices = indices(file, builder.schema(), &schema)?;
        let batches = builder.with_batch_size(BATCH_ROWS).build().map_err(|e| damaged(file, &e))?;
        Ok(Self { file: file.to_owned(), batches, schema, indices, bytes, rows, rows_read: 0 })
    }

    /// The next batch; `None` at the end of the file.
    pub(crate) fn next(&mut self, progress: &Progress) -> Result<Option<RecordBatch>> {
        let read = match self.batches.next() {
            None => return Ok(None),
            Some(read) => read.map_err(|e| damaged(&self.file, &e))?,
        };
        let rows = read.num_rows();
        let columns = self
            .schema
            .fields()
            .iter()
            .zip(&self.indices)
            .map(|(field, index)| match index {
                Some(index) => self.fitted(field, read.column(*index)),
                None => Ok(new_null_array(field.data_type(), rows)),
            })
            .collect::<Result<Vec<_>>>()?;
        let before = self.share_read();
        self.rows_read += rows as u64;
        progress.add_bytes(self.share_read() - before);
        progress.add_rows(rows);
        batch(&self.schema, columns, rows).map(Some)
    }

    /// The bytes of the rows read so far, assuming that all rows have the same size.
    fn share_read(&self) -> u64 {
        let share = u128::from(self.bytes) * u128::from(self.rows_read) / u128::from(self.rows.max(1));
        u64::try_from(share).unwrap_or(self.bytes)
    }

    fn fitted(&self, field: &Field, column: &ArrayRef) -> Result<ArrayRef> {
        let wrong = |reason: String| Error::Columns { file: self.file.clone(), reason };
        if !field.is_nullable() && column.logical_null_count() > 0 {
            let row = (0..column.len()).find(|i| column.is_null(*i)).unwrap_or(0) as u64;
            let row = self.rows_read + row + 1;
            return Err(wrong(format!("row {row}, column {}: null in a NOT NULL column", field.name())));
        }
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(column, field.data_type(), &strict).map_err(|e| {
            let (first, last) = (self.rows_read + 1, self.rows_read + column.len() as u64);
            wrong(format!(
                "rows {first} to {last}, column {}: a value is not {}: {e}",
                field.name(),
                a_type(field.data_type())
            ))
        })
    }
}

fn indices(file: &Path, from: &Schema, to: &Schema) -> Result<Vec<Option<usize>>> {
    let wrong = |reason: String| Error::Columns { file: file.to_owned(), reason };
    for (i, field) in from.fields().iter().enumerate() {
        let name = field.name();
        if from.fields()[..i].iter().any(|f| f.name() == name) {
            return Err(Error::Unusable { file: file.to_owned(), reason: format!("has two columns {name}") });
        }
        if to.column_with_name(name).is_none() {
            let known = to.fields().iter().map(|f| f.name().as_str());
            return Err(wrong(format!("unknown column {name}{}", did_you_mean(name, known))));
        }
    }
    let index = |field: &FieldRef| match from.column_with_name(field.name()) {
        Some((index, found)) if widens(found.data_type(), field.data_type()) => Ok(Some(index)),
        Some((_, found)) => Err(wrong(format!(
            "column {} is {}, but {} in the table",
            field.name(),
            a_type(found.data_type()),
            a_type(field.data_type())
        ))),
        None if field.is_nullable() => Ok(None),
        None => Err(wrong(format!("no column {}, which is NOT NULL", field.name()))),
    };
    to.fields().iter().map(index).collect()
}

/// Whether every value of `from` is a value of `to`, or values that are too large are reported individually.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Decimal128, Float16, Float32, Float64, Int8, Int16, Int32, LargeBinary,
        LargeUtf8, List, Map, Struct, Time32, Time64, Timestamp, UInt8, UInt16, UInt32, Utf8, Utf8View,
    };
    let is_text = |ty: &DataType| matches!(ty, Utf8 | LargeUtf8 | Utf8View);
    let is_binary = |ty: &DataType| matches!(ty, Binary | LargeBinary | BinaryView);
    match (from, to) {
        (a, b) if a == b => true,
        (a, b) if a.is_integer() && (b.is_integer() || matches!(b, Decimal128(..))) => true,
        // A double represents 53 bits exactly.
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Float64) => true,
        (Float16 | Float32, Float64) | (Float16, Float32) => true,
        (Decimal128(_, from), Decimal128(_, to)) => from <= to,
        (Date32 | Date64, Date32 | Date64) | (Time32(_) | Time64(_), Time64(_)) => true,
        (Timestamp(_, from), Timestamp(_, to)) => from.is_some() == to.is_some(),
        (a, b) if (is_text(a) && is_text(b)) || (is_binary(a) && is_binary(b)) => true,
        (Struct(from), Struct(to)) => {
            let same = |t: &FieldRef| from.iter().any(|f| f.name() == t.name() && widens(f.data_type(), t.data_type()));
            from.len() == to.len() && to.iter().all(same)
        }
        (List(from), List(to)) => widens(from.data_type(), to.data_type()),
        (Map(from, a), Map(to, b)) => match (from.data_type(), to.data_type()) {
            (Struct(from), Struct(to)) if from.len() == to.len() && a == b => {
                from.iter().zip(to).all(|(f, t)| widens(f.data_type(), t.data_type()))
            }
            _ => false,
        },
        _ => false,
    }
}
