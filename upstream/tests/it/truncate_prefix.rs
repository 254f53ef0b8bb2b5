//! `reports/truncate_prefix.md`

use std::sync::Arc;

use iceberg::expr::{Bind, Predicate, Reference};
use iceberg::spec::{Datum, NestedField, PrimitiveType, Schema, Transform, Type};
use iceberg::transform::create_transform_function;

use crate::MENDED;

/// What `truncate(3, word)` makes of a condition on `word`: what the partition of a row that fits is like, and the
/// partition of which all rows fit.
fn check(predicate: Predicate, inclusive: &str, strict: &str) {
    let word = NestedField::required(1, "word", Type::Primitive(PrimitiveType::String));
    let schema = Arc::new(Schema::builder().with_fields([Arc::new(word)]).build().unwrap());
    let predicate = predicate.bind(schema, true).unwrap();
    let transform = Transform::Truncate(3);
    let projections = [transform.project("p", &predicate), transform.strict_project("p", &predicate)];
    let projections = projections.map(|projection| projection.unwrap().unwrap().to_string());
    assert_eq!(projections, [inclusive, strict], "{MENDED}");
}

#[test]
fn the_length_of_a_prefix_is_counted_in_bytes() {
    let truncate = create_transform_function(&Transform::Truncate(3)).unwrap();
    let partition = truncate.transform_literal(&Datum::string("가방끈이")).unwrap().unwrap();
    assert_eq!(partition, Datum::string("가방끈"));

    // One character, three bytes. The word above begins with it, and is in the partition "가방끈".
    let prefix = || Datum::string("가");
    check(Reference::new("word").starts_with(prefix()), "p = \"가\"", "p = \"가\"");
    check(Reference::new("word").not_starts_with(prefix()), "p != \"가\"", "p != \"가\"");
}
