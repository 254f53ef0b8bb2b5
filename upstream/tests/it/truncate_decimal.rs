//! `reports/truncate_decimal.md`

use std::sync::Arc;

use iceberg::expr::{Bind, Reference};
use iceberg::spec::{Datum, NestedField, PrimitiveType, Schema, Transform, Type};

use crate::FIXED;

fn schema(column: &str) -> Arc<Schema> {
    let decimal = Type::Primitive(PrimitiveType::Decimal { precision: 12, scale: 2 });
    Arc::new(Schema::builder().with_fields([Arc::new(NestedField::required(1, column, decimal))]).build().unwrap())
}

#[test]
fn the_scale_of_a_truncated_decimal_is_lost() {
    let price = Datum::decimal_from_str("10.50").unwrap();
    let predicate = Reference::new("d").equal_to(price).bind(schema("d"), true).unwrap();
    let projected = Transform::Truncate(1000).project("p", &predicate).unwrap().unwrap();
    assert_eq!(projected.to_string(), "p = 1000", "{FIXED}");
    // The partition field has the type of its source.
    let error = projected.bind(schema("p"), true).expect_err(FIXED);
    assert!(error.to_string().contains("Decimal scale conversion is not supported"), "{error}");
}
