//! `$files`: one row per live data or delete file of the snapshot.
//!
//! | column | |
//! |---|---|
//! | file_path | |
//! | spec_id | the partition spec that it was written with |
//! | partition | `day=2026-02-14/type=view`; NULL for a table that is not partitioned |
//! | record_count | rows, or deletes |
//! | file_size_in_bytes | |
//! | content | 0 rows, 1 position deletes, 2 equality deletes |
//! | file_format | `PARQUET` |
//! | sort_order_id | the table's sort order that its rows are in |
//! | column_sizes | bytes in the file, by field id |
//! | value_counts, null_value_counts, nan_value_counts | values, NULLs and NaNs, by field id |
//! | lower_bounds, upper_bounds | no value is below or above; text may be truncated; by field id |
//! | split_offsets | where row groups start |
//! | equality_ids | of equality deletes: the field ids of the columns that are compared |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int32Builder, Int64Array, Int64Builder, ListBuilder, MapArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Fields};
use iceberg::spec::{DataContentType, DataFile, Datum, TableMetadata};

use super::{batch, bound_text, internal, optional, partition_text, required, signed};
use crate::error::Result;
use crate::read::IcebergTable;

pub(super) async fn read(table: &IcebergTable) -> Result<RecordBatch> {
    let files = table.all_files().await?;
    let all: Vec<(i32, &DataFile)> =
        files.data.iter().chain(&files.deletes).map(|f| (f.spec_id, &f.data_file)).collect();
    rows(table.table().metadata(), &all)
}

/// Files, each with the id of its partition spec.
pub(super) fn rows(metadata: &TableMetadata, of: &[(i32, &DataFile)]) -> Result<RecordBatch> {
    let file = || of.iter().map(|(_, file)| *file);
    let partitions = of.iter().map(|(spec, file)| partition_text(metadata, *spec, file.partition()));
    let content = |f: &DataFile| match f.content_type() {
        DataContentType::Data => 0,
        DataContentType::PositionDeletes => 1,
        DataContentType::EqualityDeletes => 2,
    };
    let mut offsets = ListBuilder::new(Int64Builder::new());
    let mut equality = ListBuilder::new(Int32Builder::new());
    for f in file() {
        offsets.append_option(f.split_offsets().map(|offsets| offsets.iter().copied().map(Some)));
        equality.append_option(f.equality_ids().map(|ids| ids.into_iter().map(Some)));
    }
    batch(vec![
        required("file_path", StringArray::from_iter_values(file().map(DataFile::file_path))),
        required("spec_id", Int32Array::from_iter_values(of.iter().map(|(spec, _)| *spec))),
        optional("partition", StringArray::from_iter(partitions)),
        required("record_count", Int64Array::from_iter_values(file().map(|f| signed(f.record_count())))),
        required("file_size_in_bytes", Int64Array::from_iter_values(file().map(|f| signed(f.file_size_in_bytes())))),
        required("content", Int32Array::from_iter_values(file().map(content))),
        required(
            "file_format",
            StringArray::from_iter_values(file().map(|f| f.file_format().to_string().to_uppercase())),
        ),
        optional("sort_order_id", Int32Array::from_iter(file().map(DataFile::sort_order_id))),
        required("column_sizes", counts(file().map(DataFile::column_sizes))?),
        required("value_counts", counts(file().map(DataFile::value_counts))?),
        required("null_value_counts", counts(file().map(DataFile::null_value_counts))?),
        required("nan_value_counts", counts(file().map(DataFile::nan_value_counts))?),
        required("lower_bounds", bounds(file().map(DataFile::lower_bounds))?),
        required("upper_bounds", bounds(file().map(DataFile::upper_bounds))?),
        optional("split_offsets", offsets.finish()),
        optional("equality_ids", equality.finish()),
    ])
}

fn counts<'a>(of: impl Iterator<Item = &'a HashMap<i32, u64>>) -> Result<MapArray> {
    by_field(of, |all| Arc::new(Int64Array::from_iter_values(all.into_iter().map(|n| signed(*n)))))
}

fn bounds<'a>(of: impl Iterator<Item = &'a HashMap<i32, Datum>>) -> Result<MapArray> {
    by_field(of, |all| Arc::new(StringArray::from_iter_values(all.into_iter().map(bound_text))))
}

/// Maps from field id, whose values `array` builds all at once.
fn by_field<'a, V: 'a>(
    of: impl Iterator<Item = &'a HashMap<i32, V>>,
    array: impl Fn(Vec<&'a V>) -> ArrayRef,
) -> Result<MapArray> {
    let (mut lengths, mut ids, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for map in of {
        lengths.push(map.len());
        for (id, value) in map.iter().collect::<BTreeMap<_, _>>() {
            ids.push(*id);
            values.push(value);
        }
    }
    let values = array(values);
    let fields = [
        Field::new("key", arrow::datatypes::DataType::Int32, false),
        Field::new("value", values.data_type().clone(), false),
    ];
    let fields = Fields::from(fields.to_vec());
    let pairs = StructArray::try_new(fields.clone(), vec![Arc::new(Int32Array::from(ids)), values], None);
    let entries = Arc::new(Field::new_struct("key_value", fields, false));
    MapArray::try_new(entries, OffsetBuffer::from_lengths(lengths), pairs.map_err(internal)?, None, false)
        .map_err(internal)
}
