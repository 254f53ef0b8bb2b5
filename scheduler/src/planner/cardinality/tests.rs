use std::sync::Arc;

use datafusion::arrow::array::{Int32Array, RecordBatch};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;

use super::*;

fn column(distinct: f64, source_rows: f64) -> ColumnEstimate {
    ColumnEstimate { distinct: Some(distinct), domain: Some(distinct), ..ColumnEstimate::unknown(source_rows) }
}

/// 1,000 days: `year` is one of 1990 to 1999, nothing is known of `name`, and a fifth of `note` is NULL.
fn days() -> (Estimate, DFSchema) {
    let year = ColumnEstimate { range: Some((1990.0, 1999.0)), ..column(10.0, 1000.0) };
    let note = ColumnEstimate { nulls: 0.2, ..column(100.0, 1000.0) };
    let columns = vec![year, ColumnEstimate::unknown(1000.0), note];
    let batch = RecordBatch::try_from_iter(
        ["year", "name", "note"].map(|name| (name, Arc::new(Int32Array::from(vec![0])) as _)),
    );
    (Estimate { rows: 1000.0, columns }, DFSchema::try_from(batch.unwrap().schema()).unwrap())
}

#[test]
fn predicates_keep_their_share_of_rows() {
    for (predicate, rows) in [
        (col("year").eq(lit(1995)), 100),
        (lit(1995).eq(col("year")), 100),
        (col("year").eq(lit(2005)), 1),
        (col("year").not_eq(lit(1995)), 900),
        (col("year").gt_eq(lit(1995)), 500),
        (lit(1995).lt_eq(col("year")), 500),
        (col("year").gt_eq(lit(1992)).and(col("year").lt_eq(lit(1993))), 200),
        (col("year").eq(lit(1995)).or(col("year").eq(lit(1996))), 200),
        (col("year").in_list(vec![lit(1991), lit(1992), lit(1993)], false), 300),
        (col("year").in_list(vec![lit(1991), lit(1992), lit(1993)], true), 700),
        (col("name").eq(lit(5)), 100),
        (col("name").lt(lit(5)), 333),
        (col("note").is_null(), 200),
        (col("note").is_not_null(), 800),
        (col("note").eq(lit(1)), 8),
        (lit(true), 1000),
        (lit(false), 1),
    ] {
        let (days, schema) = days();
        let expr = SessionContext::new().create_physical_expr(predicate.clone(), &schema).unwrap();
        assert_eq!(filtered(days, &expr).rows.round() as usize, rows, "{predicate}");
    }
    let expr: Expr = col("year").eq(lit(1995));
    let (days, schema) = days();
    let left = filtered(days, &SessionContext::new().create_physical_expr(expr, &schema).unwrap());
    assert_eq!(left.columns[0].distinct, Some(1.0));
    // 100 of 1,000 rows of which ten each have the same note: two thirds of the notes are left.
    assert_eq!(left.columns[2].distinct.map(f64::round), Some(65.0));
}

#[test]
fn joins_match_the_rows_of_the_domain_that_both_sides_have() {
    let (fact, key) = (1_000_000.0, |distinct| column(distinct, 1_000_000.0));
    for (left, right, keys, rows) in [
        // Each row has one match among all customers, and one in ten customers has a tenth of the rows.
        (fact, 1000.0, vec![(key(1000.0), column(1000.0, 1000.0))], 1_000_000),
        (fact, 100.0, vec![(key(1000.0), ColumnEstimate { distinct: Some(100.0), ..column(1000.0, 1000.0) })], 100_000),
        // More days than have sales.
        (fact, 50.0, vec![(key(100.0), ColumnEstimate { distinct: Some(50.0), ..column(9000.0, 9000.0) })], 500_000),
        // Nothing is known of the keys: those of the smaller table are unique, and the larger one refers to them.
        (fact, 500.0, vec![(ColumnEstimate::unknown(fact), ColumnEstimate::unknown(500.0))], 1_000_000),
        (fact, 50.0, vec![(ColumnEstimate::unknown(fact), ColumnEstimate::unknown(500.0))], 100_000),
        (fact, 500.0, vec![(ColumnEstimate::unknown(fact), column(100.0, 500.0))], 5_000_000),
        // Two keys with more combinations than rows.
        (fact, 5000.0, vec![(key(20_000.0), column(5000.0, 5000.0)), (key(9000.0), column(4000.0, 5000.0))], 5000),
    ] {
        assert_eq!(joined_rows(left, right, &keys).round() as usize, rows, "{keys:?}");
    }
    let keys = [(key(1000.0), ColumnEstimate { distinct: Some(100.0), ..column(1000.0, 1000.0) })];
    for (join_type, rows) in [
        (JoinType::Left, 1_000_000.0),
        (JoinType::LeftSemi, 100_000.0),
        (JoinType::LeftAnti, 900_000.0),
        (JoinType::RightSemi, 100.0),
        (JoinType::LeftMark, 1_000_000.0),
    ] {
        assert_eq!(rows_of_type(join_type, fact, 100.0, 100_000.0, &keys).round(), rows, "{join_type}");
    }
}

