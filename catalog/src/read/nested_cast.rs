//! Casts that rename the fields inside a nested column, and add or drop fields inside a map. A projection renames
//! columns, but the names inside a column are part of its type, and DataFusion's casts neither rename fields nor change
//! the fields of a map's values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{Error, ErrorKind, Result};

/// Name of the function that [`nested_cast_udf`] returns.
pub const NESTED_CAST_FUNCTION: &str = "iceberg_nested_cast";

/// The function `iceberg_nested_cast(value, named, type)`: casts `value` to the type of `type`. `named` has the same
/// type, but with the names that the struct fields have in `value`; both arguments are NULL and only carry their types.
/// A field that the value lacks is NULL, and one that the type lacks is dropped.
///
/// The function has no state and is encoded in plans by name: register it wherever plans are decoded.
pub fn nested_cast_udf() -> ScalarUDF {
    ScalarUDF::from(NestedCast { signature: Signature::any(3, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NestedCast {
    signature: Signature,
}

impl ScalarUDFImpl for NestedCast {
    fn name(&self) -> &str {
        NESTED_CAST_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(arguments[2].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let (value, ty) = (&args.arg_fields[0], &args.arg_fields[2]);
        Ok(Arc::new(Field::new(NESTED_CAST_FUNCTION, ty.data_type().clone(), value.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let (named, to) = (args.arg_fields[1].data_type(), args.return_field.data_type());
        match &args.args[0] {
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(nested_cast(values, named, to)?)),
            ColumnarValue::Scalar(value) => {
                let cast = nested_cast(&value.to_array()?, named, to)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?))
            }
        }
    }
}

/// Casts `values` to `to`, sharing buffers. Fields are looked up by their names in `named`, which has the shape of
/// `to`.
fn nested_cast(values: &ArrayRef, named: &DataType, to: &DataType) -> Result<ArrayRef> {
    let failed = |e| Error::new(ErrorKind::Internal, "casting a nested column").with_source(e);
    match (values.data_type(), named, to) {
        (from, _, to) if from == to && named == to => Ok(Arc::clone(values)),
        (DataType::Struct(from), DataType::Struct(named), DataType::Struct(to)) if named.len() == to.len() => {
            let (_, children, nulls) = values.as_struct().clone().into_parts();
            let children = named.iter().zip(to).map(|(named, to)| match from.find(named.name()) {
                Some((at, _)) => nested_cast(&children[at], named.data_type(), to.data_type()),
                None => Ok(new_null_array(to.data_type(), values.len())),
            });
            let children = children.collect::<Result<Vec<_>>>()?;
            let array = StructArray::try_new_with_length(to.clone(), children, nulls, values.len());
            Ok(Arc::new(array.map_err(failed)?))
        }
        (DataType::List(_), DataType::List(named), DataType::List(element)) => {
            let (_, offsets, items, nulls) = values.as_list::<i32>().clone().into_parts();
            let items = nested_cast(&items, named.data_type(), element.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, items, nulls).map_err(failed)?))
        }
        (DataType::Map(..), DataType::Map(named, _), DataType::Map(entries, sorted)) => {
            let (_, offsets, pairs, nulls, _) = values.as_map().clone().into_parts();
            // The key and the value are identified by position, because writers name them differently.
            let (DataType::Struct(named), DataType::Struct(to)) = (named.data_type(), entries.data_type()) else {
                return Err(Error::new(ErrorKind::Internal, "the entries of a map are not a struct"));
            };
            let columns = pairs.columns().iter().zip(named).zip(to);
            let columns = columns.map(|((pair, named), to)| nested_cast(pair, named.data_type(), to.data_type()));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let pairs = StructArray::try_new(to.clone(), columns, pairs.nulls().cloned()).map_err(failed)?;
            let array = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted);
            Ok(Arc::new(array.map_err(failed)?))
        }
        (from, _, to) if from.is_nested() || to.is_nested() => {
            Err(Error::new(ErrorKind::Internal, format!("{from} and {to} differ in more than their fields")))
        }
        (_, _, to) => cast(values, to).map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int32Array};
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::Fields;

    fn point(x: &str) -> Fields {
        vec![Field::new(x, DataType::Int32, true)].into()
    }

    #[test]
    fn names_change_and_values_do_not() {
        let nulls = Some(NullBuffer::from(vec![true, false, true]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, None]));
        let points = StructArray::try_new(point("x"), vec![numbers], nulls).unwrap();
        let element = Arc::new(Field::new("element", DataType::Struct(point("x")), true));
        let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
        let nulls = Some(NullBuffer::from(vec![true, false, true]));
        let list: ArrayRef = Arc::new(ListArray::try_new(element, offsets, Arc::new(points), nulls).unwrap());

        let to = DataType::new_list(DataType::Struct(point("y")), true);
        let cast = nested_cast(&list, list.data_type(), &to).unwrap();
        assert_eq!(cast.data_type(), &to);
        assert_eq!((cast.is_null(1), cast.len()), (true, 3));
        let values = cast.as_list::<i32>().values().as_struct();
        assert_eq!(values.nulls().map(|n| n.iter().collect::<Vec<_>>()), Some(vec![true, false, true]));
        assert!(values.column(0).as_primitive::<arrow::datatypes::Int32Type>().value(0) == 1);

        let e = nested_cast(&list, &DataType::Int32, &DataType::Int32).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Internal);
    }

    #[test]
    fn the_values_of_a_map_get_the_fields_of_its_type() {
        let map_of = |fields: &[(&str, DataType)]| {
            let fields: Fields = fields.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect();
            let pair =
                vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Struct(fields), true)];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
        };
        let DataType::Map(entries, _) = map_of(&[("gone", DataType::Int32), ("n", DataType::Int32)]) else {
            unreachable!()
        };
        let DataType::Struct(pair) = entries.data_type() else { unreachable!() };
        let DataType::Struct(fields) = pair[1].data_type() else { unreachable!() };
        let number = |values: [i32; 3]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
        let nulls = Some(NullBuffer::from(vec![true, true, false]));
        let values = StructArray::try_new(fields.clone(), vec![number([7, 8, 9]), number([1, 2, 3])], nulls).unwrap();
        let keys: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a", "b", "c"]));
        let pairs = StructArray::try_new(pair.clone(), vec![keys, Arc::new(values)], None).unwrap();
        let nulls = Some(NullBuffer::from(vec![true, false, true]));
        let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
        let map: ArrayRef = Arc::new(MapArray::try_new(entries, offsets, pairs, nulls, false).unwrap());

        // `n` was renamed to `m` and widened to long; `new` is not in the file.
        let named = map_of(&[("new", DataType::Utf8), ("n", DataType::Int64)]);
        let to = map_of(&[("new", DataType::Utf8), ("m", DataType::Int64)]);
        let cast = nested_cast(&map, &named, &to).unwrap();
        assert_eq!((cast.data_type(), cast.is_null(1)), (&to, true));
        let text = arrow::util::display::array_value_to_string(&cast, 0).unwrap();
        assert_eq!(text, "{a: {new: , m: 1}, b: {new: , m: 2}}");
        assert_eq!(arrow::util::display::array_value_to_string(&cast, 2).unwrap(), "{c: }");
    }
}
