//! Columns as SQL writes them, with the types that `CREATE TABLE` gives them.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{ColumnDef, DataType as SqlType, Ident};

use crate::bridge::UTC;
use crate::error::{Error, ErrorKind, Result};

/// The Arrow type of an SQL type.
pub(super) fn arrow_type(ty: SqlType, clause: &str) -> Result<DataType> {
    let mut options = ConfigOptions::default();
    options.execution.time_zone = Some(UTC.to_string());
    let context = TypesOnly(options);
    let parser_options = ParserOptions { map_string_types_to_utf8view: false, ..ParserOptions::default() };
    let column = ColumnDef { name: Ident::new("c"), data_type: ty, options: Vec::new() };
    let schema = SqlToRel::new_with_options(&context, parser_options).build_schema(vec![column]);
    let schema = schema.map_err(|e| Error::new(ErrorKind::Invalid, format!("{clause}: {}", e.strip_backtrace())))?;
    Ok(schema.field(0).data_type().clone())
}

/// Knows no table and no function: all that types need.
struct TypesOnly(ConfigOptions);

impl ContextProvider for TypesOnly {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
        Err(DataFusionError::Plan(format!("a type names no table, and {name} is one")))
    }

    fn get_function_meta(&self, _: &str) -> Option<Arc<ScalarUDF>> {
        None
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.0
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
