//! Which files a condition rules out, and for which it holds in every row, by what manifests say.
//!
//! Pure decisions on plain data: nothing is read here. A condition becomes a [`Predicate`]; what a manifest says of a
//! file becomes, for each column, the values that it may have there; and the one is evaluated over the other, with the
//! three truth values of SQL. What is not understood may be anything, so that a file is kept and not taken for one that
//! fits as a whole.

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

/// Whether a row of the file may fit. `spec_id` is the partition spec that the file was written under.
pub(crate) fn may_fit(predicate: &Predicate, file: &DataFile, spec_id: i32, metadata: &TableMetadata) -> bool {
    outcome(predicate, file, spec_id, metadata).is_true
}

/// Whether all rows of the file fit.
pub(crate) fn fits_all(predicate: &Predicate, file: &DataFile, spec_id: i32, metadata: &TableMetadata) -> bool {
    outcome(predicate, file, spec_id, metadata).fits_all()
}

fn outcome(predicate: &Predicate, file: &DataFile, spec_id: i32, metadata: &TableMetadata) -> Outcome {
    let spec = metadata.partition_spec_by_id(spec_id);
    predicate.outcome(&|column: &NestedFieldRef| Values::in_file(column, file, spec.map(AsRef::as_ref)))
}

/// Whether a row of a file that the manifest lists may fit.
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

/// Whether the partition values of a file decide the filter for every row of the file, whatever the file: then files
/// that may fit need not be looked at again.
///
/// True of columns that every partition spec of the table holds as they are (identity), and of bounds of a time that
/// fall on the border of its day or hour partitions.
pub(crate) fn is_decided_by_partition(filter: &Expr, metadata: &TableMetadata, schema: &Schema) -> bool {
    Predicate::of(filter, schema).is_decided(&|leaf: &Predicate| {
        let (column, border) = match leaf {
            Predicate::Compared(column, how, operand) => (column, Some((*how, &operand.value))),
            Predicate::IsIn(column, _) | Predicate::IsNull(column) | Predicate::BeginsWith(column, _) => (column, None),
            _ => return false,
        };
        if !is_told_by_one_value(column) {
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

/// Whether a value of the column in a manifest is the value of a row: NaN and the two zeros are told by no single
/// value, and values of types that have no scalar in `bridge` are not looked at.
fn is_told_by_one_value(column: &NestedField) -> bool {
    use PrimitiveType as P;
    let untold = |ty: &P| matches!(ty, P::Float | P::Double | P::Binary | P::Fixed(_) | P::Uuid);
    primitive(column).is_some_and(|ty| !untold(ty))
}

/// One transform of the column from each partition spec the table has had; `None` when a spec has none, because files
/// written under that spec then hold any value.
fn transforms_of(column: &NestedField, metadata: &TableMetadata) -> Option<Vec<Transform>> {
    let of_spec =
        |spec: &PartitionSpecRef| spec.fields().iter().find(|f| f.source_id == column.id).map(|f| f.transform);
    metadata.partition_specs_iter().map(of_spec).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
}

/// Whether the values that compare so with `value` are those of whole partitions.
fn is_border(how: Comparison, value: &ScalarValue, transform: Transform) -> bool {
    const HOUR: i64 = 3_600_000_000;
    const DAY: i64 = 24 * HOUR;
    if !matches!(how, Comparison::GtEq | Comparison::Lt) {
        return false;
    }
    match value {
        ScalarValue::Date32(Some(_)) => transform == Transform::Day,
        // Before 1970 old writers rounded up: see `values`.
        ScalarValue::TimestampMicrosecond(Some(v), _) => {
            *v >= DAY && v % if transform == Transform::Day { DAY } else { HOUR } == 0
        }
        _ => false,
    }
}
