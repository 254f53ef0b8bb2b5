//! Other names for the fields inside a nested column. Names of columns are a projection's; those inside a column are part of
//! its type, and no cast of DataFusion gives a field another name.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{Error, ErrorKind, Result};

/// Name of the function that [`relabel_udf`] makes.
pub const RELABEL_FUNCTION: &str = "iceberg_relabel";

/// The function `iceberg_relabel(value, type)`: the same value under the names of the type of its second argument, which is
/// a NULL. The two types differ in nothing but names of fields in structs.
///
/// The function has no state, so it travels in plans by name: register it wherever plans are decoded.
pub fn relabel_udf() -> ScalarUDF {
    ScalarUDF::from(Relabel { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Relabel {
    signature: Signature,
}

impl ScalarUDFImpl for Relabel {
    fn name(&self) -> &str {
        RELABEL_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(arguments[1].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let (value, named) = (&args.arg_fields[0], &args.arg_fields[1]);
        Ok(Arc::new(Field::new(RELABEL_FUNCTION, named.data_type().clone(), value.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let to = args.return_field.data_type();
        match &args.args[0] {
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(relabel(values, to)?)),
            ColumnarValue::Scalar(value) => {
                let relabelled = relabel(&value.to_array()?, to)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&relabelled, 0)?))
            }
        }
    }
}

/// The same values; buffers are shared.
fn relabel(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let internal = |e| Error::new(ErrorKind::Internal, "naming the fields of a column").with_source(e);
    match (values.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(values)),
        (DataType::Struct(from), DataType::Struct(to)) if from.len() == to.len() => {
            let (_, children, nulls) = values.as_struct().clone().into_parts();
            let children = children.iter().zip(to).map(|(child, field)| relabel(child, field.data_type()));
            let children = children.collect::<Result<Vec<_>>>()?;
            let named = StructArray::try_new_with_length(to.clone(), children, nulls, values.len());
            Ok(Arc::new(named.map_err(internal)?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let (_, offsets, items, nulls) = values.as_list::<i32>().clone().into_parts();
            let items = relabel(&items, element.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, items, nulls).map_err(internal)?))
        }
        (from, to) => {
            Err(Error::new(ErrorKind::Internal, format!("{from} and {to} differ in more than the names of fields")))
        }
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
        let named = relabel(&list, &to).unwrap();
        assert_eq!(named.data_type(), &to);
        assert_eq!((named.is_null(1), named.len()), (true, 3));
        let values = named.as_list::<i32>().values().as_struct();
        assert_eq!(values.nulls().map(|n| n.iter().collect::<Vec<_>>()), Some(vec![true, false, true]));
        assert!(values.column(0).as_primitive::<arrow::datatypes::Int32Type>().value(0) == 1);

        let e = relabel(&list, &DataType::Int32).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Internal);
    }
}
