//! Selects the files that a commit removes. A replacing commit selects them by their partition values.
//!
//! A partition field is identified by its source column and transform, not by its position in a spec, so that specs may
//! differ in order or names. If a spec lacks a selected field, its files cannot be selected; the commit is refused
//! rather than replacing only a part.

use std::collections::{HashMap, HashSet};

use datafusion::common::ScalarValue;
use iceberg::spec::{
    DataFile, Datum, FieldSummary, Literal, ManifestContentType, ManifestFile, PartitionField, PartitionSpec,
    PrimitiveLiteral, PrimitiveType, Struct, TableMetadata, Transform, Type,
};

use crate::bridge;
use crate::error::{Error, ErrorKind, Result};
use crate::table::partition_value::field_texts;

/// The part of a table that a replacing commit replaces.
#[derive(Debug, Clone)]
pub enum Replaced {
    /// The partitions of the added files; nothing if no file is added. The whole table if it is not partitioned and a
    /// file is added.
    Touched,
    /// Every partition in which each of the named fields has the given value, even if nothing is added to it. Names are
    /// those of partition fields, or of columns that are identity partitioned; `None` stands for null.
    Where(Vec<(String, Option<Datum>)>),
    /// The whole table.
    All,
}

impl Replaced {
    /// [`Replaced::Where`] the fields have these values, as a `PARTITION` clause gives them.
    ///
    /// # Errors
    /// `Invalid` for a value of a type that partition values cannot have.
    pub fn by_values(values: &[(String, ScalarValue)]) -> Result<Self> {
        let datum = |(column, value): &(String, ScalarValue)| {
            if value.is_null() {
                return Ok((column.clone(), None));
            }
            match bridge::datum(value) {
                Some(datum) => Ok((column.clone(), Some(datum))),
                None => {
                    let what =
                        format!("PARTITION ({column} = {value}): a {} is not a partition value", value.data_type());
                    Err(Error::new(ErrorKind::Invalid, what))
                }
            }
        };
        values.iter().map(datum).collect::<Result<_>>().map(Self::Where)
    }
}

/// The existing files that a commit removes.
#[derive(Debug)]
pub(super) enum Selection {
    Nothing,
    All,
    /// All files of some partitions: a resolved [`Replaced`].
    Some(Partitions),
    /// These data files, by path.
    Files(HashSet<String>),
}

#[derive(Debug)]
pub(super) struct Partitions {
    keys: Vec<Key>,
    /// The selected tuples, with one value per key.
    values: HashSet<Vec<Value>>,
    /// Positions of the keys in each spec; `None` if the spec lacks one.
    positions: HashMap<i32, Option<Vec<usize>>>,
}

type Value = Option<PrimitiveLiteral>;

#[derive(Debug)]
struct Key {
    source_id: i32,
    transform: Transform,
    name: String,
    ty: PrimitiveType,
}

impl Selection {
    /// Resolves `replaced` for the table, whose current spec the `added` files were written with.
    pub(super) fn resolve(metadata: &TableMetadata, replaced: &Replaced, added: &[DataFile]) -> Result<Self> {
        let spec = metadata.default_partition_spec();
        match replaced {
            Replaced::All => Ok(Self::All),
            Replaced::Touched => {
                let fields = || spec.fields().iter().enumerate().filter(|(_, f)| f.transform != Transform::Void);
                let keys = fields().map(|(at, field)| Key::new(metadata, at, field)).collect::<Result<_>>()?;
                let value = |file: &DataFile, at: usize| normal(file.partition().fields()[at].as_ref());
                let values = added.iter().map(|file| fields().map(|(at, _)| value(file, at)).collect()).collect();
                Ok(Self::partitions(metadata, keys, values))
            }
            Replaced::Where(conditions) => {
                let mut keys: Vec<Key> = Vec::new();
                let mut tuple = Vec::new();
                for (name, value) in conditions {
                    let (at, field) = find_field(metadata, name)?;
                    let key = Key::new(metadata, at, field)?;
                    if keys.iter().any(|k| k.name == key.name) {
                        return Err(Error::new(ErrorKind::Invalid, format!("partition field {name} is given twice")));
                    }
                    tuple.push(key.value(value.as_ref())?);
                    keys.push(key);
                }
                Ok(Self::partitions(metadata, keys, HashSet::from([tuple])))
            }
        }
    }

