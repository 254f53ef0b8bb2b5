//! `reports/truncate_prefix.md`

use std::sync::Arc;

use iceberg::expr::{Bind, Predicate, Reference};
use iceberg::spec::{Datum, NestedField, PrimitiveType, Schema, Transform, Type};
use iceberg::transform::create_transform_function;

use crate::FIXED;

/// Checks the projections of a condition on `word` to `truncate(3, word)`: the inclusive one, which holds for the
/// partition of each matching row, and the strict one, which holds for partitions whose rows all match.
fn check(predicate: Predicate, inclusive: &str, strict: &str) {
    let word = NestedField::required(1, "word", Type::Primitive(PrimitiveType::String));
    let schema = Arc::new(Schema::builder().with_fields([Arc::new(word)]).build().unwrap());
    let predicate = predicate.bind(schema, true).unwrap();
    let transform = Transform::Truncate(3);
    let projections = [transform.project("p", &predicate), transform.strict_project("p", &predicate)];
    let projections = projections.map(|projection| projection.unwrap().unwrap().to_string());
    assert_eq!(projections, [inclusive, strict], "{FIXED}");
}

#[test]
fn the_length_of_a_prefix_is_counted_in_bytes() {
    let truncate = create_transform_function(&Transform::Truncate(3)).unwrap();
    let partition = truncate.transform_literal(&Datum::string("가방끈이")).unwrap().unwrap();
    assert_eq!(partition, Datum::string("가방끈"));

    // One character, three bytes. The word above starts with it, and is in the partition "가방끈".
    let prefix = || Datum::string("가");
    check(Reference::new("word").starts_with(prefix()), "p = \"가\"", "p = \"가\"");
    check(Reference::new("word").not_starts_with(prefix()), "p != \"가\"", "p != \"가\"");
}
