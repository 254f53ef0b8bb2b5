//! Credentials that a REST server vends: their form, and how new ones are requested.
//!
//! They come with a table that is loaded or created with the header `X-Iceberg-Access-Delegation`; new ones come from
//! their own endpoint (`loadCredentials`), or with the table loaded again where a server lacks it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bergmill_storage::{CredentialVendor, PrefixCredentials, S3Keys, Secret, VendedCredentials, VendedTable};
use iceberg::spec::TableMetadata;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::client::{Client, RestConfig};
use super::{Answer, SEPARATOR};
use crate::error::{Error, ErrorKind, Result};

const LOAD_CREDENTIALS: &str = "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials";

/// The part of `LoadTableResult` and of `LoadCredentialsResponse` that is about credentials.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Vended {
    #[serde(default)]
    config: Option<Properties>,
    #[serde(default)]
    storage_credentials: Option<Vec<StorageCredential>>,
}

/// Any of them may be a secret.
type Properties = HashMap<String, Secret>;

#[derive(Debug, Deserialize)]
struct StorageCredential {
    prefix: String,
    config: Properties,
}

impl Vended {
    /// The S3 credentials, vended at `asked_at` or later; `None` if there are none. Keys for a prefix take precedence
    /// over the table's; properties that they lack are the table's.
    pub(super) fn credentials(self, asked_at: SystemTime) -> Option<VendedCredentials> {
        let of_table = self.config.unwrap_or_default();
        let with_prefix = self.storage_credentials.unwrap_or_default().into_iter();
        let mut by_prefix: Vec<PrefixCredentials> =
            with_prefix.filter_map(|one| prefix_credentials(one.prefix, &one.config, &of_table)).collect();
        by_prefix.extend(prefix_credentials(String::new(), &of_table, &of_table));
        (!by_prefix.is_empty()).then_some(VendedCredentials { by_prefix, asked_at })
    }
}

fn prefix_credentials(prefix: String, own: &Properties, of_table: &Properties) -> Option<PrefixCredentials> {
    let given = |key: &str| own.get(key).filter(|value| !value.expose().is_empty());
    let keys = S3Keys {
        id: given("s3.access-key-id")?.expose().to_string(),
        secret: given("s3.secret-access-key")?.clone(),
        session_token: given("s3.session-token").cloned(),
    };
    let millis = given("s3.session-token-expires-at-ms").and_then(|ms| ms.expose().parse().ok());
    let setting = |key: &str| given(key).or_else(|| of_table.get(key)).map(|value| value.expose().to_string());
    Some(PrefixCredentials {
        prefix,
        keys,
        expires_at: millis.map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
        endpoint: setting("s3.endpoint"),
        // Java's name, and PyIceberg's.
        region: setting("client.region").or_else(|| setting("s3.region")),
        path_style: setting("s3.path-style-access").and_then(|text| text.to_lowercase().parse().ok()),
    })
}

/// A REST server that is used only to request credentials.
#[derive(Debug)]
pub(crate) struct RestVendor {
    config: Option<RestConfig>,
    client: OnceCell<Arc<Client>>,
}

impl RestVendor {
    /// A vendor that connects at its first request.
    pub(crate) fn new(config: RestConfig) -> Self {
        Self { config: Some(config), client: OnceCell::new() }
    }

    pub(super) fn of(client: Arc<Client>) -> Self {
        Self { config: None, client: OnceCell::new_with(Some(client)) }
    }

    async fn client(&self) -> Result<&Arc<Client>> {
        let open = || async {
            match &self.config {
                Some(config) => Ok(Arc::new(Client::open(config.clone()).await?)),
                None => Err(Error::new(ErrorKind::Internal, "a REST catalog without an address")),
            }
        };
        self.client.get_or_try_init(open).await
    }
}

#[derive(Deserialize)]
struct Loaded {
    metadata: TableMetadata,
    #[serde(flatten)]
    vended: Vended,
}

impl RestVendor {
    async fn load_credentials(&self, table: &VendedTable) -> Result<VendedCredentials> {
        let client = self.client().await?;
        let (namespace, asked_at) = (table.namespace.join(SEPARATOR), SystemTime::now());
        let path = ["namespaces", &namespace, "tables", &table.name];
        if !client.lacks(LOAD_CREDENTIALS) {
            let asked: Answer<Vended> = client.get_vended(&[&path[..], &["credentials"]].concat()).await;
            match asked {
                Ok(vended) => {
                    if let Some(credentials) = vended.credentials(asked_at) {
                        return Ok(credentials);
                    }
                }
                // A server without that endpoint.
                Err(e) if matches!(e.status, Some(400 | 404 | 405 | 406 | 501)) && !e.is("NoSuchTableException") => {}
                Err(e) => return Err(e.into()),
            }
        }
        let loaded: Loaded = client.get_vended(&path).await?;
        if loaded.metadata.uuid() != table.uuid {
            let name = table.full_name();
            let what = format!("table {name} was dropped and created again, or another table has taken its name");
            return Err(Error::new(ErrorKind::Conflict, what));
        }
        loaded.vended.credentials(asked_at).ok_or_else(|| {
            let what = format!("catalog {} vends no credentials for table {}", client.name(), table.full_name());
            Error::new(ErrorKind::Storage, what)
        })
    }
}

#[async_trait]
impl CredentialVendor for RestVendor {
    async fn vend(&self, table: &VendedTable) -> bergmill_storage::Result<VendedCredentials> {
        Ok(self.load_credentials(table).await?)
    }
}

#[cfg(test)]
#[path = "vending_tests.rs"]
mod tests;