    fn partitions(metadata: &TableMetadata, keys: Vec<Key>, values: HashSet<Vec<Value>>) -> Self {
        let positions = metadata.partition_specs_iter().map(|spec| (spec.spec_id(), positions(&keys, spec))).collect();
        Self::Some(Partitions { keys, values, positions })
    }

    /// Whether the selection fully matches a file of the given spec, which is then removed (strict projection).
    pub(super) fn fully_matches(&self, spec_id: i32, file: &DataFile) -> Result<bool> {
        let chosen = match self {
            Self::Nothing => return Ok(false),
            Self::All => return Ok(true),
            Self::Files(paths) => return Ok(paths.contains(file.file_path())),
            Self::Some(chosen) if chosen.values.is_empty() => return Ok(false),
            Self::Some(chosen) => chosen,
        };
        let Some(positions) = chosen.positions.get(&spec_id).and_then(Option::as_ref) else {
            let names: Vec<&str> = chosen.keys.iter().map(|k| k.name.as_str()).collect();
            let message = format!(
                "files written under partition spec {spec_id} are not partitioned by {}, so it is unknown which of them \
                 to replace; rewrite them with the current spec first",
                names.join(", ")
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        let fields = file.partition().fields();
        let tuple: Vec<Value> = positions.iter().map(|at| normal(fields.get(*at).and_then(Option::as_ref))).collect();
        Ok(chosen.values.contains(&tuple))
    }

    /// Whether a manifest may list a removed file, according to the manifest list (inclusive projection).
    pub(super) fn may_match(&self, manifest: &ManifestFile) -> bool {
        let chosen = match self {
            Self::Nothing => return false,
            Self::All => return true,
            Self::Files(paths) => return !paths.is_empty() && manifest.content == ManifestContentType::Data,
            Self::Some(chosen) => chosen,
        };
        let positions = chosen.positions.get(&manifest.partition_spec_id).and_then(Option::as_ref);
        let (Some(positions), Some(summaries)) = (positions, &manifest.partitions) else {
            return !chosen.values.is_empty();
        };
        let possible = |(key, at, value): (&Key, &usize, &Value)| match summaries.get(*at) {
            Some(summary) => may_contain(summary, &key.ty, value),
            None => true,
        };
        let may_match = |tuple: &Vec<Value>| {
            chosen.keys.iter().zip(positions).zip(tuple).all(|((key, at), value)| possible((key, at, value)))
        };
        chosen.values.iter().any(may_match)
    }
}

impl Key {
    fn new(metadata: &TableMetadata, at: usize, field: &PartitionField) -> Result<Self> {
        let ty = metadata.default_partition_type().fields()[at].field_type.as_primitive_type().cloned();
        let Some(ty) = ty else {
            return Err(Error::new(ErrorKind::Corrupt, format!("partition field {} has a nested type", field.name)));
        };
        Ok(Self { source_id: field.source_id, transform: field.transform, name: field.name.clone(), ty })
    }

    fn value(&self, datum: Option<&Datum>) -> Result<Value> {
        let Some(datum) = datum else { return Ok(None) };
        let converted = match (datum.literal(), &self.ty) {
            (PrimitiveLiteral::String(text), PrimitiveType::Date) => Datum::date_from_str(text),
            // `month`, `year`, `hour` and `bucket` return a plain int.
            _ => datum.clone().to(&Type::Primitive(self.ty.clone())),
        };
        let out_of_range = |d: &Datum| matches!(d.literal(), PrimitiveLiteral::AboveMax | PrimitiveLiteral::BelowMin);
        match converted {
            Ok(d) if !out_of_range(&d) => Ok(Some(widened(d.literal().clone()))),
            _ => {
                let message = format!("partition field {} is a {}, and {datum} is not", self.name, self.ty);
                Err(Error::new(ErrorKind::Invalid, message))
            }
        }
    }
}

fn find_field<'a>(metadata: &'a TableMetadata, name: &str) -> Result<(usize, &'a PartitionField)> {
    let fields = metadata.default_partition_spec().fields();
    let schema = metadata.current_schema();
    let by_name = |(_, f): &(usize, &PartitionField)| f.name == name;
    let by_column = |(_, f): &(usize, &PartitionField)| {
        f.transform == Transform::Identity && schema.name_by_field_id(f.source_id) == Some(name)
    };
    let found = fields.iter().enumerate().find(by_name).or_else(|| fields.iter().enumerate().find(by_column));
    found.ok_or_else(|| {
        let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        let known = if known.is_empty() { "nothing".to_string() } else { known.join(", ") };
        Error::new(ErrorKind::Invalid, format!("the table is not partitioned by {name}; it is partitioned by {known}"))
    })
}

fn positions(keys: &[Key], spec: &PartitionSpec) -> Option<Vec<usize>> {
    let position =
        |key: &Key| spec.fields().iter().position(|f| f.source_id == key.source_id && f.transform == key.transform);
    keys.iter().map(position).collect()
}

fn normal(literal: Option<&Literal>) -> Value {
    literal.and_then(Literal::as_primitive_literal).map(widened)
}

/// The value in the widest type, so that files from before a promotion of the column (int to long, float to double)
/// compare with later ones.
fn widened(literal: PrimitiveLiteral) -> PrimitiveLiteral {
    match literal {
        PrimitiveLiteral::Int(v) => PrimitiveLiteral::Long(v.into()),
        PrimitiveLiteral::Float(v) => PrimitiveLiteral::Double(f64::from(v.0).into()),
        other => other,
    }
}

fn may_contain(summary: &FieldSummary, ty: &PrimitiveType, value: &Value) -> bool {
    let Some(value) = value else { return summary.contains_null };
    // Engines do not agree on the order of UUIDs and bytes, and bounds exclude NaN.
    let unordered = matches!(value, PrimitiveLiteral::UInt128(_) | PrimitiveLiteral::Binary(_)) || value.is_nan();
    if unordered {
        return true;
    }
    let (Some(lower), Some(upper)) = (&summary.lower_bound, &summary.upper_bound) else { return true };
    let bound = |bytes: &[u8]| Datum::try_from_bytes(bytes, ty.clone()).ok().map(|d| widened(d.literal().clone()));
    match (bound(lower), bound(upper)) {
        (Some(lower), Some(upper)) => lower <= *value && *value <= upper,
        _ => true,
    }
}

/// The display text of a partition: `partition event_day=2026-02-14, event_type=view`.
pub(super) fn describe(metadata: &TableMetadata, spec_id: i32, partition: &Struct) -> String {
    match field_texts(metadata, spec_id, partition) {
        Some(fields) => format!("partition {}", fields.join(", ")),
        None => "the whole table".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{DAY, event_file, events_metadata, file_in, partition};
    use super::*;

    fn chosen(replaced: Replaced, added: &[DataFile]) -> Result<Selection> {
        Selection::resolve(&events_metadata(), &replaced, added)
    }

    fn condition(name: &str, value: Option<Datum>) -> (String, Option<Datum>) {
        (name.to_string(), value)
    }

    #[test]
    fn values_of_a_partition_clause_are_those_of_partitions() {
        let by = |value: ScalarValue| Replaced::by_values(&[("day".to_string(), value)]);
        let check = |value: ScalarValue, expected: Option<Datum>| {
            let Ok(Replaced::Where(values)) = by(value.clone()) else { panic!("{value:?}") };
            assert_eq!(values, [condition("day", expected)], "{value:?}");
        };
        check(ScalarValue::Date32(Some(DAY)), Some(Datum::date(DAY)));
        check(ScalarValue::Utf8View(Some("view".to_string())), Some(Datum::string("view")));
        check(ScalarValue::Int16(Some(-7)), Some(Datum::int(-7)));
        // NULL of any type.
        check(ScalarValue::Null, None);
        check(ScalarValue::Date64(None), None);
        let e = by(ScalarValue::Date64(Some(0))).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert_eq!(e.to_string(), "PARTITION (day = 1970-01-01): a Date64 is not a partition value");
        assert!(matches!(Replaced::by_values(&[]), Ok(Replaced::Where(values)) if values.is_empty()));
    }

    #[test]
    fn conditions_choose_partitions_by_any_of_their_fields() {
        let view_today = file_in(partition(Some(DAY), Some("view")));
        let cart_today = file_in(partition(Some(DAY), Some("add_cart")));
        let view_later = file_in(partition(Some(DAY + 1), Some("view")));
        let null_today = file_in(partition(Some(DAY), None));
        let check = |conditions: Vec<(String, Option<Datum>)>, expected: [bool; 4]| {
            let selection = chosen(Replaced::Where(conditions.clone()), &[]).unwrap();
            let matched =
                [&view_today, &cart_today, &view_later, &null_today].map(|f| selection.fully_matches(0, f).unwrap());
            assert_eq!(matched, expected, "{conditions:?}");
        };
        let day = || condition("ts_day", Some(Datum::date(DAY)));
        check(vec![day()], [true, true, false, true]);
        check(vec![condition("ts_day", Some(Datum::string("2026-02-14")))], [true, true, false, true]);
        check(vec![condition("event_type", Some(Datum::string("view")))], [true, false, true, false]);
        check(vec![condition("event_type", None)], [false, false, false, true]);
        check(vec![day(), condition("event_type", Some(Datum::string("view")))], [true, false, false, false]);
        check(vec![], [true, true, true, true]);
    }

    #[test]
    fn wrong_conditions_are_reported() {
        let check = |name: &str, value: Datum, expected: &str| {
            let e = chosen(Replaced::Where(vec![condition(name, Some(value))]), &[]).unwrap_err();
            assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Invalid, expected));
        };
        // A timestamp does not select its day.
        check(
            "ts",
            Datum::timestamp_micros(0),
            "the table is not partitioned by ts; it is partitioned by ts_day, event_type",
        );
        check("ts_day", Datum::bool(true), "partition field ts_day is a date, and true is not");
    }

