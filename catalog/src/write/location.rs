//! Locations of data files: the table's properties `write.data.path` and `write.object-storage.*`, interpreted as by
//! Iceberg's reference implementation (`LocationProviders`).

use iceberg::spec::TableMetadata;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::pointers::layout::check_location;
use crate::table::transform::murmur3;

const DATA_PATH: &str = "write.data.path";
/// Older names of `write.data.path`; the first applies to hashed paths only.
const OBJECT_STORAGE_PATH: &str = "write.object-storage.path";
const FOLDER_STORAGE_PATH: &str = "write.folder-storage.path";
const OBJECT_STORAGE: &str = "write.object-storage.enabled";
const PARTITIONED_PATHS: &str = "write.object-storage.partitioned-paths";

/// Paths that start with bits of a hash, so that an object store, which distributes its load by key prefix, can
/// distribute a table's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashedPaths {
    /// The last folders of the table's location, if its data is outside of it, possibly with that of other tables.
    context: Option<String>,
    /// Whether partition folders follow those of the hash.
    partitions: bool,
}

/// The folder of a table's data files, without a trailing slash, and the layout of its paths.
pub(super) fn data_location(metadata: &TableMetadata) -> Result<(String, Option<HashedPaths>)> {
    let table = metadata.location().trim_end_matches('/');
    let property = |key: &str| metadata.properties().get(key);
    let is_hashed = flag(metadata, OBJECT_STORAGE, false)?;
    let names = [(DATA_PATH, true), (OBJECT_STORAGE_PATH, is_hashed), (FOLDER_STORAGE_PATH, true)];
    let configured = names.iter().find_map(|(key, applies)| Some((key, property(key).filter(|_| *applies)?)));
    let folder = match configured {
        Some((key, path)) => check_location(path).map_err(|e| e.context(format_args!("table property {key}")))?,
        None => format!("{table}/data"),
    };
    if !is_hashed {
        return Ok((folder, None));
    }
    let context = (!folder.starts_with(table)).then(|| {
        let levels: Vec<&str> = table.rsplitn(3, '/').take(2).collect();
        levels.into_iter().rev().collect::<Vec<_>>().join("/")
    });
    Ok((folder, Some(HashedPaths { context, partitions: flag(metadata, PARTITIONED_PATHS, true)? })))
}

fn flag(metadata: &TableMetadata, key: &str, default: bool) -> Result<bool> {
    let Some(text) = metadata.properties().get(key) else { return Ok(default) };
    text.trim()
        .to_ascii_lowercase()
        .parse()
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("table property {key} has a wrong value: {text}")))
}

impl HashedPaths {
    /// The path of a file in the folder of data files; `folders` are the folders of its partition, or empty.
    pub(super) fn path(&self, folders: &str, name: &str) -> String {
        let path = match self.partitions && !folders.is_empty() {
            true => format!("{folders}/{name}"),
            false => name.to_string(),
        };
        let hash = hash_folders(&path);
        match &self.context {
            Some(context) => format!("{hash}/{context}/{path}"),
            None if self.partitions => format!("{hash}/{path}"),
            None => format!("{hash}-{path}"),
        }
    }
}

/// The last 20 bits of a path's hash as folders: `0101/0110/1001/10110010`.
fn hash_folders(path: &str) -> String {
    let bits = format!("{:020b}", murmur3(path.as_bytes()) & 0xF_FFFF);
    format!("{}/{}/{}/{}", &bits[..4], &bits[4..8], &bits[8..12], &bits[12..])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};

    use super::*;

    fn located(properties: &[(&str, &str)]) -> Result<(String, Option<HashedPaths>)> {
        let properties: HashMap<_, _> = properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let schema = Schema::builder().build().unwrap();
        let spec = UnboundPartitionSpec::builder().build();
        let (order, at) = (SortOrder::unsorted_order(), "s3://lake/raw/t".to_string());
        let builder = TableMetadataBuilder::new(schema, spec, order, at, FormatVersion::V2, properties);
        data_location(&builder.unwrap().build().unwrap().metadata)
    }

    #[test]
    fn hashes_are_those_of_the_reference() {
        // From Iceberg's TestLocationProvider and PyIceberg's tests.
        for (name, hash) in [
            ("a", "0101/0110/1001/10110010"),
            ("b", "1110/0111/1110/00000011"),
            ("c", "0010/1101/0110/01011111"),
            ("d", "1001/0001/0100/01110011"),
        ] {
            assert_eq!(hash_folders(name), hash, "{name}");
        }
    }

    #[test]
    fn files_go_where_the_table_says() {
        const HASHED: (&str, &str) = (OBJECT_STORAGE, "true");
        let check = |properties: &[(&str, &str)], folders: &str, expected: &str| {
            let (folder, hashed) = located(properties).unwrap();
            let path = hashed.map_or_else(|| format!("{folders}/a"), |paths| paths.path(folders, "a"));
            assert_eq!(format!("{folder}/{path}"), expected, "{properties:?}");
        };
        let of_a = "0101/0110/1001/10110010";
        check(&[], "p=1", "s3://lake/raw/t/data/p=1/a");
        check(&[(DATA_PATH, "s3://data/x/")], "p=1", "s3://data/x/p=1/a");
        check(&[(FOLDER_STORAGE_PATH, "s3://data/x")], "p=1", "s3://data/x/p=1/a");
        check(&[(OBJECT_STORAGE_PATH, "s3://data/x"), (OBJECT_STORAGE, "false")], "p=1", "s3://lake/raw/t/data/p=1/a");
        check(&[HASHED], "", &format!("s3://lake/raw/t/data/{of_a}/a"));
        let of_both = hash_folders("p=1/a");
        check(&[HASHED], "p=1", &format!("s3://lake/raw/t/data/{of_both}/p=1/a"));
        check(&[HASHED, (PARTITIONED_PATHS, "false")], "p=1", &format!("s3://lake/raw/t/data/{of_a}-a"));
        check(&[HASHED, (OBJECT_STORAGE_PATH, "s3://data/x")], "", &format!("s3://data/x/{of_a}/raw/t/a"));
        check(&[HASHED, (DATA_PATH, "s3://lake/raw/t/files")], "", &format!("s3://lake/raw/t/files/{of_a}/a"));
    }

    #[test]
    fn wrong_values_are_named() {
        for (key, value) in [(DATA_PATH, "x/y"), (OBJECT_STORAGE, "yes"), (FOLDER_STORAGE_PATH, "hdfs://h/x")] {
            let e = located(&[(key, value)]).unwrap_err();
            assert!(e.kind() == ErrorKind::Invalid && e.to_string().contains(key), "{e}");
        }
    }
}
