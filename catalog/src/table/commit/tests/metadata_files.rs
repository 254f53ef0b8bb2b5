//! Locations of the files of commits, and which of them are deleted.

use std::path::PathBuf;

use super::*;

impl Shop {
    async fn set(&self, properties: &[(&str, &str)]) {
        let set = |_: &TableMetadata, builder: TableMetadataBuilder| {
            let properties = properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Ok(Some(builder.set_properties(properties)?))
        };
        self.warehouse.alter(&events(), set).await.unwrap();
    }

    fn folder(&self, at: &str) -> PathBuf {
        self.folder.path().join(at)
    }
}

/// Number of files in the folder with names that end in `end`.
fn count(folder: &Path, end: &str) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name());
    files.filter(|name| name.to_string_lossy().ends_with(end)).count()
}

#[tokio::test]
async fn expired_metadata_files_are_deleted_by_each_kind_of_commit() {
    let shop = Shop::open().await;
    let metadata = shop.folder("wh/raw/events/metadata");
    shop.set(&[("write.metadata.previous-versions-max", "2")]).await;
    for n in 0..3 {
        shop.set(&[("n", &n.to_string())]).await;
    }
    // The log is short, but deleting files is not enabled.
    assert_eq!(count(&metadata, ".metadata.json"), 5);

    shop.set(&[("write.metadata.delete-after-commit.enabled", "true")]).await;
    for n in 0..10 {
        shop.set(&[("n", &n.to_string())]).await;
    }
    // Besides the current file and the two before it: those that had expired before deletion was enabled.
    let kept = 2;
    assert_eq!(count(&metadata, ".metadata.json"), kept + 3, "after alterations");
    for n in 0..4 {
        shop.commit(Operation::Append, vec![event_file(&n.to_string(), DAY, "view", 1)]).await;
    }
    assert_eq!(count(&metadata, ".metadata.json"), kept + 3, "after commits");
    let properties =
        [("write.metadata.previous-versions-max", "2"), ("write.metadata.delete-after-commit.enabled", "true")];
    let new = || {
        let properties = properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        NewTable { properties, ..events_table() }
    };
    for n in 0..3 {
        shop.warehouse.replace(&events(), &new()).await.unwrap();
        let draft = shop.warehouse.replaced(&events(), &new()).await.unwrap().unwrap();
        let commit = commit_to(draft.metadata(), Operation::Append, vec![event_file(&format!("r{n}"), DAY, "view", 1)]);
        shop.warehouse.land(Destination::Replacement { draft, definition: Box::new(new()) }, commit).await.unwrap();
    }
    assert_eq!(count(&metadata, ".metadata.json"), kept + 3, "after replacements");
    assert_eq!(shop.files().await, ["r2"]);
}

#[tokio::test]
async fn metadata_has_a_folder_of_its_own_when_the_table_says_so() {
    for (codec, end) in [("none", ".metadata.json"), ("gzip", ".gz.metadata.json")] {
        let shop = Shop::open().await;
        let apart = shop.folder("meta/events");
        // As PyIceberg writes it, with or without a trailing slash.
        let path = format!("file://{}/", apart.display());
        shop.set(&[("write.metadata.path", &path), ("write.metadata.compression-codec", codec)]).await;
        shop.commit(Operation::Append, vec![event_file("a", DAY, "view", 3)]).await;
        shop.commit(day_is(DAY), vec![event_file("b", DAY, "view", 3)]).await;
        assert_eq!(shop.files().await, ["b"]);
        assert_eq!(count(&shop.folder("wh/raw/events/metadata"), ""), 1, "only the table's first file");
        assert_eq!(count(&apart, end), 3);
        let table = shop.warehouse.load(&events()).await.unwrap();
        for snapshot in table.metadata().snapshots() {
            assert!(snapshot.manifest_list().starts_with(&path), "{}", snapshot.manifest_list());
            for manifest in crate::table::files::manifest_list(&table, snapshot).await.unwrap() {
                assert!(manifest.manifest_path.starts_with(&path), "{}", manifest.manifest_path);
            }
        }
        // Another process reads it.
        let again = warehouse_in(shop.folder.path()).await;
        assert_eq!(again.load(&events()).await.unwrap().metadata(), table.metadata());

        // A table that is created with the property has no files elsewhere.
        let name = TableIdent::from_strs(["raw", "copy"]).unwrap();
        let new = NewTable { properties: [("write.metadata.path".to_string(), path.clone())].into(), ..events_table() };
        shop.warehouse.create(&name, new).await.unwrap();
        assert!(!shop.folder("wh/raw/copy").exists());
    }
}
