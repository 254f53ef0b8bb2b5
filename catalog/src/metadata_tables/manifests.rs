//! `$manifests`: one row per manifest of the snapshot.
//!
//! | column | |
//! |---|---|
//! | content | 0 for data files, 1 for delete files |
//! | path, length | the manifest, and its bytes |
//! | partition_spec_id | the spec of the files that it lists |
//! | added_snapshot_id | the snapshot that it was written for |
//! | added_data_files_count, existing_data_files_count, deleted_data_files_count | data files that this snapshot added, kept and removed; 0 for a manifest of deletes |
//! | added_delete_files_count, existing_delete_files_count, deleted_delete_files_count | delete files likewise; 0 for a manifest of data files |
//! | partition_summaries | for each field of the partition spec: whether there are NULLs and NaNs, and the bounds |

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use iceberg::spec::{Datum, FieldSummary, ManifestContentType, ManifestFile, TableMetadata};

use super::{batch, internal, required};
use crate::error::Result;
use crate::read::IcebergTable;
use crate::table::files::manifest_list;
use crate::table::partition_value::human;

pub(super) async fn read(table: &IcebergTable) -> Result<RecordBatch> {
    let manifests = match table.snapshot() {
        Some(snapshot) => manifest_list(table.table(), snapshot).await?,
        None => Vec::new(),
    };
    rows(table.table().metadata(), &manifests)
}

pub(super) fn rows(metadata: &TableMetadata, of: &[ManifestFile]) -> Result<RecordBatch> {
    let count = |name: &str, content: ManifestContentType, count: fn(&ManifestFile) -> Option<u32>| {
        let of_manifest = |m: &ManifestFile| match m.content == content {
            true => i32::try_from(count(m).unwrap_or_default()).unwrap_or(i32::MAX),
            false => 0,
        };
        required(name, Int32Array::from_iter_values(of.iter().map(of_manifest)))
    };
    let content = |m: &ManifestFile| match m.content {
        ManifestContentType::Data => 0,
        ManifestContentType::Deletes => 1,
    };
    let (data, deletes) = (ManifestContentType::Data, ManifestContentType::Deletes);
    batch(vec![
        required("content", Int32Array::from_iter_values(of.iter().map(content))),
        required("path", StringArray::from_iter_values(of.iter().map(|m| &m.manifest_path))),
        required("length", Int64Array::from_iter_values(of.iter().map(|m| m.manifest_length))),
        required("partition_spec_id", Int32Array::from_iter_values(of.iter().map(|m| m.partition_spec_id))),
        required("added_snapshot_id", Int64Array::from_iter_values(of.iter().map(|m| m.added_snapshot_id))),
        count("added_data_files_count", data, |m| m.added_files_count),
        count("existing_data_files_count", data, |m| m.existing_files_count),
        count("deleted_data_files_count", data, |m| m.deleted_files_count),
        count("added_delete_files_count", deletes, |m| m.added_files_count),
        count("existing_delete_files_count", deletes, |m| m.existing_files_count),
        count("deleted_delete_files_count", deletes, |m| m.deleted_files_count),
        required("partition_summaries", summaries(metadata, of)?),
    ])
}

fn summaries(metadata: &TableMetadata, of: &[ManifestFile]) -> Result<ListArray> {
    let (mut lengths, mut nulls, mut nans, mut lower, mut upper) = (vec![], vec![], vec![], vec![], vec![]);
    for manifest in of {
        let fields: &[FieldSummary] = manifest.partitions.as_deref().unwrap_or_default();
        lengths.push(fields.len());
        for (at, field) in fields.iter().enumerate() {
            let text = |bytes: &Option<_>| bound(metadata, manifest.partition_spec_id, at, bytes.as_deref()?);
            nulls.push(field.contains_null);
            nans.push(field.contains_nan);
            lower.push(text(&field.lower_bound.as_ref().map(|b| b.to_vec())));
            upper.push(text(&field.upper_bound.as_ref().map(|b| b.to_vec())));
        }
    }
    let fields = Fields::from(vec![
        Field::new("contains_null", DataType::Boolean, false),
        Field::new("contains_nan", DataType::Boolean, true),
        Field::new("lower_bound", DataType::Utf8, true),
        Field::new("upper_bound", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(nulls)),
        Arc::new(BooleanArray::from(nans)),
        Arc::new(StringArray::from(lower)),
        Arc::new(StringArray::from(upper)),
    ];
    let values = StructArray::try_new(fields.clone(), columns, None).map_err(internal)?;
    let element = Arc::new(Field::new_struct("element", fields, false));
    ListArray::try_new(element, OffsetBuffer::from_lengths(lengths), Arc::new(values), None).map_err(internal)
}

/// A bound of the partition field at this position of the spec, as readable text; `None` if it cannot be decoded.
fn bound(metadata: &TableMetadata, spec_id: i32, at: usize, bytes: &[u8]) -> Option<String> {
    let spec = metadata.partition_spec_by_id(spec_id)?;
    let ty = spec.partition_type(metadata.current_schema()).ok()?.fields().get(at)?.field_type.clone();
    let ty = ty.as_primitive_type()?;
    let value = Datum::try_from_bytes(bytes, ty.clone()).ok()?;
    Some(human(&spec.fields().get(at)?.transform, ty, Some(value.literal())))
}
