//! `reports/partition_uuid.md`

use iceberg::spec::{FormatVersion, Literal, PrimitiveType, write_data_files_to_avro};

use crate::{FIXED, partitioned};

#[test]
fn the_manifest_of_a_uuid_partition_is_not_written() {
    let uuid = Literal::uuid_from_str("f79c3e09-677c-4bbd-a479-3f349cb785e7").unwrap();
    let table = partitioned::by("id", PrimitiveType::Uuid, uuid);
    let written = write_data_files_to_avro(&mut Vec::new(), [table.file], &table.partition, FormatVersion::V2);
    let error = written.expect_err(FIXED).to_string();
    assert!(error.contains("Failure in conversion with avro"), "{error}");
}
