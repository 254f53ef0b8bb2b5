//! Time travel: which version of a table a statement reads, and with which columns.
//!
//! The rules are those of Java's `SnapshotUtil`, so that Spark reads the same rows under the same name: a snapshot, a
//! time or a tag is read with the columns of its snapshot, a branch with the current columns of the table.

use std::fmt;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use iceberg::spec::{MAIN_BRANCH, SchemaRef, SnapshotRef, TableMetadata};

use crate::bridge::UTC;
use crate::error::{Error, ErrorKind, Result};
use crate::table::history::{head, moment, no_snapshot};
use crate::table::references::References;

/// A version of a table, as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The snapshot with this id.
    Snapshot(i64),
    /// The snapshot that a branch or tag refers to. Digits are a snapshot id if there is such a snapshot, as in Spark.
    Reference(String),
    /// The snapshot that was current at this time, in milliseconds since 1970 (UTC).
    Time(i64),
}

/// A resolved version of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// The snapshot to read; `None` for a table or branch without snapshots.
    pub(crate) snapshot: Option<SnapshotRef>,
    /// The columns that readers see.
    pub(crate) columns: SchemaRef,
}

impl Version {
    /// The version for a constant after `VERSION AS OF`.
    pub(crate) fn of_constant(value: &ScalarValue) -> Result<Self> {
        match value {
            ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) | ScalarValue::LargeUtf8(Some(name)) => {
                Ok(Self::Reference(name.clone()))
            }
            number if number.data_type().is_integer() && !number.is_null() => match number.cast_to(&DataType::Int64) {
                Ok(ScalarValue::Int64(Some(id))) => Ok(Self::Snapshot(id)),
                _ => Err(Error::new(ErrorKind::Invalid, format!("{number} is not a snapshot id: it is too large"))),
            },
            other => {
                let what =
                    format!("{other} is not a version; use a snapshot id, or the name of a branch or tag in quotes");
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// The version for a constant after `TIMESTAMP AS OF`.
    pub(crate) fn of_moment(value: &ScalarValue) -> Result<Self> {
        millis_of(value).map(Self::Time)
    }

    /// Resolves the version.
    ///
    /// # Errors
    /// `NotFound` if there is no such snapshot, branch or tag, or if the snapshot of that time has expired.
    pub(crate) fn state(&self, metadata: &TableMetadata) -> Result<State> {
        match self {
            Self::Snapshot(id) => match metadata.snapshot_by_id(*id) {
                Some(snapshot) => Ok(State::of_snapshot(metadata, snapshot)),
                None => Err(no_snapshot(metadata, *id)),
            },
            Self::Reference(name) if name == MAIN_BRANCH => Ok(State::of_branch(metadata, MAIN_BRANCH)),
            Self::Reference(name) => {
                let by_id = name.parse().ok().and_then(|id| metadata.snapshot_by_id(id));
                if let Some(snapshot) = by_id {
                    return Ok(State::of_snapshot(metadata, snapshot));
                }
                let references = References::of(metadata)?;
                let reference = references.find(name)?;
                match metadata.snapshot_by_id(reference.snapshot_id) {
                    _ if reference.is_branch() => Ok(State::of_branch(metadata, name)),
                    Some(snapshot) => Ok(State::of_snapshot(metadata, snapshot)),
                    None => Err(no_snapshot(metadata, reference.snapshot_id)),
                }
            }
            Self::Time(millis) => {
                let snapshot = current_at(metadata, *millis)?;
                Ok(State::of_snapshot(metadata, snapshot))
            }
        }
    }
}

/// Converts a timestamp, a date, either of them as text, or the seconds since 1970 to milliseconds since 1970. Values
/// without a time zone are in UTC.
pub(crate) fn millis_of(value: &ScalarValue) -> Result<i64> {
    let wrong = || Error::new(ErrorKind::Invalid, format!("{value} is not a timestamp; write '2026-02-14 10:00:00'"));
    let millis = match value {
        null if null.is_null() => return Err(wrong()),
        number if number.data_type().is_integer() => match number.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(seconds))) => seconds.checked_mul(1000),
            _ => None,
        },
        other => match other.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))) {
            Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) => Some(micros.div_euclid(1000)),
            _ => None,
        },
    };
    millis.ok_or_else(wrong)
}

impl State {
    /// The current state of the table.
    pub(crate) fn current(metadata: &TableMetadata) -> Self {
        Self::of_branch(metadata, MAIN_BRANCH)
    }

    /// The state of a branch; without a snapshot if the table has no such branch.
    pub(crate) fn of_branch(metadata: &TableMetadata, branch: &str) -> Self {
        Self { snapshot: head(metadata, branch).cloned(), columns: metadata.current_schema().clone() }
    }

    fn of_snapshot(metadata: &TableMetadata, snapshot: &SnapshotRef) -> Self {
        // Snapshots of old writers have no schema id.
        let columns = snapshot.schema_id().and_then(|id| metadata.schema_by_id(id));
        let columns = columns.unwrap_or_else(|| metadata.current_schema()).clone();
        Self { snapshot: Some(snapshot.clone()), columns }
    }
}

