//! Reads and writes metadata files.

use bytes::Bytes;
use iceberg::MetadataLocation;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;

use crate::error::{Error, ErrorKind, Result, store_failure};
use crate::table::metadata_paths::GZIPPED;

/// Reads a metadata file.
///
/// # Errors
/// `Corrupt` if it is missing or damaged.
pub(crate) async fn read_metadata(file_io: &FileIO, location: &str) -> Result<TableMetadata> {
    let e = match TableMetadata::read_from(file_io, location).await {
        Ok(metadata) => return Ok(metadata),
        Err(e) => e,
    };
    let absent = matches!(file_io.exists(location).await, Ok(false));
    if absent {
        return Err(Error::new(ErrorKind::Corrupt, format!("metadata file {location} is missing")));
    }
    if store_failure(&e).is_some() {
        // It already names the file, and is not about its contents.
        return Err(e.into());
    }
    let e = Error::from(e);
    let kind = match e.kind() {
        // Damaged text is reported as `Unexpected` or `DataInvalid`.
        ErrorKind::Storage => ErrorKind::Corrupt,
        kind => kind,
    };
    Err(Error::new(kind, format!("metadata file {location} cannot be read")).with_source(e))
}

/// Writes a metadata file so that it is on disk before the catalog points to it.
pub(crate) async fn write_metadata(file_io: &FileIO, metadata: &TableMetadata, file: &str) -> Result<()> {
    let writing = format!("writing metadata file {file}");
    let bytes = match file.ends_with(GZIPPED) {
        true => gzipped(metadata).await?,
        false => {
            let json = serde_json::to_vec(metadata);
            json.map_err(|e| Error::new(ErrorKind::Internal, writing.clone()).with_source(e))?.into()
        }
    };
    let write = async {
        let mut writer = file_io.new_output(file)?.writer().await?;
        writer.write(bytes).await?;
        writer.close().await
    };
    write.await.map_err(|e| match store_failure(&e) {
        Some(_) => e.into(),
        None => Error::from(e).context(writing),
    })
}

/// The bytes of a compressed metadata file. Only the crate can compress, but it does not sync the file: so it writes to
/// memory here.
async fn gzipped(metadata: &TableMetadata) -> Result<Bytes> {
    let memory = FileIO::new_with_memory();
    let at = MetadataLocation::new_with_metadata("memory://t", metadata);
    metadata.write_to(&memory, &at).await?;
    Ok(memory.new_input(at.to_string())?.read().await?)
}
