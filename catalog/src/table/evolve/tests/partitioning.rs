use std::collections::HashMap;

use bergmill_statement::Transform as Named;
use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, SortOrder, TableMetadataBuilder, Type};

use super::*;

/// Columns `id` (1), `ts` (2), `kind` (3), partitioned by `ts_day` (1000) and `kind` (1001).
fn table() -> TableMetadata {
    let field = |id, name: &str, ty| NestedField::optional(id, name, Type::Primitive(ty)).into();
    let fields = [
        field(1, "id", PrimitiveType::Long),
        field(2, "ts", PrimitiveType::Timestamp),
        field(3, "kind", PrimitiveType::String),
    ];
    let schema = Schema::builder().with_fields(fields).build().unwrap();
    let spec = UnboundPartitionSpec::builder()
        .add_partition_field(2, "ts_day", Transform::Day)
        .and_then(|b| b.add_partition_field(3, "kind", Transform::Identity))
        .unwrap()
        .build();
    let (order, at) = (SortOrder::unsorted_order(), "file:///t".to_string());
    let builder = TableMetadataBuilder::new(schema, spec, order, at, FormatVersion::V2, HashMap::new());
    builder.unwrap().build().unwrap().metadata
}

fn after(metadata: &TableMetadata, by: &PartitionChange) -> Result<TableMetadata> {
    let spec = change(metadata, by)?;
    assert!(spec.fields().iter().all(|f| f.field_id.is_some()), "a server requires ids for all or for none");
    let builder = metadata.clone().into_builder(None).add_default_partition_spec(spec).map_err(invalid)?;
    Ok(builder.build()?.metadata)
}

fn fields(metadata: &TableMetadata) -> Vec<String> {
    let one = |f: &PartitionField| format!("{}:{}={}({})", f.field_id, f.name, f.transform, f.source_id);
    metadata.default_partition_spec().fields().iter().map(one).collect()
}

fn term(column: &str, by: Transform) -> Term {
    let all = [Named::Identity, Named::Day, Named::Hour, Named::Bucket(16), Named::Bucket(4), Named::Truncate(10)];
    let by =
        all.into_iter().chain([Named::Truncate(1)]).find(|t| transform(*t) == by).expect("a transform of a statement");
    Term { column: column.to_string(), transform: by }
}

fn add(column: &str, transform: Transform, name: Option<&str>) -> PartitionChange {
    PartitionChange::Add { term: term(column, transform), name: name.map(ToString::to_string) }
}

fn drop_field(column: &str, transform: Transform) -> PartitionChange {
    PartitionChange::Drop(term(column, transform))
}

#[test]
fn fields_keep_their_ids_when_dropped_and_added_again() {
    let (day, kind) = ("1000:ts_day=day(2)", "1001:kind=identity(3)");
    let check = |changes: &[PartitionChange], expected: &[&str]| {
        let end = changes.iter().try_fold(table(), |m, c| after(&m, c)).unwrap_or_else(|e| panic!("{changes:?}: {e}"));
        assert_eq!(fields(&end), expected, "{changes:?}");
        end
    };
    check(&[add("id", Transform::Bucket(16), None)], &[day, kind, "1002:id_bucket_16=bucket[16](1)"]);
    check(&[add("id", Transform::Truncate(10), Some("part"))], &[day, kind, "1002:part=truncate[10](1)"]);
    // Dropped by name or by term; nothing remains in its position.
    check(&[drop_field("ts_day", Transform::Identity)], &[kind]);
    check(&[drop_field("ts", Transform::Day)], &[kind]);
    // A field that is added again has its former id and name, and ids are never reused.
    let back = [drop_field("ts", Transform::Day), add("ts", Transform::Day, None)];
    let end = check(&back, &[kind, day]);
    assert_eq!(end.last_partition_id(), 1001);
    let others = [
        drop_field("kind", Transform::Identity),
        add("kind", Transform::Truncate(1), None),
        drop_field("kind", Transform::Truncate(1)),
        add("kind", Transform::Bucket(4), None),
    ];
    check(&others, &[day, "1003:kind_bucket_4=bucket[4](3)"]);
    let hourly =
        PartitionChange::Replace { old: term("ts", Transform::Day), new: term("ts", Transform::Hour), name: None };
    check(&[hourly], &[kind, "1002:ts_hour=hour(2)"]);
    let end = check(&[drop_field("ts", Transform::Day), drop_field("kind", Transform::Identity)], &[]);
    assert!(end.default_partition_spec().is_unpartitioned());
    // A spec equal to an earlier one gets its id.
    let end = check(&[add("id", Transform::Identity, None), drop_field("id", Transform::Identity)], &[day, kind]);
    assert_eq!(end.default_partition_spec_id(), 0);
}

#[test]
fn fields_of_a_spec_have_all_ids() {
    let check = |fields: &[(i32, Transform)], expected: &[i32]| {
        let fields = fields.iter().enumerate().map(|(n, (source_id, transform))| UnboundPartitionField {
            source_id: *source_id,
            field_id: None,
            name: format!("f{n}"),
            transform: *transform,
        });
        let ids: Vec<_> = with_ids(&table(), fields).unwrap().fields().iter().map(|f| f.field_id.unwrap()).collect();
        assert_eq!(ids, expected);
    };
    check(&[], &[]);
    check(&[(1, Transform::Identity), (2, Transform::Day), (1, Transform::Bucket(2))], &[1002, 1000, 1003]);
}

#[test]
fn impossible_changes_are_reported() {
    let check = |change: PartitionChange, kind: ErrorKind, expected: &str| {
        let e = super::change(&table(), &change).expect_err(&format!("{change:?}"));
        assert_eq!((e.kind(), e.to_string().as_str()), (kind, expected), "{change:?}");
    };
    use ErrorKind::{AlreadyExists, Invalid, NotFound};
    check(add("ts", Transform::Day, Some("d")), AlreadyExists, "partition field day(ts) already exists, as ts_day");
    check(
        add("ts", Transform::Hour, None),
        Invalid,
        "hour(ts) is redundant with ts_day; use REPLACE PARTITION FIELD ts_day WITH hour(ts)",
    );
    check(
        add("id", Transform::Identity, Some("ts_day")),
        AlreadyExists,
        "partition field ts_day already exists; give this one a name with AS",
    );
    check(
        add("id", Transform::Bucket(4), Some("ts")),
        Invalid,
        "partition field ts has the name of column ts; give it another with AS",
    );
    check(add("idd", Transform::Identity, None), NotFound, "partition field: column idd not found; did you mean id?");
    check(
        drop_field("ts_dai", Transform::Identity),
        NotFound,
        "partition field ts_dai not found; did you mean ts_day?",
    );
    check(
        drop_field("id", Transform::Bucket(4)),
        NotFound,
        "partition field bucket(4, id) not found; there are ts_day, kind",
    );
}
