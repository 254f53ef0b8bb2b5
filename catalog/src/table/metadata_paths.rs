//! Where a table's metadata files, manifest lists and manifests go, and which of them the table no longer wants.

use iceberg::spec::{MetadataLog, TableMetadata};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::pointers::layout::check_location;

/// The property that gives metadata a folder of its own, beside the table's.
const METADATA_PATH: &str = "write.metadata.path";
const COMPRESSION: &str = "write.metadata.compression-codec";
const DELETE_AFTER_COMMIT: &str = "write.metadata.delete-after-commit.enabled";

/// How the name of a metadata file ends that is compressed.
pub(crate) const GZIPPED: &str = ".gz.metadata.json";

/// The folder of all metadata, without a slash at its end.
pub(crate) fn metadata_folder(metadata: &TableMetadata) -> Result<String> {
    match metadata.properties().get(METADATA_PATH) {
        Some(path) => check_location(path).map_err(|e| e.context(format_args!("table property {METADATA_PATH}"))),
        None => Ok(format!("{}/metadata", metadata.location().trim_end_matches('/'))),
    }
}

/// The file of a new table's metadata.
pub(crate) fn first_location(metadata: &TableMetadata) -> Result<String> {
    location(metadata, 0)
}

/// The file of the metadata `next` after that at `current`, whose name gives the number; names of other makers
/// (`v3.metadata.json`) are understood.
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

/// Those of the metadata files that fell out of the log which the table asks its writer to delete.
pub(crate) fn expired(metadata: &TableMetadata, fallen: Vec<MetadataLog>) -> Vec<String> {
    let wanted = metadata.properties().get(DELETE_AFTER_COMMIT).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if wanted { fallen.into_iter().map(|log| log.metadata_file).collect() } else { Vec::new() }
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
