//! Conversions between Iceberg's types and Arrow's, of schemas and single values; arrays are never converted.
//!
//! iceberg 0.10 carries arrow 58 while everything else runs on arrow 59, so its own conversions cannot be called. The
//! mapping follows the Iceberg specification, appendix A ("Parquet" and "Arrow" columns); field ids travel in the field
//! metadata key that the Parquet writer and reader understand.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema, TimeUnit};
use datafusion::common::ScalarValue;
pub use iceberg::spec::Datum;
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveLiteral, PrimitiveType, Schema, StructType, Type,
};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use crate::error::{Error, ErrorKind, Result};

/// Time zone name of `timestamptz` columns: Iceberg stores instants, in UTC.
pub const UTC: &str = "UTC";

/// The Arrow schema of an Iceberg schema, each field (nested ones too) with its field id in the metadata.
pub fn arrow_schema(schema: &Schema) -> Result<ArrowSchema> {
    Ok(ArrowSchema::new(arrow_fields(schema.as_struct())?))
}

/// The Arrow schema that readers see: without field ids, and with list elements named as in Arrow. Otherwise the type
/// of a nested column would differ from that of the same column in an expression.
pub fn plain_arrow_schema(schema: &Schema) -> Result<ArrowSchema> {
    let with_ids = arrow_schema(schema)?;
    Ok(ArrowSchema::new(with_ids.fields().iter().map(without_metadata).collect::<Fields>()))
}

fn without_metadata(field: &FieldRef) -> FieldRef {
    let plain = rebuilt(field, field.is_nullable(), without_metadata);
    let DataType::List(element) = plain.data_type() else { return plain };
    let element = element.as_ref().clone().with_name(Field::LIST_FIELD_DEFAULT_NAME);
    let ty = DataType::List(Arc::new(element));
    Arc::new(plain.as_ref().clone().with_data_type(ty))
}

/// The field without metadata, with `nested` applied to the fields in it.
fn rebuilt(field: &FieldRef, nullable: bool, nested: fn(&FieldRef) -> FieldRef) -> FieldRef {
    let ty = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nested).collect()),
        DataType::List(element) => DataType::List(nested(element)),
        DataType::LargeList(element) => DataType::LargeList(nested(element)),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else { return Arc::clone(field) };
            let pair = DataType::Struct(pair.iter().map(|f| rebuilt(f, f.is_nullable(), nested)).collect());
            DataType::Map(Arc::new(Field::new(entries.name(), pair, false)), *sorted)
        }
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), ty, nullable))
}

fn arrow_fields(fields: &StructType) -> Result<Fields> {
    fields.fields().iter().map(|f| arrow_field(f)).collect()
}

fn arrow_field(field: &NestedField) -> Result<FieldRef> {
    if field.initial_default.is_some() {
        // Files that lack the column have this value for all of their rows, and it would be read as NULL.
        let what = format!("column {} has an initial default, which is not supported yet", field.name);
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    let ty = arrow_type(&field.field_type)?;
    let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_string(), field.id.to_string())]);
    Ok(Arc::new(Field::new(&field.name, ty, !field.required).with_metadata(id)))
}

/// The Arrow type of an Iceberg type.
pub fn arrow_type(ty: &Type) -> Result<DataType> {
    Ok(match ty {
        Type::Primitive(p) => match p {
            PrimitiveType::Boolean => DataType::Boolean,
            PrimitiveType::Int => DataType::Int32,
            PrimitiveType::Long => DataType::Int64,
            PrimitiveType::Float => DataType::Float32,
            PrimitiveType::Double => DataType::Float64,
            PrimitiveType::Decimal { precision, scale } => DataType::Decimal128(small(*precision)?, small(*scale)?),
            PrimitiveType::Date => DataType::Date32,
            PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
            PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            PrimitiveType::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
            PrimitiveType::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())),
            PrimitiveType::String => DataType::Utf8,
            PrimitiveType::Uuid => DataType::FixedSizeBinary(16),
            PrimitiveType::Fixed(n) => DataType::FixedSizeBinary(small(*n)?),
            PrimitiveType::Binary => DataType::Binary,
        },
        Type::Struct(s) => DataType::Struct(arrow_fields(s)?),
        Type::List(l) => DataType::List(arrow_field(&l.element_field)?),
        Type::Map(m) => {
            let entries = Fields::from(vec![arrow_field(&m.key_field)?, arrow_field(&m.value_field)?]);
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
        }
    })
}

