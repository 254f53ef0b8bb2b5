//! Commits whose outcome the catalog does not report.

use async_trait::async_trait;

use super::*;

/// A catalog that performs a swap, or does not, and then fails to answer.
#[derive(Debug)]
struct Troubled {
    inner: SqlCatalog,
    folder: std::path::PathBuf,
    trouble: Trouble,
    /// Number of further swaps that fail.
    failures: AtomicU32,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    DoneButNoAnswer,
    NotDoneAndNoAnswer,
    Refused,
    /// Done, then another writer commits on top, then no answer.
    DoneAndOvertaken,
    /// Not done, another writer commits, no answer.
    NotDoneAndOvertaken,
}

#[async_trait]
impl Catalog for Troubled {
    async fn namespaces(&self) -> Result<Vec<NamespaceIdent>> {
        self.inner.namespaces().await
    }
    async fn namespace_exists(&self, namespace: &NamespaceIdent) -> Result<bool> {
        self.inner.namespace_exists(namespace).await
    }
    async fn create_namespace(&self, namespace: &NamespaceIdent, properties: &BTreeMap<String, String>) -> Result<()> {
        self.inner.create_namespace(namespace, properties).await
    }
    async fn namespace_properties(&self, namespace: &NamespaceIdent) -> Result<BTreeMap<String, String>> {
        self.inner.namespace_properties(namespace).await
    }
    async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<()> {
        self.inner.drop_namespace(namespace).await
    }
    async fn tables(&self, namespace: &NamespaceIdent) -> Result<Vec<TableIdent>> {
        self.inner.tables(namespace).await
    }
    async fn pointer(&self, table: &TableIdent) -> Result<Option<String>> {
        self.inner.pointer(table).await
    }
    async fn insert(&self, table: &TableIdent, metadata_location: &str) -> Result<()> {
        self.inner.insert(table, metadata_location).await
    }
    async fn swap(&self, table: &TableIdent, expected: &str, new: &str) -> Result<bool> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return self.inner.swap(table, expected, new).await;
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        if matches!(self.trouble, Trouble::DoneButNoAnswer | Trouble::DoneAndOvertaken) {
            assert!(self.inner.swap(table, expected, new).await?);
        }
        if matches!(self.trouble, Trouble::DoneAndOvertaken | Trouble::NotDoneAndOvertaken) {
            let other = warehouse_with(Arc::new(self.inner.clone()), &self.folder);
            let base = other.load(table).await?;
            let file = event_file("other", DAY + 7, "view", 1);
            other.commit(commit_to(base.metadata(), Operation::Append, vec![file])).await?;
        }
        let kind = match self.trouble {
            Trouble::Refused => ErrorKind::Storage,
            _ => ErrorKind::Unknown,
        };
        Err(Error::new(kind, "the line went dead"))
    }
    async fn remove(&self, table: &TableIdent) -> Result<()> {
        self.inner.remove(table).await
    }
    async fn rename(&self, from: &TableIdent, to: &TableIdent) -> Result<()> {
        self.inner.rename(from, to).await
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_looked_up() {
    let check = async |trouble: Trouble,
                       failures: u32,
                       expected: std::result::Result<u32, ErrorKind>,
                       files: &[&str]| {
        let shop = Shop::open().await;
        shop.commit(Operation::Append, vec![event_file("old", DAY, "view", 1)]).await;
        let inner = SqlCatalog::open(shop.folder.path().join("catalog.db"), "test").await.unwrap();
        let troubled =
            Arc::new(Troubled { inner, folder: shop.folder.path().to_path_buf(), trouble, failures: failures.into() });
        let warehouse = warehouse_with(troubled, shop.folder.path());
        let commit = shop.prepared(day_is(DAY), vec![event_file("new", DAY, "view", 1)]).await;
        let outcome = warehouse.commit(commit.clone()).await;
        let reported = outcome.as_ref().map(|c| c.retries).map_err(Error::kind);
        assert_eq!(reported, expected, "{trouble:?} {outcome:?}");
        assert_eq!(shop.files().await, files, "{trouble:?}");
        match outcome {
            Err(e) if e.kind() == ErrorKind::Unknown => {
                let text = e.to_string();
                assert!(
                    text.contains("unknown whether the commit happened") && text.contains(commit.key.as_str()),
                    "{text}"
                );
            }
            _ => shop.assert_no_orphan_files().await,
        }
        // Whatever was reported, retrying the same commit leaves it committed exactly once.
        let again = shop.warehouse.commit(commit).await.unwrap();
        assert_eq!(again.already, reported.is_ok(), "{trouble:?}");
    };
    check(Trouble::DoneButNoAnswer, 1, Ok(0), &["new"]).await;
    check(Trouble::NotDoneAndNoAnswer, 1, Ok(0), &["new"]).await;
    check(Trouble::NotDoneAndNoAnswer, 99, Err(ErrorKind::Unknown), &["old"]).await;
    check(Trouble::Refused, 1, Err(ErrorKind::Storage), &["old"]).await;
    check(Trouble::DoneAndOvertaken, 1, Ok(0), &["new", "other"]).await;
    check(Trouble::NotDoneAndOvertaken, 1, Ok(1), &["new", "other"]).await;
}
