//! `reports/days_before_1970.md`

use iceberg::spec::{Datum, Transform};
use iceberg::transform::create_transform_function;

use crate::FIXED;

#[test]
fn the_last_second_of_a_day_before_1970_is_assigned_to_the_next_day() {
    let day = create_transform_function(&Transform::Day).unwrap();
    for (time, expected) in [
        ("1969-12-30T00:00:00", "1969-12-30"),
        ("1969-12-30T23:59:59", "1969-12-30"),
        ("1969-12-30T23:59:59.5", "1969-12-31"),
        ("1970-01-01T23:59:59.5", "1970-01-01"),
    ] {
        let found = day.transform_literal(&Datum::timestamp_from_str(time).unwrap()).unwrap().unwrap();
        assert_eq!(found.to_string(), expected, "{FIXED}");
    }
}
