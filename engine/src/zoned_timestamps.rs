//! `to_timestamp` and its variants, with results of the declared type.
//!
//! In a session with a time zone these functions declare timestamps of that zone. Over a string column and with
//! formats, DataFusion 55 returns timestamps without a zone, of the same instants. The rows then do not match their
//! schema, and the query fails.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Wraps the `to_timestamp` functions, and leaves others unchanged.
pub(crate) fn with_zones(functions: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let wrapped = |function: Arc<ScalarUDF>| match function.name().starts_with("to_timestamp") {
        true => Arc::new(ScalarUDF::new_from_impl(Zoned(function))),
        false => function,
    };
    functions.into_iter().map(wrapped).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Zoned(Arc<ScalarUDF>);

impl ScalarUDFImpl for Zoned {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.0.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.0.return_field_from_args(arguments)
    }

    fn with_updated_config(&self, settings: &ConfigOptions) -> Option<ScalarUDF> {
        let updated = self.0.inner().with_updated_config(settings)?;
        Some(ScalarUDF::new_from_impl(Self(Arc::new(updated))))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let declared = Arc::clone(&arguments.return_field);
        // Calls the implementation: `ScalarUDF` asserts in debug builds that the type matches.
        let times = self.0.inner().invoke_with_args(arguments)?;
        if times.data_type() == *declared.data_type() { Ok(times) } else { times.cast_to(declared.data_type(), None) }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}
