//! A data file as object stores and Parquet readers know it.

use bergmill_storage::Location;
use object_store::ObjectMeta;

use crate::error::Result;
use crate::table::live_file::LiveFile;

/// Footers of our own files are a few KiB a row group; one read of this size gets them without a second request.
pub(super) const FOOTER_HINT_BYTES: usize = 256 * 1024;

/// A file as object stores know it.
pub(super) fn object_meta(file: &LiveFile) -> Result<ObjectMeta> {
    Ok(ObjectMeta {
        location: Location::parse(file.data_file.file_path())?.path()?,
        // Data files never change, so any fixed time is a sound version for the footer cache.
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: file.data_file.file_size_in_bytes(),
        e_tag: None,
        version: None,
    })
}