/// The snapshot that was current at a time, according to the snapshot log. The snapshots' own times do not tell it: a
/// rollback makes an old snapshot current again.
fn current_at(metadata: &TableMetadata, millis: i64) -> Result<&SnapshotRef> {
    let log = metadata.history();
    match log.iter().rev().find(|entry| entry.timestamp_ms <= millis) {
        Some(entry) => {
            metadata.snapshot_by_id(entry.snapshot_id).ok_or_else(|| no_snapshot(metadata, entry.snapshot_id))
        }
        None => {
            let known = match log.first() {
                Some(first) => format!("its known history starts at {}", moment(first.timestamp_ms)),
                None => "it has no snapshot yet".to_string(),
            };
            let what = format!("the table has no snapshot as old as {}: {known}", moment(millis));
            Err(Error::new(ErrorKind::NotFound, what))
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(id) => write!(f, "{id}"),
            Self::Reference(name) => f.write_str(name),
            Self::Time(millis) => f.write_str(&moment(*millis)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bergmill_statement::{ReferenceChange, ReferenceKind, Retention, SnapshotName};
    use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};

    use super::*;
    use crate::table::references::tests::{changed, grown, time_of, with_snapshot};

    #[test]
    fn a_version_is_a_snapshot_and_its_columns() {
        let create = |name: &str, kind, at| ReferenceChange::Create {
            kind,
            name: name.to_string(),
            at: Some(at),
            if_not_exists: false,
            or_replace: false,
            retention: Retention::default(),
        };
        let metadata = grown([1, 2]);
        let metadata = changed(&metadata, &create("t", ReferenceKind::Tag, 1)).unwrap();
        let metadata = changed(&metadata, &create("2", ReferenceKind::Tag, 1)).unwrap();
        let metadata = changed(&metadata, &create("b", ReferenceKind::Branch, 1)).unwrap();
        let metadata = with_snapshot(metadata, "b", 3);
        // From here on, the table has one more column.
        let more = NestedField::optional(2, "more", Type::Primitive(PrimitiveType::Long));
        let id = metadata.current_schema().field_by_id(1).unwrap().clone();
        let schema = Schema::builder().with_fields([id, more.into()]).build().unwrap();
        let metadata = metadata.into_builder(None).add_current_schema(schema).unwrap().build().unwrap().metadata;
        let metadata = with_snapshot(metadata, "main", 4);

        let check = |version: Version, expected: &str| {
            let resolved = match version.state(&metadata) {
                Ok(State { snapshot, columns }) => {
                    format!("{:?}, {}", snapshot.map(|s| s.snapshot_id()), columns.as_struct().fields().len())
                }
                Err(e) => format!("{:?}: {e}", e.kind()),
            };
            assert_eq!(resolved, expected, "{version}");
        };
        let named = |name: &str| Version::Reference(name.to_string());
        check(Version::Snapshot(2), "Some(2), 1");
        check(named("main"), "Some(4), 2");
        check(named("t"), "Some(1), 1");
        check(named("b"), "Some(3), 2");
        // The snapshot with that id, not the tag with that name.
        check(named("2"), "Some(2), 1");
        check(Version::Time(time_of(&metadata, 4)), "Some(4), 2");
        check(Version::Time(time_of(&metadata, 4) - 1), "Some(2), 1");
        check(Version::Time(time_of(&metadata, 2) - 1), "Some(1), 1");
        let before = Version::Time(1_700_000_000_000).state(&metadata).unwrap_err();
        let expected = "the table has no snapshot as old as 2023-11-14T22:13:20Z: its known history starts at ";
        assert!(before.to_string().starts_with(expected), "{before}");
        let rolled_back = changed(&metadata, &ReferenceChange::SetCurrent(SnapshotName::Id(1))).unwrap();
        let later = Version::Time(rolled_back.last_updated_ms().max(time_of(&metadata, 4)));
        assert_eq!(later.state(&rolled_back).unwrap().snapshot.unwrap().snapshot_id(), 1);

        let expired = metadata.into_builder(None).remove_snapshots(&[2]).build().unwrap().metadata;
        let e = Version::Snapshot(2).state(&expired).unwrap_err();
        assert_eq!(e.to_string(), "snapshot 2 has expired: its files may be gone");
    }

    #[test]
    fn moments_are_understood_as_in_spark() {
        let check = |value: ScalarValue, expected: Option<i64>| {
            assert_eq!(Version::of_moment(&value).ok(), expected.map(Version::Time), "{value}");
        };
        check(ScalarValue::from("1970-01-01 00:00:01.5"), Some(1500));
        check(ScalarValue::from("1970-01-01T01:00:00+01:00"), Some(0));
        check(ScalarValue::Int64(Some(60)), Some(60_000));
        check(ScalarValue::Date32(Some(1)), Some(86_400_000));
        check(ScalarValue::TimestampMicrosecond(Some(-1), None), Some(-1));
        check(ScalarValue::Int64(Some(i64::MAX)), None);
        check(ScalarValue::Utf8(None), None);
        check(ScalarValue::Boolean(Some(true)), None);
    }
}
