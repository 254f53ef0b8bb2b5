//! All that an executor must know of a table to write data files for it.

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

/// What a write needs of its table, taken when the statement is planned. It travels inside the plan, so executors
/// never ask the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteSpec {
    /// Location of the folder for data files, without a trailing slash.
    pub data_location: String,
    /// How files are spread over it, if they are.
    #[serde(default)]
    pub hashed_paths: Option<HashedPaths>,
    /// The columns that are written.
    pub schema: Schema,
    /// How rows are divided into files.
    pub partition_spec: PartitionSpec,
    /// How rows lie in a file.
    pub sort_order: SortOrder,
    /// The table's properties that begin with `write.`.
    pub properties: HashMap<String, String>,
    /// Version of the table's format.
    pub format_version: FormatVersion,
    /// In the name of every file of this write; fresh for each statement.
    pub write_id: Uuid,
    /// The table in the address of its stores, if credentials that the catalog lends open its files.
    #[serde(default)]
    pub vended_to: Option<String>,
}

/// How rows find their task, property `write.distribution-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistributionMode {
    /// Rows stay in the task that produced them: no shuffle, up to one file per task and partition.
    None,
    /// All rows of a partition meet in one task: one shuffle, few files.
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

    /// The same for a table as the catalog has given it, so that also its files are reached as the catalog says.
    pub fn of(table: &Table) -> Result<Self> {
        let vended_to = vended_address(table).map(ToString::to_string);
        Ok(Self { vended_to, ..Self::from_metadata(table.metadata())? })
    }

    /// Where the data files go.
    pub fn location(&self) -> &str {
        &self.data_location
    }

    /// The folder that holds the files of this write, and in which none but them may be looked for.
    ///
    /// On a disk it is the folder of all data files, in which partitions have their folders for people to see. An
    /// object store has no folders to walk through, only keys to list by what they begin with: there a write has a
    /// prefix of its own, which also spreads requests as the reference's `ObjectStoreLocationProvider` does.
    ///
    /// `None` where files are spread over all of an object store's keys: those of one write cannot be told there but
    /// by looking at those of all writes.
    pub(super) fn own_folder(&self) -> Option<String> {
        let is_local = Location::parse(&self.data_location).is_ok_and(|at| at.is_local());
        match (is_local, &self.hashed_paths) {
            (true, _) => Some(self.data_location.clone()),
            (false, None) => Some(format!("{}/{}", self.data_location, self.write_id)),
            (false, Some(_)) => None,
        }
    }

    /// Where a file of this write goes; `folders` are those of its partition, without slashes around them.
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
            return Err(Error::new(ErrorKind::Unsupported, format!("writing {format} data files")));
        }
        for field in self.partition_spec.fields() {
            if field.transform == Transform::Unknown {
                let message = format!("partition field {} has a transform unknown to this release", field.name);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            // The iceberg crate would write such a manifest, and not read it again.
            if avro_name(&field.name) != field.name {
                let message = format!("writing partitions of a field called {:?}", field.name);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            let (source, _) = self.source(field.source_id)?;
            // The iceberg crate has no Avro form for a uuid, and does not read a time in nanoseconds again: better
            // refused here than at the commit or after it.
            let instead = match source.field_type.as_primitive_type() {
                Some(PrimitiveType::Uuid) => "a uuid; bucket[n] can be written",
                Some(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs) => {
                    "in nanoseconds; hour can be written"
                }
                _ => continue,
            };
            if field.transform == Transform::Identity {
                let message = format!("partitions by the values of {}, {instead}", source.name);
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        }
        self.distribution_mode()?;
        super::writer_properties::check(self)
    }

    pub(super) fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// The value of a property that is a number or a truth value, or `default`.
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

    /// How rows find their task. `range`, which Spark knows, becomes `hash`: the tasks' sort gives the order in files.
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

    /// Where a column lies: the field, and its index in each struct on the way to it.
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
