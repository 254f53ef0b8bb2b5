//! Storage on a real S3 server, which `tests/services/run` provides.

use std::collections::BTreeSet;
use std::sync::Arc;

use bergmill_storage::{Location, S3Config, S3Keys, Secret, StorageConfig, Stores};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::error::{Error, ErrorKind};
use crate::table::metadata_files::file_io;

/// A bucket, such as `s3://tables`.
fn bucket() -> String {
    std::env::var("BERGMILL_TEST_S3").expect("BERGMILL_TEST_S3 is the location of a bucket that tests may write in")
}

/// Configuration of that server.
pub(crate) fn config() -> StorageConfig {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} says how to reach {}", bucket()));
    let secret = Secret::new(variable("AWS_SECRET_ACCESS_KEY"));
    let keys = S3Keys { id: variable("AWS_ACCESS_KEY_ID"), secret, session_token: None };
    let endpoint = Some(variable("AWS_ENDPOINT_URL"));
    StorageConfig { s3: S3Config { endpoint, keys: Some(keys), retries: 2, ..S3Config::default() } }
}

#[tokio::test]
#[ignore = "needs an S3 server: tests/services/run"]
async fn an_s3_server_keeps_metadata_files() {
    let io = file_io(Stores::new(config()));
    let folder = format!("{}/{}", bucket(), uuid::Uuid::new_v4());
    // Names that missing or double encoding would damage.
    let names = ["plain.json", "a b+c%20d=é,&?#.json", "deep/folder=도서/x.avro"];
    for name in names {
        let at = format!("{folder}/{name}");
        assert!(!io.exists(&at).await.unwrap());
        io.new_output(&at).unwrap().write(Bytes::from(at.clone())).await.unwrap();
        assert_eq!(io.new_input(&at).unwrap().read().await.unwrap(), at);
        assert_eq!(io.new_input(&at).unwrap().metadata().await.unwrap().size, at.len() as u64);
    }
    let at = Location::parse(&folder).unwrap();
    let store = Stores::new(config()).get(at.store_url()).unwrap();
    let prefix = at.path().unwrap();
    let listed: BTreeSet<String> =
        store.list(Some(&prefix)).map_ok(|o| o.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, names.iter().map(|name| format!("{prefix}/{name}")).collect());
    // Deleting a missing entry is not an error.
    io.delete(format!("{folder}/none")).await.unwrap();
    io.delete_prefix(&folder).await.unwrap();
    assert_eq!(store.list(Some(&prefix)).try_collect::<Vec<_>>().await.unwrap(), vec![]);
}

#[tokio::test]
#[ignore = "needs an S3 server: tests/services/run"]
async fn an_s3_server_takes_large_files_in_parts() {
    let io = file_io(Stores::new(config()));
    let at = format!("{}/{}/large", bucket(), uuid::Uuid::new_v4());
    let part: Bytes =
        (0..1u32 << 20).flat_map(|n| n.wrapping_mul(0x9E37_79B9).to_le_bytes()).collect::<Vec<u8>>().into();
    let mut writer = io.new_output(&at).unwrap().writer().await.unwrap();
    for _ in 0..6 {
        writer.write(part.clone()).await.unwrap();
    }
    assert!(!io.exists(&at).await.unwrap(), "the object does not exist before close");
    writer.close().await.unwrap();
    let reader = io.new_input(&at).unwrap().reader().await.unwrap();
    let size = part.len() as u64;
    let middle = reader.read(size * 3 - 5..size * 3 + 5).await.unwrap();
    assert_eq!([&part[part.len() - 5..], &part[..5]].concat(), middle);
    io.delete(&at).await.unwrap();
}

#[tokio::test]
#[ignore = "needs an S3 server: tests/services/run"]
async fn an_unusable_s3_server_is_reported_clearly() {
    let get = async |config: StorageConfig, location: String| {
        let at = Location::parse(&location).unwrap();
        let store: Arc<dyn ObjectStore> = Stores::new(config).get(at.store_url()).unwrap();
        Error::from(store.put(&at.path().unwrap(), "x".into()).await.unwrap_err())
    };
    let e = get(config(), "s3://there-is-no-such-bucket/x".to_string()).await;
    assert_eq!(e.kind(), ErrorKind::Storage);
    assert!(e.to_string().contains("the bucket does not exist"), "{e}");

    let mut refused = config();
    refused.s3.endpoint = Some("http://127.0.0.1:1".to_string());
    let e = get(refused, format!("{}/x", bucket())).await;
    assert!(e.to_string().contains("refused"), "{e}");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut waiting = config();
    waiting.s3.endpoint = Some(format!("http://{}", silent.local_addr().unwrap()));
    waiting.s3.request_timeout = std::time::Duration::from_millis(300);
    let began = std::time::Instant::now();
    let e = get(waiting, format!("{}/x", bucket())).await;
    assert!(e.to_string().contains("timed out"), "{e}");
    assert!(began.elapsed().as_secs() < 20);
}
