//! Changes of references on plain metadata.

use std::collections::HashMap;

use iceberg::spec::{
    FormatVersion, NestedField, Operation, PrimitiveType, Schema, Snapshot, SortOrder, Summary, TableMetadata,
    TableMetadataBuilder, Type, UnboundPartitionSpec,
};

use bergmill_statement::{ReferenceChange, ReferenceKind, Retention, SnapshotName};

use super::change::apply;
use super::*;
use crate::table::history::moment;

pub(crate) fn time_of(metadata: &TableMetadata, snapshot_id: i64) -> i64 {
    metadata.snapshot_by_id(snapshot_id).unwrap().timestamp_ms()
}

/// A table whose main branch consists of these snapshots in order.
pub(crate) fn grown(ids: impl IntoIterator<Item = i64>) -> TableMetadata {
    let id = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long));
    let schema = Schema::builder().with_fields([id.into()]).build().unwrap();
    let (spec, order) = (UnboundPartitionSpec::builder().build(), SortOrder::unsorted_order());
    let builder =
        TableMetadataBuilder::new(schema, spec, order, "file:///t".into(), FormatVersion::V2, HashMap::new()).unwrap();
    let metadata = builder.build().unwrap().metadata;
    ids.into_iter().fold(metadata, |metadata, id| with_snapshot(metadata, "main", id))
}

/// The same table with one more snapshot on a branch.
pub(crate) fn with_snapshot(metadata: TableMetadata, branch: &str, id: i64) -> TableMetadata {
    let last = metadata.snapshots().map(|s| s.timestamp_ms()).max();
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(metadata.snapshot_for_ref(branch).map(|s| s.snapshot_id()))
        .with_sequence_number(metadata.next_sequence_number())
        .with_timestamp_ms(last.max(Some(metadata.last_updated_ms())).unwrap_or_default() + 10)
        .with_manifest_list("file:///none")
        .with_summary(Summary { operation: Operation::Append, additional_properties: HashMap::new() })
        .with_schema_id(metadata.current_schema_id())
        .build();
    metadata.into_builder(None).set_branch_snapshot(snapshot, branch).unwrap().build().unwrap().metadata
}

/// The table after the change.
pub(crate) fn changed(metadata: &TableMetadata, change: &ReferenceChange) -> Result<TableMetadata> {
    match apply(change, metadata, metadata.clone().into_builder(None))? {
        Some(builder) => Ok(builder.build().unwrap().metadata),
        None => Ok(metadata.clone()),
    }
}

fn create(kind: ReferenceKind, name: &str, at: Option<i64>) -> ReferenceChange {
    let retention = Retention::default();
    ReferenceChange::Create { kind, name: name.to_string(), at, if_not_exists: false, or_replace: false, retention }
}

/// All references as `name@snapshot`, tags with a `#`.
fn listed(metadata: &TableMetadata) -> String {
    let references = References::of(metadata).unwrap();
    let one = |(name, r): (&str, &SnapshotReference)| {
        format!("{}{name}@{}", if r.is_branch() { "" } else { "#" }, r.snapshot_id)
    };
    references.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn changes_follow_the_rules_of_the_reference() {
    use ReferenceKind::{Branch, Tag};
    let metadata = changed(&grown([1, 2, 3]), &create(Tag, "t", Some(1))).unwrap();
    let metadata = changed(&metadata, &create(Branch, "b", Some(2))).unwrap();
    // Not on the main branch: 2 -> 4.
    let metadata = with_snapshot(metadata, "b", 4);
    assert_eq!(listed(&metadata), "b@4 main@3 #t@1");
    let check = |change: ReferenceChange, expected: &str| {
        let outcome = match changed(&metadata, &change) {
            Ok(metadata) => listed(&metadata),
            Err(e) => format!("{:?}: {e}", e.kind()),
        };
        assert_eq!(outcome, expected, "{change:?}");
    };
    let forward = |branch: &str, to: &str| ReferenceChange::FastForward { branch: branch.into(), to: to.into() };
    let drop = |kind, name: &str| ReferenceChange::Drop { kind, name: name.into(), if_exists: false };
    let replace = |kind, name: &str, at| ReferenceChange::Replace {
        kind,
        name: name.into(),
        at,
        retention: Retention::default(),
    };
    check(create(Tag, "now", None), "b@4 main@3 #now@3 #t@1");
    check(create(Branch, "t", None), "AlreadyExists: tag t already exists");
    check(create(Branch, "x", Some(9)), "NotFound: the table has no snapshot 9; it never existed or has expired");
    check(replace(Tag, "t", Some(3)), "b@4 main@3 #t@3");
    check(replace(Branch, "t", Some(3)), "Invalid: t is a tag, not a branch");
    check(replace(Branch, "main", Some(1)), "b@4 main@1 #t@1");
    check(drop(Branch, "b"), "main@3 #t@1");
    check(drop(Tag, "b"), "Invalid: b is a branch, not a tag");
    check(drop(Branch, "main"), "Invalid: the branch main cannot be dropped");
    check(forward("main", "main"), "b@4 main@3 #t@1");
    check(
        forward("main", "b"),
        "Invalid: main cannot be fast-forwarded to b: its snapshot 3 is not an ancestor of snapshot 4",
    );
    check(forward("new", "t"), "b@4 main@3 new@1 #t@1");
    check(forward("t", "main"), "Invalid: t is a tag, not a branch");
    check(ReferenceChange::RollBackTo(1), "b@4 main@1 #t@1");
    check(
        ReferenceChange::RollBackTo(4),
        "Invalid: snapshot 4 is not an ancestor of the current snapshot, so it cannot be rolled back to; \
         set_current_snapshot can make it current",
    );
    check(ReferenceChange::RollBackToTime(moment(time_of(&metadata, 3))), "b@4 main@2 #t@1");
    check(
        ReferenceChange::RollBackToTime("2023-11-14 22:13:20".to_string()),
        "NotFound: no ancestor of the current snapshot is older than 2023-11-14T22:13:20Z",
    );
    check(
        ReferenceChange::RollBackToTime("noon".to_string()),
        "Invalid: noon is not a timestamp; write '2026-02-14 10:00:00'",
    );
    check(ReferenceChange::SetCurrent(SnapshotName::Id(4)), "b@4 main@4 #t@1");
    check(ReferenceChange::SetCurrent(SnapshotName::Reference("t".into())), "b@4 main@1 #t@1");
}

#[test]
fn retention_that_is_not_given_stays_unchanged() {
    let first = Retention { max_ref_age_ms: Some(7), min_snapshots_to_keep: Some(2), max_snapshot_age_ms: None };
    let created = ReferenceChange::Create {
        kind: ReferenceKind::Branch,
        name: "b".to_string(),
        at: Some(1),
        if_not_exists: false,
        or_replace: false,
        retention: first,
    };
    let second = Retention { max_ref_age_ms: Some(9), ..Retention::default() };
    let kind = ReferenceKind::Branch;
    let replaced = ReferenceChange::Replace { kind, name: "b".to_string(), at: None, retention: second };
    let metadata = changed(&grown([1, 2]), &created).unwrap();
    let metadata = changed(&metadata, &replaced).unwrap();
    let references = References::of(&metadata).unwrap();
    let expected = SnapshotReference::new(2, SnapshotRetention::branch(Some(2), None, Some(9)));
    assert_eq!(references.get("b"), Some(&expected));
}
