//! How storage is reached: endpoints, credentials, time-outs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use serde::Deserialize;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::exact_ranges::ExactRanges;

/// Text that is never shown: not by `Debug`, not in an error, not in a plan.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for code that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// How to reach storage that is not a disk of this machine. Every process of a cluster has its own, from its
/// settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageConfig {
    /// For locations that begin with `s3://` or `s3a://`.
    pub s3: S3Config,
}

/// How to reach the buckets of one S3 service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// `http://host:port` or `https://host`, for MinIO and others; `None` is Amazon's own.
    pub endpoint: Option<String>,
    /// The region that requests are signed for; `None` is `us-east-1`, which MinIO takes as well.
    pub region: Option<String>,
    /// Whether the bucket is the first part of the path, or else of the host's name; `None` is the path for an endpoint
    /// and the host's name for Amazon.
    pub path_style: Option<bool>,
    /// `None` takes credentials from the host, as Amazon's own tools do: web identity, container, instance. Profiles in
    /// `~/.aws` are not read.
    pub keys: Option<S3Keys>,
    /// How long one request may take, including its body.
    pub request_timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How often a request is retried that the server could not answer, with growing pauses.
    pub retries: usize,
}

/// A pair of keys, as `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// Names the pair; no secret.
    pub id: String,
    /// Signs requests.
    pub secret: Secret,
    /// The session token of temporary keys.
    pub session_token: Option<Secret>,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: None,
            keys: None,
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retries: 6,
        }
    }
}

/// The first pause before a request is retried, and the longest; each is about twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No retry starts this long after the first attempt: credentials may have expired.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The variables that Amazon's services set for the processes that they host.
const HOST_CREDENTIALS: [(&str, AmazonS3ConfigKey); 8] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ("AWS_METADATA_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint),
];

impl S3Config {
    /// Refuses settings that no request could be made with.
    pub fn check(&self) -> Result<()> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let wrong = |why: &str| {
            let what = format!("S3 endpoint {endpoint} {why}; write it as http://host:port or https://host");
            Error::new(ErrorKind::Invalid, what)
        };
        let url = Url::parse(endpoint).map_err(|_| wrong("is not a URL"))?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(wrong("does not begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // Reported without the endpoint, which holds them.
            return Err(Error::new(ErrorKind::Invalid, "the S3 endpoint holds credentials; give them as keys"));
        }
        Ok(())
    }

    /// The store of one bucket, accessed with this process's own keys. No request is made.
    pub(crate) fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
        let mut s3 = self.builder(bucket)?;
        match &self.keys {
            Some(keys) => {
                s3 = s3.with_access_key_id(&keys.id).with_secret_access_key(keys.secret.expose());
                if let Some(token) = &keys.session_token {
                    s3 = s3.with_token(token.expose());
                }
            }
            None => {
                for (name, key) in HOST_CREDENTIALS {
                    if let Ok(value) = std::env::var(name) {
                        s3 = s3.with_config(key, value);
                    }
                }
            }
        }
        build(s3, bucket)
    }

    /// The store of one bucket, accessed with what `credentials` returns at each request.
    pub(crate) fn open_with(&self, bucket: &str, credentials: AwsCredentialProvider) -> Result<Arc<dyn ObjectStore>> {
        build(self.builder(bucket)?.with_credentials(credentials), bucket)
    }

    fn builder(&self, bucket: &str) -> Result<AmazonS3Builder> {
        self.check()?;
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: LONGEST_PAUSE, base: 2.0 },
            max_retries: self.retries,
            retry_timeout: LAST_RETRY,
        };
        let is_http = self.endpoint.as_ref().is_some_and(|e| e.starts_with("http://"));
        let client = ClientOptions::new()
            .with_timeout(self.request_timeout)
            .with_connect_timeout(self.connect_timeout)
            .with_allow_http(is_http);
        let in_path = self.path_style.unwrap_or(self.endpoint.is_some());
        let mut s3 = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_retry(retry)
            .with_client_options(client)
            .with_virtual_hosted_style_request(!in_path);
        if let Some(region) = &self.region {
            s3 = s3.with_region(region);
        }
        if let Some(endpoint) = &self.endpoint {
            s3 = s3.with_endpoint(if in_path { endpoint.clone() } else { with_bucket(endpoint, bucket)? });
        }
        Ok(s3)
    }
}

fn build(s3: AmazonS3Builder, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
    let store = s3.build().map_err(|e| Error::from(e).context(format_args!("bucket {bucket}")))?;
    Ok(Arc::new(ExactRanges(store)))
}

/// `http://host` as `http://bucket.host`.
fn with_bucket(endpoint: &str, bucket: &str) -> Result<String> {
    let wrong = || Error::new(ErrorKind::Invalid, format!("bucket {bucket} cannot be part of the host of {endpoint}"));
    let mut url = Url::parse(endpoint).map_err(|_| wrong())?;
    let host = format!("{bucket}.{}", url.host_str().ok_or_else(wrong)?);
    url.set_host(Some(&host)).map_err(|_| wrong())?;
    Ok(url.to_string().trim_end_matches('/').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let keys = S3Keys {
            id: "shown-id".to_string(),
            secret: Secret::new("hidden-secret"),
            session_token: Some(Secret::new("hidden-token")),
        };
        let config = StorageConfig { s3: S3Config { keys: Some(keys), ..S3Config::default() } };
        let stores = crate::Stores::new(config.clone());
        let bucket = config.s3.open("raw").unwrap();
        for shown in [format!("{config:?}"), format!("{stores:#?}"), format!("{bucket:?}"), bucket.to_string()] {
            assert!(!shown.contains("hidden"), "{shown}");
        }
        assert!(format!("{config:?}").contains("shown-id"));
    }

    #[test]
    fn wrong_endpoints_are_refused() {
        let check = |endpoint: &str, expected: &str| {
            let config = S3Config { endpoint: Some(endpoint.to_string()), ..S3Config::default() };
            let e = config.open("raw").unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid);
            assert!(e.to_string().contains(expected) && !e.to_string().contains("hidden"), "{e}");
        };
        check("localhost:9000", "http:// or https://");
        check("minio", "is not a URL");
        check("http://me:hidden@localhost", "holds credentials");
    }

    #[test]
    fn a_bucket_may_be_part_of_the_host() {
        assert_eq!(with_bucket("http://minio.shop:9000", "raw").unwrap(), "http://raw.minio.shop:9000");
        assert!(with_bucket("http://minio.shop", "a b").is_err());
    }
}
