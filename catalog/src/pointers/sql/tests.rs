//! Both databases against the catalog's contract, and tests of each alone.

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::*;

#[tokio::test]
async fn sqlite_keeps_the_catalogs_contract() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqlCatalog::open(folder.path().join("new folder/catalog.db"), "bergmill").await.unwrap();
    crate::pointers::store::conformance(&catalog).await;
    over_files(catalog).await;
}

/// The contract of a warehouse, whose files are in a folder.
async fn over_files(catalog: SqlCatalog) {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("file://{}", folder.path().display());
    let warehouse = crate::Warehouse::new(Arc::new(catalog), bergmill_storage::Stores::local(), &location).unwrap();
    crate::warehouse_conformance(&warehouse).await;
}

#[tokio::test]
async fn catalogs_of_one_file_are_apart_and_reopening_finds_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    let (one, two) = (SqlCatalog::open(&file, "one").await.unwrap(), SqlCatalog::open(&file, "two").await.unwrap());
    let raw = NamespaceIdent::new("raw".to_string());
    one.create_namespace(&raw, &BTreeMap::new()).await.unwrap();
    assert!(!two.namespace_exists(&raw).await.unwrap());
    let again = SqlCatalog::open(&file, "one").await.unwrap();
    assert!(again.namespace_exists(&raw).await.unwrap());
}

#[tokio::test]
async fn a_file_of_the_older_layout_gains_the_type_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    for sql in [
        "CREATE TABLE iceberg_tables (catalog_name TEXT NOT NULL, table_namespace TEXT NOT NULL,
         table_name TEXT NOT NULL, metadata_location TEXT, previous_metadata_location TEXT,
         PRIMARY KEY (catalog_name, table_namespace, table_name))",
        "INSERT INTO iceberg_tables VALUES ('c', 'raw', 'old', 'v3', 'v2')",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let catalog = SqlCatalog::open(&file, "c").await.unwrap();
    let old = TableIdent::from_strs(["raw", "old"]).unwrap();
    assert_eq!(catalog.pointer(&old).await.unwrap().as_deref(), Some("v3"));
    assert!(catalog.swap(&old, "v3", "v4").await.unwrap());
    assert_eq!(catalog.tables(old.namespace()).await.unwrap(), vec![old]);
}

#[tokio::test]
async fn views_are_not_tables() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqlCatalog::open(folder.path().join("c.db"), "c").await.unwrap();
    let view = TableIdent::from_strs(["raw", "v"]).unwrap();
    catalog.create_namespace(view.namespace(), &BTreeMap::new()).await.unwrap();
    let insert = "INSERT INTO iceberg_tables VALUES ('c', 'raw', 'v', 'x', NULL, 'VIEW')";
    catalog.database.execute(insert, &[]).await.unwrap();
    assert_eq!(catalog.tables(view.namespace()).await.unwrap(), vec![]);
    assert_eq!(catalog.pointer(&view).await.unwrap(), None);
    assert_eq!(catalog.insert(&view, "y").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(catalog.drop_namespace(view.namespace()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    std::fs::write(&file, "not a database, but long enough to be read as one".repeat(100)).unwrap();
    let e = SqlCatalog::open(&file, "c").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.to_string().contains("catalog.db is not a SQLite file"), "{e}");
}

/// The Postgres database that `tests/services/run` provides.
pub(super) fn address() -> Secret {
    Secret::new(
        std::env::var("BERGMILL_TEST_POSTGRES").expect("BERGMILL_TEST_POSTGRES is a Postgres database's address"),
    )
}

/// A catalog of that database that no other test uses.
async fn postgres() -> SqlCatalog {
    SqlCatalog::postgres(&address(), &uuid::Uuid::new_v4().to_string()).await.unwrap()
}

#[tokio::test]
#[ignore = "needs Postgres: tests/services/run"]
async fn postgres_keeps_the_catalogs_contract() {
    crate::pointers::store::conformance(&postgres().await).await;
    over_files(postgres().await).await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/services/run"]
async fn postgres_errors_do_not_show_the_password() {
    let check = async |change: &dyn Fn(&mut url::Url), expected: &str| {
        let mut url: url::Url = address().expose().parse().unwrap();
        change(&mut url);
        let e = SqlCatalog::postgres(&Secret::new(url.as_str()), "c").await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Storage);
        let text = format!("{e} {e:?}");
        assert!(text.contains(expected) && !text.contains(url.password().unwrap_or_default()), "{text}");
    };
    check(&|url| url.set_password(Some("hidden-password")).unwrap(), "the user or the password is wrong").await;
    check(&|url| url.set_path("nowhere"), "there is no database nowhere").await;
    check(&|url| url.set_port(Some(1)).unwrap(), "cannot be reached").await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/services/run"]
async fn many_processes_may_open_a_new_database_at_once() {
    let schema = format!("t{}", uuid::Uuid::new_v4().simple());
    let mut url: url::Url = address().expose().parse().unwrap();
    let options: sqlx::postgres::PgConnectOptions = url.as_str().parse().unwrap();
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    sqlx::query(&format!("CREATE SCHEMA {schema}")).execute(&pool).await.unwrap();
    url.query_pairs_mut().append_pair("options", &format!("-c search_path={schema}"));
    let address = Secret::new(url.as_str());
    let opened = futures::future::join_all((0..6).map(|_| SqlCatalog::postgres(&address, "c"))).await;
    let failed: Vec<_> = opened.into_iter().filter_map(Result::err).collect();
    sqlx::query(&format!("DROP SCHEMA {schema} CASCADE")).execute(&pool).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
#[ignore = "needs Postgres: tests/services/run"]
async fn a_connection_lost_after_sending_leaves_the_outcome_unknown() {
    let direct = postgres().await;
    let table = TableIdent::from_strs(["raw", "events"]).unwrap();
    direct.create_namespace(table.namespace(), &BTreeMap::new()).await.unwrap();
    direct.insert(&table, "v0").await.unwrap();

    let line = Line::to(&address()).await;
    let catalog = SqlCatalog::postgres(&line.address, direct.name()).await.unwrap();
    assert!(catalog.swap(&table, "v0", "v1").await.unwrap());
    line.cut.store(true, std::sync::atomic::Ordering::SeqCst);
    let e = catalog.swap(&table, "v1", "v2").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unknown, "{e}");
    line.cut.store(false, std::sync::atomic::Ordering::SeqCst);
    // The server has executed it, as a new connection shows.
    assert_eq!(catalog.pointer(&table).await.unwrap().as_deref(), Some("v2"));
}

/// A line to Postgres that can be cut: what the client sends still arrives, but no answer comes back.
struct Line {
    address: Secret,
    cut: Arc<std::sync::atomic::AtomicBool>,
}

impl Line {
    async fn to(address: &Secret) -> Self {
        use std::sync::atomic::{AtomicBool, Ordering};
        use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
        let mut url: url::Url = address.expose().parse().unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) =
                    tokio::net::TcpStream::connect(&server).await.unwrap().into_split();
                tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
                let is_cut = Arc::clone(&is_cut);
                tokio::spawn(async move {
                    let mut answer = vec![0; 16 * 1024];
                    while let Ok(n) = from_server.read(&mut answer).await {
                        // The answer to a ping must pass, or no statement starts; only that to a statement has a tag.
                        let is_result = answer[..n].windows(6).any(|w| w == b"UPDATE");
                        if n == 0 || (is_result && is_cut.load(Ordering::SeqCst)) {
                            break;
                        }
                        if to_client.write_all(&answer[..n]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address: Secret::new(url.as_str()), cut }
    }
}
