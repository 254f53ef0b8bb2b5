//! `reports/partition_nanoseconds.md`

use iceberg::spec::{FormatVersion, Literal, PrimitiveType, read_data_files_from_avro, write_data_files_to_avro};

use crate::{FIXED, partitioned};

#[test]
fn the_manifest_of_a_partition_of_nanoseconds_is_written_and_not_read() {
    for ty in [PrimitiveType::TimestampNs, PrimitiveType::TimestamptzNs] {
        let table = partitioned::by("ts", ty, Literal::long(1));
        let mut bytes = Vec::new();
        write_data_files_to_avro(&mut bytes, [table.file], &table.partition, FormatVersion::V3).unwrap();
        let bytes = &mut bytes.as_slice();
        let read = read_data_files_from_avro(bytes, &table.schema, 0, &table.partition, FormatVersion::V3);
        let error = read.expect_err(FIXED).to_string();
        assert!(error.contains("Unable to convert raw literal (long)"), "{error}");
    }
}
