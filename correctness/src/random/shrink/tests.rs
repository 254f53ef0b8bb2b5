//! Shrinking with artificial failures.

use std::time::Duration;

use super::super::generate::query;
use super::super::schema::tables;
use super::*;

async fn smallest(case: Case, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let mut fails = async |case: &Case| Ok(fails(case));
    shrink(case, Instant::now() + Duration::from_secs(60), &mut fails).await.unwrap()
}

fn text(case: &Case) -> String {
    sql(&case.query, Dialect::DataFusion).unwrap()
}

#[tokio::test]
async fn what_does_not_matter_is_left_out() {
    let tables = tables(11);
    let mut checked = 0;
    for number in 0..400 {
        let case = Case { tables: tables.clone(), query: query(&tables, 11, number) };
        if !text(&case).contains("FULL JOIN") || checked == 5 {
            continue;
        }
        checked += 1;
        let small = smallest(case, |case| text(case).contains("FULL JOIN")).await;
        // SELECT ... AS x FROM a AS r FULL JOIN b AS s ON ...
        assert!(text(&small).len() < 90, "{}", text(&small));
        assert!(small.tables.is_empty(), "no table matters to the text");
    }
    assert_eq!(checked, 5);
}

#[tokio::test]
async fn rows_and_columns_that_do_not_matter_are_left_out() {
    let tables = tables(12);
    let case = Case { query: query(&tables, 12, 1), tables };
    let has_nulls = |table: &Table| table.rows.iter().filter(|row| row.last().is_some_and(Option::is_none)).count();
    let fails = |case: &Case| case.tables.iter().any(|t| t.rows.len() > 1 && has_nulls(t) >= 2);
    if !fails(&case) {
        return;
    }
    let small = smallest(case, fails).await;
    let [table] = small.tables.as_slice() else { panic!("{} tables are left", small.tables.len()) };
    assert_eq!((table.rows.len(), table.columns.len()), (2, 1));
}
