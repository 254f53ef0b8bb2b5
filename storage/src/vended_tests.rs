//! When credentials are requested, and which of them count.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use futures::future::join_all;
use object_store::ObjectStoreExt;

use super::*;
use crate::{Secret, StorageConfig, Stores};

fn table(name: &str) -> VendedTable {
    let mut parts: Vec<String> = name.split('.').map(ToString::to_string).collect();
    let name = parts.pop().unwrap();
    VendedTable::new(&parts, &name, Uuid::from_u128(7))
}

fn vended(prefix: &str, expires_at: Option<SystemTime>) -> PrefixCredentials {
    let keys = S3Keys {
        id: format!("id of {prefix}"),
        secret: Secret::new("hidden-secret"),
        session_token: Some(Secret::new("hidden-token")),
    };
    PrefixCredentials { prefix: prefix.to_string(), keys, expires_at, endpoint: None, region: None, path_style: None }
}

/// Vends credentials with these lives, one after the other, and then refuses. Lets other callers go first.
#[derive(Debug)]
struct TestVendor {
    lives: Mutex<VecDeque<Duration>>,
    asked: AtomicUsize,
    time: Arc<Mutex<SystemTime>>,
}

impl TestVendor {
    fn new(milliseconds: &[u64]) -> Self {
        let lives = Mutex::new(milliseconds.iter().map(|ms| Duration::from_millis(*ms)).collect());
        Self { lives, asked: AtomicUsize::new(0), time: Arc::new(Mutex::new(SystemTime::now())) }
    }

    fn wait(&self, milliseconds: u64) {
        *self.time.lock().unwrap() += Duration::from_millis(milliseconds);
    }
}

#[async_trait]
impl CredentialVendor for TestVendor {
    async fn vend(&self, table: &VendedTable) -> Result<VendedCredentials> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let life = self.lives.lock().unwrap().pop_front();
        let Some(life) = life else { return Err(Error::new(ErrorKind::Unavailable, "the catalog is closed")) };
        let asked_at = *self.time.lock().unwrap();
        let one = vended(&format!("s3://raw/{}", table.name), Some(asked_at + life));
        Ok(VendedCredentials { by_prefix: vec![one], asked_at })
    }
}

fn credentials(lives: &[u64]) -> (Arc<TableCredentials>, Arc<TestVendor>) {
    let vendor = Arc::new(TestVendor::new(lives));
    let mut credentials = TableCredentials::new(table("raw.events"), Arc::clone(&vendor) as _);
    credentials.clock.set = Some(Arc::clone(&vendor.time));
    (Arc::new(credentials), vendor)
}

/// Waits for a request in the background to end.
async fn requested(credentials: &TableCredentials) {
    drop(credentials.requesting.lock().await);
}

#[test]
fn a_table_is_the_user_of_an_address() {
    for name in ["raw.events", "a.b.c", "raw.o'brien ~@:/?#[]%2F+표"] {
        let table = table(name);
        let url = url::Url::parse(&format!("s3://{table}@bucket/")).unwrap();
        assert_eq!(url.username(), table.to_string(), "a URL leaves it unchanged");
        assert_eq!((url.host_str(), url.password()), (Some("bucket"), None));
        assert_eq!(VendedTable::parse(url.username()), Some(table));
    }
    for other in ["", "me", "raw~events", "raw~events~me", "7~00000000-0000-0000-0000-000000000007x"] {
        assert_eq!(VendedTable::parse(other), None, "{other}");
    }
}

#[test]
fn the_longest_prefix_counts() {
    let of = VendedCredentials {
        by_prefix: ["", "s3://raw/t", "s3a://raw/t/metadata", "s3://other"].map(|p| vended(p, None)).into(),
        asked_at: SystemTime::now(),
    };
    let check = |location: &str, expected: &str| {
        assert_eq!(of.for_location(location).map(|one| one.prefix.as_str()), Some(expected), "{location}");
    };
    check("s3://raw/t/data/x.parquet", "s3://raw/t");
    check("s3://raw/t/metadata/v1.json", "s3a://raw/t/metadata");
    check("s3://else/x", "");
    let none = VendedCredentials { by_prefix: vec![vended("s3://raw/t", None)], ..of };
    assert!(none.for_location("s3://raw/s/x").is_none());
}

#[test]
fn credentials_are_renewed_before_they_expire() {
    let asked_at = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let check = |lives: &[Option<u64>], expected: u64| {
        let by_prefix = lives.iter().map(|life| vended("", life.map(|s| asked_at + Duration::from_secs(s)))).collect();
        let credentials = VendedCredentials { by_prefix, asked_at };
        assert_eq!(credentials.renew_at(), asked_at + Duration::from_secs(expected), "{lives:?}");
    };
    check(&[Some(3600)], 3300);
    check(&[Some(900)], 600);
    check(&[Some(10)], 5);
    check(&[Some(3600), None, Some(1800)], 1500);
    check(&[None], 600);
}

