//! Everything an executor needs to write data files of a table.

use std::collections::HashMap;

use bergmill_storage::Location;
use iceberg::spec::{
    FormatVersion, NestedFieldRef, PartitionSpec, PrimitiveType, Schema, SortOrder, TableMetadata, Transform, Type,
};
use iceberg::table::Table;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::location::{HashedPaths, data_location};
use crate::error::{Error, ErrorKind, Result};
use crate::names::avro_name;
use crate::table::vended_address;

/// The properties of a table that a write needs, taken when the statement is planned. The spec is part of the plan, so
/// executors never access the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteSpec {
    /// Location of the folder for data files, without a trailing slash.
    pub data_location: String,
    /// The layout of hashed paths in that folder, if the table uses them.
    #[serde(default)]
    pub hashed_paths: Option<HashedPaths>,
    /// The columns that are written.
    pub schema: Schema,
    /// How rows are divided into files.
    pub partition_spec: PartitionSpec,
    /// The order of rows in a file.
    pub sort_order: SortOrder,
    /// The table's properties that start with `write.`.
    pub properties: HashMap<String, String>,
    /// Version of the table's format.
    pub format_version: FormatVersion,
    /// Part of the name of every file of this write; fresh for each statement.
    pub write_id: Uuid,
    /// The table in the URL of its object stores, if its files are accessed with credentials that the catalog vends.
    #[serde(default)]
    pub vended_to: Option<String>,
}

/// How rows are distributed to tasks, property `write.distribution-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistributionMode {
    /// Rows stay in the task that produced them: no shuffle, up to one file per task and partition.
    None,
    /// All rows of a partition go to one task: one shuffle, few files.
    Hash,
}

