//! The partition that each row belongs to: its values, and the folder that shows them to users.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{is_null, nullif, partition};
use iceberg::spec::{PrimitiveLiteral, PrimitiveType, Transform};

use super::WriteSpec;
use crate::error::{Error, ErrorKind, Result};
use crate::table::partition_value::{hex, human, literal};
use crate::table::transform::apply;

/// Partition values in the order of the spec's fields.
pub(super) type PartitionKey = Vec<Option<PrimitiveLiteral>>;

/// Computes the partition of rows.
#[derive(Debug)]
pub(super) struct Partitioner {
    fields: Vec<PartitionColumn>,
}

#[derive(Debug)]
struct PartitionColumn {
    name: String,
    transform: Transform,
    /// The index at each level of nested structs down to the source column.
    path: Vec<usize>,
    /// Type of the partition values.
    ty: PrimitiveType,
}

impl Partitioner {
    pub(super) fn try_new(spec: &WriteSpec) -> Result<Self> {
        let types = spec.partition_spec.partition_type(&spec.schema)?;
        let fields = spec
            .partition_spec
            .fields()
            .iter()
            .zip(types.fields())
            .map(|(field, result)| {
                let (_, path) = spec.source(field.source_id)?;
                let ty = result.field_type.as_primitive_type().cloned().ok_or_else(|| {
                    Error::new(ErrorKind::Corrupt, format!("partition field {} is not primitive", field.name))
                })?;
                Ok(PartitionColumn { name: field.name.clone(), transform: field.transform, path, ty })
            })
            .collect::<Result<_>>()?;
        Ok(Self { fields })
    }

    /// The runs of consecutive rows that belong to one partition. `batch` has the table's schema.
    pub(super) fn split(&self, batch: &RecordBatch) -> Result<Vec<(PartitionKey, Range<usize>)>> {
        if self.fields.is_empty() {
            return Ok(vec![(Vec::new(), 0..batch.num_rows())]);
        }
        let values = self
            .fields
            .iter()
            .map(|field| apply(&field.transform, &column_at(batch, &field.path)?))
            .collect::<Result<Vec<_>>>()?;
        let runs = partition(&values)
            .map_err(|e| Error::new(ErrorKind::Internal, "splitting rows by partition").with_source(e))?;
        runs.ranges().into_iter().map(|run| Ok((key_at(&values, run.start)?, run))).collect()
    }

    /// The folders of a partition, without slashes around them; empty for an unpartitioned table.
    pub(super) fn folders(&self, key: &PartitionKey) -> String {
        let folders: Vec<_> = self
            .fields
            .iter()
            .zip(key)
            .map(|(field, value)| partition_folder(&field.name, &human(&field.transform, &field.ty, value.as_ref())))
            .collect();
        folders.join("/")
    }
}

/// The column of a batch, or of a struct in it, with the nulls of all enclosing structs.
fn column_at(batch: &RecordBatch, path: &[usize]) -> Result<ArrayRef> {
    let mut column = Arc::clone(batch.column(path[0]));
    for index in &path[1..] {
        let parent = column.as_struct();
        let child = Arc::clone(parent.column(*index));
        column = if parent.null_count() == 0 {
            child
        } else {
            is_null(parent)
                .and_then(|absent| nullif(&child, &absent))
                .map_err(|e| Error::new(ErrorKind::Internal, "reading a partition column").with_source(e))?
        };
    }
    Ok(column)
}

fn key_at(columns: &[ArrayRef], row: usize) -> Result<PartitionKey> {
    columns.iter().map(|column| if column.is_null(row) { Ok(None) } else { literal(column, row).map(Some) }).collect()
}

/// Whether two partitions are the same. The two zeros are equal here, but not in Java, whose readers take the values of
/// rows from their partition.
pub(super) fn is_same(one: &PartitionKey, other: &PartitionKey) -> bool {
    let is_negative_zero = |value: &Option<PrimitiveLiteral>| match value {
        Some(PrimitiveLiteral::Float(v)) => v.0 == 0.0 && v.0.is_sign_negative(),
        Some(PrimitiveLiteral::Double(v)) => v.0 == 0.0 && v.0.is_sign_negative(),
        _ => false,
    };
    one == other && one.iter().map(is_negative_zero).eq(other.iter().map(is_negative_zero))
}

/// One `name=value` folder of a partition, encoded as by Java's `URLEncoder`, which other engines use.
///
/// Two differences: `*` is encoded as well, because some readers treat it as a wildcard, and a folder name that is too
/// long for file systems is truncated (the path is informative only; the partition's values are in the manifest).
pub(super) fn partition_folder(name: &str, value: &str) -> String {
    const LONGEST: usize = 200;
    let mut folder = encode(name);
    folder.push('=');
    for c in value.chars() {
        let encoded = encode(c.encode_utf8(&mut [0; 4]));
        if folder.len() + encoded.len() > LONGEST {
            folder.push('-');
            break;
        }
        folder.push_str(&encoded);
    }
    folder
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                encoded.push_str(&hex(&[byte]).to_uppercase());
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_encoded_as_by_java() {
        let check = |value: &str, folder: &str| {
            assert_eq!(partition_folder("종류", value), format!("%EC%A2%85%EB%A5%98={folder}"));
        };
        check("view", "view");
        check("a b/c+d%e*", "a+b%2Fc%2Bd%25e%2A");
        check("", "");
        check("..", "..");
        let long = partition_folder("text", &"가".repeat(100));
        assert!(long.len() <= 201 && long.ends_with("%EA%B0%80-"), "{long}");
    }
}
