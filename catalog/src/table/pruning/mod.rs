//! Prunes files by manifest metadata: which files may have rows that match a predicate (inclusive projection), and
//! which files it fully matches (strict projection).
//!
//! Pure decisions on plain data: nothing is read here. A condition becomes a [`Predicate`]; the metadata of a file
//! becomes, for each column, the values that it may have there; the predicate is evaluated over these values, with the
//! three truth values of SQL. A condition that is not understood may have any value: the file is kept, and does not
//! count as fully matched.

mod choice;
mod outcome;
mod predicate;
mod values;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use iceberg::spec::{
    ByteBuf, DataFile, Datum, FieldSummary, ManifestFile, NestedField, NestedFieldRef, PartitionField,
    PartitionSpecRef, PrimitiveType, Schema, TableMetadata, Transform,
};

pub(crate) use self::choice::{FileChoice, Numbered};
use self::outcome::Outcome;
use self::predicate::Comparison;
pub(crate) use self::predicate::Predicate;
use self::values::{Summary, Values, is_float, primitive};
use crate::bridge;

/// Whether a row of the file may match (inclusive projection). `spec_id` is the partition spec that the file was
/// written under.
pub(crate) fn may_match(predicate: &Predicate, file: &DataFile, spec_id: i32, metadata: &TableMetadata) -> bool {
    outcome(predicate, file, spec_id, metadata).is_true
}

/// Whether all rows of the file match (strict projection).
pub(crate) fn fully_matches(predicate: &Predicate, file: &DataFile, spec_id: i32, metadata: &TableMetadata) -> bool {
    outcome(predicate, file, spec_id, metadata).fully_matches()
}

fn outcome(predicate: &Predicate, file: &DataFile, spec_id: i32, metadata: &TableMetadata) -> Outcome {
    let spec = metadata.partition_spec_by_id(spec_id);
    predicate.outcome(&|column: &NestedFieldRef| Values::in_file(column, file, spec.map(AsRef::as_ref)))
}

/// Whether a row of a file that the manifest lists may match (inclusive projection).
pub(crate) fn may_list(predicate: &Predicate, manifest: &ManifestFile, metadata: &TableMetadata) -> bool {
    let (Some(spec), Some(summaries)) =
        (metadata.partition_spec_by_id(manifest.partition_spec_id), &manifest.partitions)
    else {
        return true;
    };
    let values = |column: &NestedFieldRef| {
        let fields = spec.fields().iter().zip(summaries).filter(|(field, _)| field.source_id == column.id);
        let of_field = |(field, summary): (&PartitionField, &FieldSummary)| {
            (field.transform, summary_of(column, field.transform, summary))
        };
        Values::in_manifest(column, fields.map(of_field))
    };
    predicate.outcome(&values).is_true
}

fn summary_of(column: &NestedField, transform: Transform, summary: &FieldSummary) -> Summary {
    let ty = values::partition_type(column, transform);
    let bound = |bytes: &Option<ByteBuf>| -> Option<ScalarValue> {
        bridge::scalar(&Datum::try_from_bytes(bytes.as_ref()?, ty.clone()?).ok()?)
    };
    let (low, high) = (bound(&summary.lower_bound), bound(&summary.upper_bound));
    let has_bounds = summary.lower_bound.is_some() || summary.upper_bound.is_some();
    let has_nan = summary.contains_nan.unwrap_or_else(|| is_float(column)) || has_bounds;
    Summary { has_null: summary.contains_null, has_nan, low, high }
}

/// Whether, for every file of the table, its partition values decide the filter for all of its rows: then inclusive and
/// strict projection agree, and the rows of the remaining files need not be filtered again.
///
/// True for columns that are identity partitioned in every partition spec of the table, and for bounds of a time on the
/// border of its day or hour partitions.
pub(crate) fn is_decided_by_partition(filter: &Expr, metadata: &TableMetadata, schema: &Schema) -> bool {
    Predicate::of(filter, schema).is_decided(&|leaf: &Predicate| {
        let (column, border) = match leaf {
            Predicate::Compared(column, how, operand) => (column, Some((*how, &operand.value))),
            Predicate::IsIn(column, _) | Predicate::IsNull(column) | Predicate::StartsWith(column, _) => (column, None),
            _ => return false,
        };
        if !is_given_by_one_value(column) {
            return false;
        }
        let Some(transforms) = transforms_of(column, metadata) else { return false };
        transforms.iter().all(|transform| match transform {
            Transform::Identity => true,
            Transform::Day | Transform::Hour => border.is_some_and(|(how, value)| is_border(how, value, *transform)),
            _ => false,
        })
    })
}

/// Whether a value of the column in a manifest is exactly the value of a row: no single value stands for NaN or for the
/// two zeros, and types without a scalar in `bridge` are not supported.
fn is_given_by_one_value(column: &NestedField) -> bool {
    use PrimitiveType as P;
    let is_ambiguous = |ty: &P| matches!(ty, P::Float | P::Double | P::Binary | P::Fixed(_) | P::Uuid);
    primitive(column).is_some_and(|ty| !is_ambiguous(ty))
}

/// One transform of the column from each partition spec of the table; `None` when a spec has none, because files
/// written under that spec may hold any value.
fn transforms_of(column: &NestedField, metadata: &TableMetadata) -> Option<Vec<Transform>> {
    let of_spec =
        |spec: &PartitionSpecRef| spec.fields().iter().find(|f| f.source_id == column.id).map(|f| f.transform);
    metadata.partition_specs_iter().map(of_spec).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
}

/// Whether the values for which the comparison with `value` holds make up whole partitions.
fn is_border(how: Comparison, value: &ScalarValue, transform: Transform) -> bool {
    const HOUR: i64 = 3_600_000_000;
    const DAY: i64 = 24 * HOUR;
    if !matches!(how, Comparison::GtEq | Comparison::Lt) {
        return false;
    }
    match value {
        ScalarValue::Date32(Some(_)) => transform == Transform::Day,
        // Old writers rounded times before 1970 up: see `values`.
        ScalarValue::TimestampMicrosecond(Some(v), _) => {
            *v >= DAY && v % if transform == Transform::Day { DAY } else { HOUR } == 0
        }
        _ => false,
    }
}
