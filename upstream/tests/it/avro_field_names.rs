//! `reports/avro_field_names.md`

use iceberg::spec::{FormatVersion, Literal, PrimitiveType, read_data_files_from_avro, write_data_files_to_avro};

use crate::{FIXED, partitioned};

/// The number of files read from a manifest with one file whose partition field has this name.
fn read(name: &str) -> iceberg::Result<usize> {
    let table = partitioned::by(name, PrimitiveType::Int, Literal::int(1));
    let mut bytes = Vec::new();
    write_data_files_to_avro(&mut bytes, [table.file], &table.partition, FormatVersion::V2).unwrap();
    let bytes = &mut bytes.as_slice();
    Ok(read_data_files_from_avro(bytes, &table.schema, 0, &table.partition, FormatVersion::V2)?.len())
}

#[test]
fn manifests_are_written_that_cannot_be_read() {
    assert_eq!(read("aerger").unwrap(), 1);
    for name in ["Ärger", "a.b", "1st", "a-b"] {
        let error = read(name).expect_err(FIXED).to_string();
        assert!(error.contains("Invalid field name"), "{error}");
    }
}