fn small<N: Copy + std::fmt::Display, S: TryFrom<N>>(n: N) -> Result<S> {
    S::try_from(n).map_err(|_| Error::new(ErrorKind::Corrupt, format!("{n} is too large for an Arrow type")))
}

/// Whether values of the type may be NaN, and zeros of two signs.
pub(crate) fn is_float(ty: &PrimitiveType) -> bool {
    matches!(ty, PrimitiveType::Float | PrimitiveType::Double)
}

/// The same columns, all optional, nested fields too: that a query cannot return NULL today is no promise for the table
/// that its result is stored in.
pub fn optional(schema: &ArrowSchema) -> ArrowSchema {
    ArrowSchema::new(schema.fields().iter().map(optional_field).collect::<Fields>())
}

fn optional_field(field: &FieldRef) -> FieldRef {
    rebuilt(field, true, optional_field)
}

/// The Iceberg schema of an Arrow schema, with fresh field ids in Java's order: all columns of one level, then their
/// nested fields.
pub fn iceberg_schema(schema: &ArrowSchema) -> Result<Schema> {
    let mut ids = 0;
    let fields = iceberg_fields(schema.fields(), &mut ids)?;
    Ok(Schema::builder().with_fields(fields).build()?)
}

/// The Iceberg field of an Arrow field, with the ids after `last_id`, which is set to the last one assigned.
pub fn iceberg_field(field: &Field, last_id: &mut i32) -> Result<NestedField> {
    let fields = iceberg_fields(&Fields::from(vec![field.clone()]), last_id)?;
    match fields.into_iter().next() {
        Some(field) => Ok(Arc::unwrap_or_clone(field)),
        None => Err(Error::new(ErrorKind::Internal, "a field without a field")),
    }
}

fn iceberg_fields(fields: &Fields, ids: &mut i32) -> Result<Vec<NestedFieldRef>> {
    let first = *ids + 1;
    *ids += i32::try_from(fields.len()).map_err(|_| Error::new(ErrorKind::Invalid, "too many columns"))?;
    fields
        .iter()
        .zip(first..)
        .map(|(f, id)| {
            let ty = iceberg_type(f.data_type(), ids).map_err(|e| e.context(format!("column {}", f.name())))?;
            Ok(Arc::new(NestedField::new(id, f.name(), ty, !f.is_nullable())))
        })
        .collect()
}

fn iceberg_type(ty: &DataType, ids: &mut i32) -> Result<Type> {
    let primitive = match ty {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => PrimitiveType::Int,
        // Iceberg has no unsigned types; DataFusion's counts and row numbers are UInt64 and fit.
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => PrimitiveType::Long,
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            PrimitiveType::Decimal { precision: u32::from(*p), scale: s.unsigned_abs().into() }
        }
        DataType::Date32 | DataType::Date64 => PrimitiveType::Date,
        DataType::Time32(_) | DataType::Time64(_) => PrimitiveType::Time,
        // Version 2 tables hold microseconds; nanoseconds are a version 3 type.
        DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(n) => PrimitiveType::Fixed(small(*n)?),
        DataType::Dictionary(_, value) => return iceberg_type(value, ids),
        DataType::Struct(fields) => return Ok(Type::Struct(StructType::new(iceberg_fields(fields, ids)?))),
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f)
        | DataType::LargeListView(f) => {
            *ids += 1;
            let id = *ids;
            let element = NestedField::list_element(id, iceberg_type(f.data_type(), ids)?, !f.is_nullable());
            return Ok(Type::List(ListType::new(element.into())));
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(Error::new(ErrorKind::Internal, "a map's entries are not a struct"));
            };
            let [key, value] = pair.iter().as_slice() else {
                return Err(Error::new(ErrorKind::Internal, "a map's entries are not pairs"));
            };
            *ids += 2;
            let (key_id, value_id) = (*ids - 1, *ids);
            let key_field = NestedField::map_key_element(key_id, iceberg_type(key.data_type(), ids)?);
            let value_type = iceberg_type(value.data_type(), ids)?;
            let value_field = NestedField::map_value_element(value_id, value_type, !value.is_nullable());
            return Ok(Type::Map(MapType::new(key_field.into(), value_field.into())));
        }
        other => {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("type {other} has no Iceberg equivalent; cast the column"),
            ));
        }
    };
    Ok(Type::Primitive(primitive))
}

/// The scalar of an Iceberg value, in the Arrow type that its column has in [`arrow_schema`].
pub fn scalar(datum: &Datum) -> Option<ScalarValue> {
    scalar_of(datum.data_type(), datum.literal())
}