    #[test]
    fn touched_means_the_partitions_of_the_added_files() {
        let selection = chosen(Replaced::Touched, &[event_file("a", DAY, "view", 1)]).unwrap();
        assert!(selection.fully_matches(0, &file_in(partition(Some(DAY), Some("view")))).unwrap());
        assert!(!selection.fully_matches(0, &file_in(partition(Some(DAY), Some("purchase")))).unwrap());
        let none = chosen(Replaced::Touched, &[]).unwrap();
        assert!(!none.fully_matches(0, &file_in(partition(Some(DAY), Some("view")))).unwrap());
    }

    #[test]
    fn a_spec_that_lacks_the_field_is_refused() {
        let selection = chosen(Replaced::Where(vec![condition("event_type", Some(Datum::string("view")))]), &[]);
        let e = selection.unwrap().fully_matches(7, &file_in(Struct::empty())).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn manifests_are_skipped_by_their_bounds() {
        let summary = |lower: Datum, upper: Datum, contains_null| FieldSummary {
            contains_null,
            contains_nan: None,
            lower_bound: Some(lower.to_bytes().unwrap()),
            upper_bound: Some(upper.to_bytes().unwrap()),
        };
        let days = summary(Datum::date(DAY), Datum::date(DAY + 2), false);
        let check = |value: Option<i32>, expected: bool| {
            let value = value.map(|v| PrimitiveLiteral::Long(v.into()));
            assert_eq!(may_contain(&days, &PrimitiveType::Date, &value), expected, "{value:?}");
        };
        check(Some(DAY - 1), false);
        check(Some(DAY), true);
        check(Some(DAY + 2), true);
        check(Some(DAY + 3), false);
        check(None, false);
        let names = summary(Datum::string("b"), Datum::string("d"), true);
        let text = |v: &str| Some(PrimitiveLiteral::String(v.to_string()));
        assert!(may_contain(&names, &PrimitiveType::String, &text("c")));
        assert!(!may_contain(&names, &PrimitiveType::String, &text("e")));
        assert!(may_contain(&names, &PrimitiveType::String, &None));
    }
}
