//! `reports/avro_field_names.md`

use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, FormatVersion, Literal, NestedField, PrimitiveType, Schema,
    Struct, StructType, Type, read_data_files_from_avro, write_data_files_to_avro,
};

use crate::MENDED;

/// The files that are read of a manifest with one file, whose partition field has this name.
fn read(name: &str) -> iceberg::Result<usize> {
    let field = |id| Arc::new(NestedField::optional(id, name, Type::Primitive(PrimitiveType::Int)));
    let schema = Schema::builder().with_fields([field(1)]).build().unwrap();
    let partition = StructType::new(vec![field(1000)]);
    let file = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path("data/1.parquet".to_string())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::int(1))]))
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(1)
        .build()
        .unwrap();
    let mut bytes = Vec::new();
    write_data_files_to_avro(&mut bytes, [file], &partition, FormatVersion::V2).unwrap();
    Ok(read_data_files_from_avro(&mut bytes.as_slice(), &schema, 0, &partition, FormatVersion::V2)?.len())
}

#[test]
fn manifests_are_written_that_cannot_be_read() {
    assert_eq!(read("aerger").unwrap(), 1);
    for name in ["Ärger", "a.b", "1st", "a-b"] {
        let error = read(name).expect_err(MENDED).to_string();
        assert!(error.contains("Invalid field name"), "{error}");
    }
}
