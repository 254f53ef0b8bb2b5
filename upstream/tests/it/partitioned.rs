//! A data file of an Iceberg table with one column, partitioned by its values.

use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, NestedField, PrimitiveType, Schema, Struct,
    StructType, Type,
};

pub struct Partitioned {
    pub schema: Schema,
    pub partition: StructType,
    pub file: DataFile,
}

/// The column and its partition field have this name.
pub fn by(name: &str, ty: PrimitiveType, value: Literal) -> Partitioned {
    let field = |id| Arc::new(NestedField::optional(id, name, Type::Primitive(ty.clone())));
    let file = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path("data/1.parquet".to_string())
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(value)]))
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(1)
        .build()
        .unwrap();
    let schema = Schema::builder().with_fields([field(1)]).build().unwrap();
    Partitioned { schema, partition: StructType::new(vec![field(1000)]), file }
}