/// The scalar of an Iceberg literal of type `ty`; `None` for types that need no scalar (they are never pruned on).
pub fn scalar_of(ty: &PrimitiveType, literal: &PrimitiveLiteral) -> Option<ScalarValue> {
    use PrimitiveLiteral as L;
    use PrimitiveType as T;
    let utc = || Some(Arc::from(UTC));
    Some(match (ty, literal) {
        (T::Boolean, L::Boolean(v)) => ScalarValue::Boolean(Some(*v)),
        (T::Int, L::Int(v)) => ScalarValue::Int32(Some(*v)),
        // Values of a column from before it was widened.
        (T::Long, L::Int(v)) => ScalarValue::Int64(Some(i64::from(*v))),
        (T::Long, L::Long(v)) => ScalarValue::Int64(Some(*v)),
        (T::Float, L::Float(v)) => ScalarValue::Float32(Some(v.0)),
        (T::Double, L::Float(v)) => ScalarValue::Float64(Some(f64::from(v.0))),
        (T::Double, L::Double(v)) => ScalarValue::Float64(Some(v.0)),
        (T::Date, L::Int(v)) => ScalarValue::Date32(Some(*v)),
        (T::Time, L::Long(v)) => ScalarValue::Time64Microsecond(Some(*v)),
        (T::Timestamp, L::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), None),
        (T::Timestamptz, L::Long(v)) => ScalarValue::TimestampMicrosecond(Some(*v), utc()),
        (T::TimestampNs, L::Long(v)) => ScalarValue::TimestampNanosecond(Some(*v), None),
        (T::TimestamptzNs, L::Long(v)) => ScalarValue::TimestampNanosecond(Some(*v), utc()),
        (T::String, L::String(v)) => ScalarValue::Utf8(Some(v.clone())),
        (T::Decimal { precision, scale }, L::Int128(v)) => {
            ScalarValue::Decimal128(Some(*v), u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
        }
        _ => return None,
    })
}

/// The Iceberg value of a scalar; `None` for nulls and for types that Iceberg cannot compare.
pub fn datum(value: &ScalarValue) -> Option<Datum> {
    Some(match value {
        ScalarValue::Boolean(Some(v)) => Datum::bool(*v),
        ScalarValue::Int8(Some(v)) => Datum::int(i32::from(*v)),
        ScalarValue::Int16(Some(v)) => Datum::int(i32::from(*v)),
        ScalarValue::Int32(Some(v)) => Datum::int(*v),
        ScalarValue::Int64(Some(v)) => Datum::long(*v),
        ScalarValue::Float32(Some(v)) => Datum::float(*v),
        ScalarValue::Float64(Some(v)) => Datum::double(*v),
        ScalarValue::Date32(Some(v)) => Datum::date(*v),
        ScalarValue::Time64Microsecond(Some(v)) => Datum::time_micros(*v).ok()?,
        ScalarValue::TimestampMicrosecond(Some(v), None) => Datum::timestamp_micros(*v),
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => Datum::timestamptz_micros(*v),
        ScalarValue::TimestampNanosecond(Some(v), None) => Datum::timestamp_nanos(*v),
        ScalarValue::TimestampNanosecond(Some(v), Some(_)) => Datum::timestamptz_nanos(*v),
        ScalarValue::Utf8(Some(v)) | ScalarValue::LargeUtf8(Some(v)) | ScalarValue::Utf8View(Some(v)) => {
            Datum::string(v)
        }
        ScalarValue::Decimal128(Some(v), p, s) => {
            let ty = PrimitiveType::Decimal { precision: u32::from(*p), scale: u32::try_from(*s).ok()? };
            // The only public way to a decimal of a given precision that is not through text.
            Datum::try_from_bytes(&v.to_be_bytes(), ty).ok()?
        }
        ScalarValue::Dictionary(_, inner) => return datum(inner),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use iceberg::spec::Literal;

    use super::*;

    #[test]
    fn a_column_with_an_initial_default_is_refused() {
        let column = NestedField::optional(1, "state", Type::Primitive(PrimitiveType::String));
        let schema = |column: NestedField| Schema::builder().with_fields([column.into()]).build().unwrap();
        // A write default applies to new rows only.
        let with_write_default = column.clone().with_write_default(Literal::string("new"));
        assert!(arrow_schema(&schema(with_write_default)).is_ok());
        let e = arrow_schema(&schema(column.with_initial_default(Literal::string("new")))).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("column state"), "{e}");
    }
}
