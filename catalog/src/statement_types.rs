//! Parts of statements as types of Iceberg and Arrow, and errors of statements as the catalog's.

use std::sync::Arc;

use arrow::datatypes::DataType;
use bergmill_statement::{NullOrder, SortDirection, Term, Transform};
use datafusion::common::TableReference;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{ColumnDef, DataType as SqlType, Ident};
use iceberg::spec;

use crate::bridge::UTC;
use crate::error::{Error, ErrorKind, Result};

impl From<bergmill_statement::Error> for Error {
    fn from(e: bergmill_statement::Error) -> Self {
        let kind = match e.kind() {
            bergmill_statement::ErrorKind::Invalid => ErrorKind::Invalid,
            bergmill_statement::ErrorKind::NotFound => ErrorKind::NotFound,
            bergmill_statement::ErrorKind::Unsupported => ErrorKind::Unsupported,
        };
        Error::new(kind, e.to_string())
    }
}

/// A transform as Iceberg has it.
pub(crate) fn transform(transform: Transform) -> spec::Transform {
    match transform {
        Transform::Identity => spec::Transform::Identity,
        Transform::Year => spec::Transform::Year,
        Transform::Month => spec::Transform::Month,
        Transform::Day => spec::Transform::Day,
        Transform::Hour => spec::Transform::Hour,
        Transform::Bucket(n) => spec::Transform::Bucket(n),
        Transform::Truncate(width) => spec::Transform::Truncate(width),
    }
}

/// A transform of a column as SQL, including transforms that no statement can name.
pub(crate) fn transform_text(transform: spec::Transform, column: &str) -> String {
    let transform = match transform {
        spec::Transform::Identity => Transform::Identity,
        spec::Transform::Year => Transform::Year,
        spec::Transform::Month => Transform::Month,
        spec::Transform::Day => Transform::Day,
        spec::Transform::Hour => Transform::Hour,
        spec::Transform::Bucket(n) => Transform::Bucket(n),
        spec::Transform::Truncate(width) => Transform::Truncate(width),
        other => return format!("{other}({column})"),
    };
    Term { column: column.to_string(), transform }.to_string()
}

/// A direction as Iceberg has it.
pub(crate) fn sort_direction(direction: SortDirection) -> spec::SortDirection {
    match direction {
        SortDirection::Ascending => spec::SortDirection::Ascending,
        SortDirection::Descending => spec::SortDirection::Descending,
    }
}

/// An order of nulls as Iceberg has it.
pub(crate) fn null_order(nulls: NullOrder) -> spec::NullOrder {
    match nulls {
        NullOrder::First => spec::NullOrder::First,
        NullOrder::Last => spec::NullOrder::Last,
    }
}

/// The Arrow type of an SQL type, the one that `CREATE TABLE` uses; errors name `clause`.
pub(crate) fn arrow_type(ty: &SqlType, clause: &str) -> Result<DataType> {
    let mut options = ConfigOptions::default();
    options.execution.time_zone = Some(UTC.to_string());
    let context = TypesOnly(options);
    let parser_options = ParserOptions { map_string_types_to_utf8view: false, ..ParserOptions::default() };
    let column = ColumnDef { name: Ident::new("c"), data_type: ty.clone(), options: Vec::new() };
    let schema = SqlToRel::new_with_options(&context, parser_options).build_schema(vec![column]);
    let schema = schema.map_err(|e| Error::new(ErrorKind::Invalid, format!("{clause}: {}", e.strip_backtrace())))?;
    Ok(schema.field(0).data_type().clone())
}

/// A context without tables and functions, which is all that types need.
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