impl WriteSpec {
    /// The spec of a write with the table's current schema, partition spec and sort order.
    pub fn from_metadata(metadata: &TableMetadata) -> Result<Self> {
        let is_write = |key: &str| key.starts_with("write.");
        let properties: HashMap<_, _> =
            metadata.properties().iter().filter(|(k, _)| is_write(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let (data_location, hashed_paths) = data_location(metadata)?;
        let spec = Self {
            data_location,
            hashed_paths,
            schema: metadata.current_schema().as_ref().clone(),
            partition_spec: metadata.default_partition_spec().as_ref().clone(),
            sort_order: metadata.default_sort_order().as_ref().clone(),
            properties,
            format_version: metadata.format_version(),
            write_id: Uuid::new_v4(),
            vended_to: None,
        };
        spec.check()?;
        Ok(spec)
    }

    /// [`from_metadata`](Self::from_metadata) of a table as loaded from the catalog, with the credentials that the
    /// catalog vends for its files.
    pub fn of(table: &Table) -> Result<Self> {
        let vended_to = vended_address(table).map(ToString::to_string);
        Ok(Self { vended_to, ..Self::from_metadata(table.metadata())? })
    }

    /// Location of the folder for data files.
    pub fn location(&self) -> &str {
        &self.data_location
    }

    /// The folder that has all files of this write.
    ///
    /// On a local disk this is the folder of all data files, with the partitions' folders. An object store has no
    /// folders, and only lists keys by prefix: there a write has a prefix of its own, which also spreads requests as
    /// the reference's `ObjectStoreLocationProvider` does.
    ///
    /// `None` for hashed paths in an object store: the files of one write can only be found by listing those of all
    /// writes.
    pub(super) fn own_folder(&self) -> Option<String> {
        let is_local = Location::parse(&self.data_location).is_ok_and(|at| at.is_local());
        match (is_local, &self.hashed_paths) {
            (true, _) => Some(self.data_location.clone()),
            (false, None) => Some(format!("{}/{}", self.data_location, self.write_id)),
            (false, Some(_)) => None,
        }
    }

    /// The location of a file of this write; `folders` are those of its partition, without slashes around them.
    pub(super) fn file_location(&self, folders: &str, name: &str) -> String {
        let own = self.own_folder().unwrap_or_else(|| self.data_location.clone());
        match &self.hashed_paths {
            Some(paths) => format!("{}/{}", self.data_location, paths.path(folders, name)),
            None if folders.is_empty() => format!("{own}/{name}"),
            None => format!("{own}/{folders}/{name}"),
        }
    }

    fn check(&self) -> Result<()> {
        let format = self.property("write.format.default").unwrap_or("parquet");
        if !format.eq_ignore_ascii_case("parquet") {
            return Err(Error::new(ErrorKind::Unsupported, format!("writing {format} data files is not supported")));
        }
        for field in self.partition_spec.fields() {
            if field.transform == Transform::Unknown {
                let message = format!("partition field {} has an unknown transform", field.name);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            // The iceberg crate would write such a manifest, but not read it.
            if avro_name(&field.name) != field.name {
                let message = format!("writing partitions of a field named {:?} is not supported", field.name);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            let (source, _) = self.source(field.source_id)?;
            // The iceberg crate has no Avro encoding of a uuid, and cannot read a time in nanoseconds: refuse them here
            // rather than fail at the commit or after it.
            let (ty, instead) = match source.field_type.as_primitive_type() {
                Some(PrimitiveType::Uuid) => ("a uuid", "bucket[n]"),
                Some(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs) => ("a time in nanoseconds", "hour"),
                _ => continue,
            };
            if field.transform == Transform::Identity {
                let message =
                    format!("writing identity partitions of {}, {ty}, is not supported; use {instead}", source.name);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        }
        self.distribution_mode()?;
        super::writer_properties::check(self)
    }

    pub(super) fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// The columns and values of properties of the form `prefix<column> = value`.
    pub(super) fn column_properties<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.properties.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// The value of a numeric or boolean property, or `default`.
    pub(super) fn parsed<T: std::str::FromStr>(&self, key: &str, default: T) -> Result<T> {
        match self.property(key) {
            None => Ok(default),
            Some(text) => {
                text.trim().to_lowercase().parse().map_err(|_| {
                    Error::new(ErrorKind::Invalid, format!("table property {key} has a wrong value: {text}"))
                })
            }
        }
    }

    /// How rows are distributed to tasks. Spark's `range` becomes `hash`: each task sorts its rows, which gives the
    /// order within files.
    pub fn distribution_mode(&self) -> Result<DistributionMode> {
        match self.property("write.distribution-mode") {
            None if self.partition_spec.is_unpartitioned() => Ok(DistributionMode::None),
            None | Some("hash" | "range") => Ok(DistributionMode::Hash),
            Some("none") => Ok(DistributionMode::None),
            Some(other) => {
                let message = format!("table property write.distribution-mode has a wrong value: {other}");
                Err(Error::new(ErrorKind::Invalid, message))
            }
        }
    }

    /// Whether files get the rows of a query in its own order, because the table neither distributes nor sorts them.
    pub fn keeps_order(&self) -> bool {
        self.partition_spec.is_unpartitioned() && self.sort_order.is_unsorted()
    }

    /// The field of a column, and its path: the index at each level of nested structs.
    pub(super) fn source(&self, field_id: i32) -> Result<(NestedFieldRef, Vec<usize>)> {
        fn find(fields: &[NestedFieldRef], id: i32, path: &mut Vec<usize>) -> Option<NestedFieldRef> {
            fields.iter().enumerate().find_map(|(i, field)| {
                path.push(i);
                let found = match field.field_type.as_ref() {
                    _ if field.id == id => Some(field.clone()),
                    Type::Struct(inner) => find(inner.fields(), id, path),
                    _ => None,
                };
                if found.is_none() {
                    path.pop();
                }
                found
            })
        }
        let mut path = Vec::new();
        match find(self.schema.as_struct().fields(), field_id, &mut path) {
            Some(field) if field.field_type.is_primitive() => Ok((field, path)),
            _ => {
                let message =
                    format!("field {field_id} of the partition spec or sort order is not a column of the table");
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }
}