#[test]
fn integers_have_at_most_the_distinct_values_between_their_bounds() {
    let bounds = |low: i32, high: i32| ColumnStatistics {
        min_value: Precision::Exact(ScalarValue::Int32(Some(low))),
        max_value: Precision::Exact(ScalarValue::Int32(Some(high))),
        ..ColumnStatistics::new_unknown()
    };
    assert_eq!(of_column(&bounds(1, 12), 1000.0).distinct, Some(12.0));
    assert_eq!(of_column(&bounds(1, 12_000), 1000.0).distinct, Some(1000.0));
    let with_nulls = ColumnStatistics { null_count: Precision::Exact(400), ..bounds(1, 12_000) };
    assert_eq!(of_column(&with_nulls, 1000.0).distinct, Some(600.0));
    let float = ColumnStatistics {
        min_value: Precision::Exact(ScalarValue::Float64(Some(1.0))),
        max_value: Precision::Exact(ScalarValue::Float64(Some(2.0))),
        ..ColumnStatistics::new_unknown()
    };
    assert_eq!(of_column(&float, 1000.0).distinct, None);
}

#[tokio::test]
async fn every_operator_has_an_estimate() {
    let context = SessionContext::new();
    for table in ["t", "u"] {
        let sql = format!("CREATE TABLE {table} AS SELECT i AS k, i % 10 AS n FROM unnest(range(0, 100)) AS r (i)");
        context.sql(&sql).await.unwrap().collect().await.unwrap();
    }
    for (sql, rows) in [
        ("SELECT * FROM t", 100.0),
        ("SELECT * FROM t ORDER BY k LIMIT 7", 7.0),
        ("SELECT n, k, n + 1 FROM t WHERE k = 5", 10.0),
        ("SELECT * FROM t JOIN u ON t.k = u.k", 100.0),
        ("SELECT * FROM t LEFT JOIN u ON t.k = u.n WHERE u.k IS NULL OR t.n = 4", 20.0),
        ("SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.n)", 100.0),
        ("SELECT * FROM t CROSS JOIN u", 10_000.0),
        ("SELECT * FROM t JOIN u ON t.k < u.k", 3333.0),
        ("SELECT * FROM t UNION ALL SELECT * FROM u", 200.0),
        ("SELECT count(n), max(k) FROM t", 1.0),
        ("SELECT n, count(*) FROM t GROUP BY n", 100.0),
        ("SELECT k, sum(n) OVER (PARTITION BY k) FROM t", 100.0),
    ] {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let found = estimate(plan.as_ref()).unwrap_or_else(|| panic!("{sql}"));
        assert_eq!(found.columns.len(), plan.schema().fields().len(), "{sql}");
        let known: Statistics = registry().compute_base(plan.as_ref()).unwrap();
        assert_eq!(known.num_rows.get_value().copied(), Some(found.rows as usize), "{sql}");
        assert_eq!(found.rows.round(), rows, "{sql}");
    }
    let unknown = "SELECT unnest([1, 2, k]) FROM t";
    let plan = context.sql(unknown).await.unwrap().create_physical_plan().await.unwrap();
    assert_eq!(estimate(plan.as_ref()), None);
}
