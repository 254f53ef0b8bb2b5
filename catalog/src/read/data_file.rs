//! Object-store metadata of data files.

use bergmill_storage::Location;
use object_store::ObjectMeta;

use crate::error::Result;
use crate::table::live_file::LiveFile;

/// Footers of our own files take a few KiB per row group; one read of this size gets them without a second request.
pub(super) const FOOTER_HINT_BYTES: usize = 256 * 1024;

/// The object-store metadata of a data file.
pub(super) fn object_meta(file: &LiveFile) -> Result<ObjectMeta> {
    Ok(ObjectMeta {
        location: Location::parse(file.data_file.file_path())?.path()?,
        // Data files never change, so any fixed time is a valid version for the footer cache.
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: file.data_file.file_size_in_bytes(),
        e_tag: None,
        version: None,
    })
}
