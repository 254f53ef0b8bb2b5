//! `reports/bucket_nanoseconds.md`

use iceberg::spec::{Datum, Transform};
use iceberg::transform::create_transform_function;

use crate::FIXED;

#[test]
fn nanoseconds_before_1970_are_rounded_towards_it() {
    let bucket = create_transform_function(&Transform::Bucket(1000)).unwrap();
    let of = |time: &Datum| bucket.transform_literal(time).unwrap().unwrap();
    let [before, epoch] = [-1, 0].map(|micros| of(&Datum::timestamp_micros(micros)));
    assert_ne!(before, epoch);
    // The hash is that of microseconds, rounded down.
    assert_eq!(of(&Datum::timestamp_nanos(-1)), epoch, "{FIXED}");
}
