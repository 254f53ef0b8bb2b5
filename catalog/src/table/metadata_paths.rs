//! Locations of a table's metadata files, manifest lists and manifests, and which metadata files have expired.

use iceberg::spec::{MetadataLog, TableMetadata};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::pointers::layout::check_location;

/// The property with a separate folder for metadata.
const METADATA_PATH: &str = "write.metadata.path";
const COMPRESSION: &str = "write.metadata.compression-codec";
const DELETE_AFTER_COMMIT: &str = "write.metadata.delete-after-commit.enabled";

/// Suffix of compressed metadata files.
pub(crate) const GZIPPED: &str = ".gz.metadata.json";

/// The folder of all metadata, without a trailing slash.
pub(crate) fn metadata_folder(metadata: &TableMetadata) -> Result<String> {
    match metadata.properties().get(METADATA_PATH) {
        Some(path) => check_location(path).map_err(|e| e.context(format_args!("table property {METADATA_PATH}"))),
        None => Ok(format!("{}/metadata", metadata.location().trim_end_matches('/'))),
    }
}

/// The location of a new table's metadata file.
pub(crate) fn first_location(metadata: &TableMetadata) -> Result<String> {
    location(metadata, 0)
}

/// The location of the metadata file for `next`, which follows the file at `current`. The number is taken from the name
/// of `current`, which may be one of another catalog (`v3.metadata.json`).
pub(crate) fn next_location(current: &str, next: &TableMetadata) -> Result<String> {
    let name = current.rsplit('/').next().unwrap_or(current);
    let digits: String = name.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
    let number = digits.parse::<u32>().map_or(next.metadata_log().len(), |n| n as usize + 1);
    location(next, number)
}

fn location(metadata: &TableMetadata, number: usize) -> Result<String> {
    let suffix = match metadata.properties().get(COMPRESSION).map(|codec| codec.to_ascii_lowercase()).as_deref() {
        None | Some("none" | "") => ".metadata.json",
        Some("gzip") => GZIPPED,
        Some(other) => {
            let what = format!("table property {COMPRESSION}: {other} is neither none nor gzip");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
    };
    Ok(format!("{}/{number:05}-{}{suffix}", metadata_folder(metadata)?, Uuid::new_v4()))
}

/// The metadata files to delete, of those removed from the log: all of them, if the table's properties enable it.
pub(crate) fn expired(metadata: &TableMetadata, removed: Vec<MetadataLog>) -> Vec<String> {
    let delete = metadata.properties().get(DELETE_AFTER_COMMIT).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if delete { removed.into_iter().map(|log| log.metadata_file).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};
    use std::collections::HashMap;

    fn table(properties: &[(&str, &str)]) -> TableMetadata {
        let properties: HashMap<_, _> = properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let schema = Schema::builder().build().unwrap();
        let spec = UnboundPartitionSpec::builder().build();
        let (order, at) = (SortOrder::unsorted_order(), "s3://lake/t".to_string());
        let builder = TableMetadataBuilder::new(schema, spec, order, at, FormatVersion::V2, properties);
        builder.unwrap().build().unwrap().metadata
    }

    #[test]
    fn metadata_goes_where_the_table_says() {
        let check = |properties: &[(&str, &str)], current: &str, start: &str, end: &str| {
            let at = next_location(current, &table(properties)).unwrap();
            assert!(at.starts_with(start) && at.ends_with(end), "{properties:?} {at}");
            assert_eq!(at.len(), start.len() + 36 + end.len(), "{at}");
        };
        let plain = "s3://lake/t/metadata/00003-x.metadata.json";
        check(&[], plain, "s3://lake/t/metadata/00004-", ".metadata.json");
        check(&[], "s3://lake/t/metadata/v7.metadata.json", "s3://lake/t/metadata/00008-", ".metadata.json");
        check(&[], "s3://lake/t/metadata/other", "s3://lake/t/metadata/00000-", ".metadata.json");
        check(&[(METADATA_PATH, "s3://meta/t/")], plain, "s3://meta/t/00004-", ".metadata.json");
        check(&[(COMPRESSION, "gzip")], plain, "s3://lake/t/metadata/00004-", ".gz.metadata.json");
        check(&[(METADATA_PATH, "s3://m/t"), (COMPRESSION, "GZIP")], plain, "s3://m/t/00004-", ".gz.metadata.json");
    }

    #[test]
    fn wrong_properties_are_named() {
        for (property, value) in [(METADATA_PATH, "meta/t"), (METADATA_PATH, "hdfs://x/y"), (COMPRESSION, "zip")] {
            let e = first_location(&table(&[(property, value)])).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(e.to_string().contains(property), "{e}");
        }
    }
}