#[tokio::test]
async fn several_requests_at_once_ask_once() {
    let (credentials, vendor) = credentials(&[60_000]);
    for got in join_all((0..20).map(|_| credentials.get())).await {
        assert_eq!(got.unwrap().by_prefix[0].keys.id, "id of s3://raw/events");
    }
    assert_eq!(vendor.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_caller_waits_for_a_renewal_ahead_of_expiry() {
    let (credentials, vendor) = credentials(&[1_000, 60_000]);
    let first = credentials.get().await.unwrap();
    vendor.wait(600);
    // Due, but still valid.
    for got in join_all((0..20).map(|_| credentials.get())).await {
        assert!(Arc::ptr_eq(&first, &got.unwrap()));
    }
    requested(&credentials).await;
    assert_eq!(vendor.asked.load(Ordering::SeqCst), 2, "one of the twenty asked");
    let renewed = credentials.get().await.unwrap();
    assert!(
        !Arc::ptr_eq(&first, &renewed) && !first.have_expired(credentials.clock.now()),
        "renewed before they expired"
    );
}

#[tokio::test]
async fn a_catalog_that_does_not_answer_is_not_needed_before_expiry() {
    let (credentials, vendor) = credentials(&[1_000]);
    credentials.get().await.unwrap();
    vendor.wait(600);
    credentials.get().await.unwrap();
    requested(&credentials).await;
    vendor.wait(100);
    credentials.get().await.unwrap();
    requested(&credentials).await;
    assert_eq!(vendor.asked.load(Ordering::SeqCst), 2, "not at each request");
    vendor.wait(400);
    let e = credentials.get().await.unwrap_err();
    let expected = "requesting credentials for the files of table raw.events: the catalog is closed";
    assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Unavailable, expected));
}

#[tokio::test]
async fn credentials_that_have_expired_are_not_used() {
    let (credentials, _) = credentials(&[0]);
    let e = credentials.get().await.unwrap_err();
    assert!(e.to_string().contains("have expired already; compare the clocks"), "{e}");
}

#[tokio::test]
async fn a_process_without_a_catalog_says_what_to_do() {
    let stores = Stores::new(StorageConfig::default());
    let store = stores.get(&format!("s3://{}@raw", table("raw.events"))).unwrap();
    let e = store.head(&"x".into()).await.unwrap_err();
    // An executor's failure as it reaches the client.
    let remedy = crate::remedy(&format!("Task failed: ObjectStore({e:?})")).unwrap();
    assert!(remedy.contains("the --catalog (BERGMILL_CATALOG)"), "{remedy}");
    let e = Error::from(e).to_string();
    let expected = "requesting credentials for the files of table raw.events: no REST catalog is configured";
    assert!(e.starts_with(expected), "{e}");
    assert_eq!(stores.get("s3://me@raw").unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_table_has_stores_of_its_own_which_show_no_secret() {
    let stores = Stores::new(StorageConfig::default());
    stores.set_vendor(Arc::new(TestVendor::new(&[60_000, 60_000])));
    let (events, other) = (table("raw.events"), table("raw.other"));
    assert!(stores.known_table(&events).is_none());
    let mut own = vended("s3://raw/events", Some(SystemTime::now() + Duration::from_secs(60)));
    own.endpoint = Some("http://127.0.0.1:1".to_string());
    stores.put_vended(&events, VendedCredentials { by_prefix: vec![own], asked_at: SystemTime::now() });
    let mine = stores.get(&format!("s3://{events}@raw")).unwrap();
    let e = Error::from(mine.head(&"elsewhere/x".into()).await.unwrap_err());
    assert_eq!(
        e.to_string(),
        "the catalog vends credentials for files of table raw.events, but none for s3://raw/elsewhere/x"
    );
    let theirs = stores.get(&format!("s3://{other}@raw")).unwrap();
    let e = Error::from(theirs.head(&"events/x".into()).await.unwrap_err());
    assert!(e.to_string().contains("table raw.other, but none for"), "{e}");
    let e = Error::from(mine.head(&"events/x".into()).await.unwrap_err());
    assert!(e.to_string().contains("refused"), "the endpoint is the vended one: {e}");
    let known = stores.known_table(&events).unwrap();
    for shown in [format!("{stores:#?}"), format!("{mine:?}"), mine.to_string(), format!("{known:#?}"), e.to_string()] {
        assert!(!shown.contains("hidden"), "{shown}");
    }
    // Another table of that name.
    assert!(stores.known_table(&VendedTable { uuid: Uuid::from_u128(8), ..events }).is_none());
}

#[tokio::test]
async fn unused_tables_are_forgotten() {
    let stores = Stores::new(StorageConfig::default());
    stores.set_vendor(Arc::new(TestVendor::new(&[])));
    let name = |n: usize| table(&format!("raw.t{n}"));
    let used = stores.get(&format!("s3://{}@raw", name(0))).unwrap();
    for n in 1..200 {
        stores.get(&format!("s3://{}@raw", name(n))).unwrap();
    }
    assert!(stores.known_table(&name(0)).is_some() && stores.known_table(&name(199)).is_some());
    assert!(stores.known_table(&name(1)).is_none());
    drop(used);
}
