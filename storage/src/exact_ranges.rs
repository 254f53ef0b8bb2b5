//! Ranges of objects, returned whole or not at all.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::failure::ENDS_EARLY;

/// A store that fails rather than return less of an object than was requested. S3 returns the existing part of a range
/// that extends beyond the object's end, and readers of Parquet panic when a file is that much shorter than its
/// manifest says.
#[derive(Debug)]
pub(crate) struct ExactRanges<S>(pub(crate) S);

impl<S: fmt::Display> fmt::Display for ExactRanges<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for ExactRanges<S> {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let asked = match &options.range {
            Some(GetRange::Bounded(range)) => Some(range.clone()),
            _ => None,
        };
        let answer = self.0.get_opts(location, options).await?;
        match asked {
            Some(range) if range != answer.range => {
                let source = format!("{location} {ENDS_EARLY} {range:?}, at byte {}", answer.meta.size);
                Err(Error::Generic { store: "S3", source: source.into() })
            }
            _ => Ok(answer),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let parts = self.0.get_ranges(location, ranges).await?;
        let is_short = |(range, part): (&Range<u64>, &Bytes)| range.end - range.start != part.len() as u64;
        match ranges.iter().zip(&parts).find(|pair| is_short(*pair)) {
            Some((range, _)) => {
                let source = format!("{location} {ENDS_EARLY} {range:?}");
                Err(Error::Generic { store: "S3", source: source.into() })
            }
            None => Ok(parts),
        }
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_range_comes_whole_or_not_at_all() {
        // Returns the existing part of a range, as S3 does.
        let store = ExactRanges(InMemory::new());
        let file = Path::from("t/data/a.parquet");
        store.put(&file, PutPayload::from_static(b"0123456789")).await.unwrap();
        assert_eq!(store.get_range(&file, 2..10).await.unwrap(), b"23456789"[..]);
        assert_eq!(store.get_ranges(&file, &[0..1, 8..10]).await.unwrap(), [b"0".as_slice(), b"89"]);
        for short in [
            store.get_range(&file, 2..11).await.unwrap_err(),
            store.get_ranges(&file, &[0..1, 8..12]).await.unwrap_err(),
        ] {
            assert!(short.to_string().contains(&format!("t/data/a.parquet {ENDS_EARLY}")), "{short}");
        }
        // Neither of these requests a fixed end.
        let last = GetOptions { range: Some(GetRange::Suffix(20)), ..GetOptions::default() };
        assert_eq!(store.get_opts(&file, last).await.unwrap().bytes().await.unwrap(), b"0123456789"[..]);
        assert_eq!(store.get(&file).await.unwrap().bytes().await.unwrap().len(), 10);
    }
}
