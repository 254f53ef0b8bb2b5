//! The SQL function by which a plan sorts and distributes rows by partition.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use iceberg::spec::Transform;

use crate::error::{Error, ErrorKind, Result};
use crate::table::transform::{apply, canonical_type, result_type};

/// Name of the function that [`partition_udf`] returns: `iceberg_partition('day', ts)`.
pub const PARTITION_FUNCTION: &str = "iceberg_partition";

/// The function `iceberg_partition(transform, column)`: the partition value of a column, as the table format defines
/// it.
///
/// The transform is its text in Iceberg's metadata (`day`, `bucket[16]`, `truncate[4]`) and must be a literal. The
/// function has no state and is encoded in plans by name: register it wherever plans are decoded.
pub fn partition_udf() -> ScalarUDF {
    ScalarUDF::from(PartitionFunction { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PartitionFunction {
    signature: Signature,
}

impl ScalarUDFImpl for PartitionFunction {
    fn name(&self) -> &str {
        PARTITION_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Err(Error::new(ErrorKind::Internal, "the type of iceberg_partition depends on its first argument").into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        let transform = parse(args.scalar_arguments[0])?;
        let source = canonical_type(args.arg_fields[1].data_type());
        Ok(Arc::new(Field::new(PARTITION_FUNCTION, result_type(&transform, &source)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let transform = match &args.args[0] {
            ColumnarValue::Scalar(text) => parse(Some(text))?,
            ColumnarValue::Array(_) => parse(None)?,
        };
        match &args.args[1] {
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(apply(&transform, values)?)),
            ColumnarValue::Scalar(value) => {
                let result = apply(&transform, &value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?))
            }
        }
    }
}

fn parse(text: Option<&ScalarValue>) -> Result<Transform> {
    let wrong = || {
        Error::new(
            ErrorKind::Invalid,
            format!(
                "the first argument of {PARTITION_FUNCTION} must be a literal transform, such as 'day' or 'bucket[16]'"
            ),
        )
    };
    match text.and_then(|t| t.try_as_str()).flatten().map(str::parse) {
        Some(Ok(transform)) if transform != Transform::Unknown => Ok(transform),
        _ => Err(wrong()),
    }
}
