//! `reports/cast_selectivity.md`

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{binary, cast, col};
use datafusion::physical_expr::{AnalysisContext, ExprBoundaries, analyze};

use crate::FIXED;

#[test]
fn a_filter_that_rounds_a_column_is_not_estimated() {
    let schema = Schema::new(vec![
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), true),
    ]);
    // 1970-01-12 23:59:59.999999 to 1970-01-29 00:00:00.0004
    let (from, to) = (1_036_799_999_999, 2_419_200_000_400);
    let time = |micros| Precision::Exact(ScalarValue::TimestampMicrosecond(Some(micros), Some("+00:00".into())));
    let bounds = [(Precision::Absent, Precision::Absent), (time(from), time(to))];
    let bounds = bounds.into_iter().enumerate().map(|(at, (min_value, max_value))| {
        let known = ColumnStatistics { min_value, max_value, ..ColumnStatistics::new_unknown() };
        ExprBoundaries::try_from_column(&schema, &known, at).unwrap()
    });
    let rounded = cast(col("at", &schema).unwrap(), &schema, DataType::Date32).unwrap();
    let predicate = binary(col("day", &schema).unwrap(), Operator::Gt, rounded, &schema).unwrap();
    let estimated = analyze(&predicate, AnalysisContext::new(bounds.collect()), &schema);
    assert!(estimated.is_err_and(|e| e.to_string().contains("Selectivity is out of limit")), "{FIXED}");
}
