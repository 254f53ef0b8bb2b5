//! How credentials are read from a server's responses, and requested again.

use super::super::tests::server;
use super::*;
use crate::pointers::rest::RestAuth;

fn vended(json: &str) -> Option<VendedCredentials> {
    serde_json::from_str::<Vended>(json).unwrap().credentials(UNIX_EPOCH)
}

#[test]
fn credentials_are_read_as_the_protocol_says() {
    // Polaris returns both kinds; those with a prefix count.
    let credentials = vended(
        r#"{"config": {"s3.access-key-id": "a", "s3.secret-access-key": "hidden", "s3.session-token": "hidden",
                       "s3.session-token-expires-at-ms": "1700000000000", "client.region": "eu-west-1",
                       "s3.endpoint": "http://s3:9000", "s3.path-style-access": "TRUE", "other": "x"},
            "storage-credentials": [{"prefix": "s3://b/t", "config": {
                       "s3.access-key-id": "c", "s3.secret-access-key": "hidden", "client.region": "us-east-2"}}]}"#,
    )
    .unwrap();
    let [of_prefix, of_table] = credentials.by_prefix.try_into().unwrap();
    assert_eq!((of_prefix.prefix.as_str(), of_prefix.keys.id.as_str()), ("s3://b/t", "c"));
    assert_eq!(of_prefix.region.as_deref(), Some("us-east-2"));
    assert_eq!((of_prefix.expires_at, of_prefix.keys.session_token.is_some()), (None, false));
    assert_eq!(of_prefix.endpoint.as_deref(), Some("http://s3:9000"), "the endpoint is the table's");
    assert_eq!((of_table.prefix.as_str(), of_table.keys.id.as_str()), ("", "a"));
    assert_eq!(of_table.expires_at, Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    assert_eq!((of_table.region.as_deref(), of_table.path_style), (Some("eu-west-1"), Some(true)));
    assert!(!format!("{of_prefix:?}{of_table:?}").contains("hidden"));

    // Nothing is vended.
    assert!(vended("{}").is_none());
    assert!(vended(r#"{"config": {"s3.endpoint": "http://s3:9000"}, "storage-credentials": null}"#).is_none());
    assert!(
        vended(r#"{"storage-credentials": [{"prefix": "gs://b", "config": {"gcs.oauth2.token": "x"}}]}"#).is_none()
    );
}

const KEYS: &str = r#"{"s3.access-key-id": "a", "s3.secret-access-key": "hidden"}"#;

async fn vend(
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> (Result<VendedCredentials>, Vec<String>) {
    let (uri, log) = server(move |what, _, _| answer(what)).await;
    let config = RestConfig { uri, warehouse: None, auth: RestAuth::None, vended_credentials: true };
    let table = VendedTable::new(&["raw".to_string()], "events", uuid::Uuid::from_u128(7));
    let got = RestVendor::new(config).vend(&table).await.map_err(Error::from);
    let log = log.lock().unwrap().clone();
    (got, log)
}

const TABLE: &str = "GET /catalog/v1/namespaces/raw/tables/events";

fn loaded(uuid: u128, keys: &str) -> String {
    let metadata = serde_json::json!({
        "format-version": 2, "table-uuid": uuid::Uuid::from_u128(uuid), "location": "s3://raw/events",
        "last-sequence-number": 0, "last-updated-ms": 0, "last-column-id": 1, "current-schema-id": 0,
        "schemas": [{"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "a", "required": false, "type": "int"}]}],
        "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999,
        "default-sort-order-id": 0, "sort-orders": [{"order-id": 0, "fields": []}],
    });
    format!(r#"{{"metadata-location": "s3://raw/m.json", "metadata": {metadata}, "config": {keys}}}"#)
}

#[tokio::test]
async fn credentials_come_from_their_endpoint_or_else_with_the_table() {
    let has_it = |what: &str| match what {
        "GET /catalog/v1/config" => (200, "{}".to_string()),
        what if what == format!("{TABLE}/credentials") => {
            (200, format!(r#"{{"storage-credentials": [{{"prefix": "s3://raw/events", "config": {KEYS}}}]}}"#))
        }
        _ => (500, String::new()),
    };
    let (got, log) = vend(has_it).await;
    assert_eq!(got.unwrap().by_prefix[0].prefix, "s3://raw/events");
    assert_eq!(log.len(), 2, "{log:?}");

    let lacks_it = |what: &str| match what {
        "GET /catalog/v1/config" => (200, "{}".to_string()),
        TABLE => (200, loaded(7, KEYS)),
        _ => (404, "no such page".to_string()),
    };
    let (got, log) = vend(lacks_it).await;
    assert_eq!(got.unwrap().by_prefix[0].keys.id, "a");
    assert_eq!(log.len(), 3, "{log:?}");

    let says_so = |what: &str| match what {
        "GET /catalog/v1/config" => (200, r#"{"endpoints": ["GET /v1/{prefix}/namespaces"]}"#.to_string()),
        _ => (200, loaded(7, KEYS)),
    };
    let (got, log) = vend(says_so).await;
    assert_eq!((got.unwrap().by_prefix.len(), log.len()), (1, 2), "{log:?}");
}

#[tokio::test]
async fn missing_credentials_are_explained() {
    let check = async |status: u16, answer: String, kind: ErrorKind, expected: &str| {
        let (got, log) = vend(move |what| match what {
            "GET /catalog/v1/config" => (200, r#"{"endpoints": []}"#.to_string()),
            _ => (status, answer.clone()),
        })
        .await;
        let e = got.unwrap_err();
        assert!(
            e.kind() == kind && e.to_string().contains(expected) && !e.to_string().contains("hidden"),
            "{e} {log:?}"
        );
    };
    check(200, loaded(7, "{}"), ErrorKind::Storage, "vends no credentials for table raw.events").await;
    check(200, loaded(8, KEYS), ErrorKind::Conflict, "dropped and created again").await;
    let gone = r#"{"error": {"message": "gone", "type": "NoSuchTableException", "code": 404}}"#;
    check(404, gone.to_string(), ErrorKind::NotFound, "does not have this").await;
    check(403, String::new(), ErrorKind::Storage, "does not allow this").await;
}
