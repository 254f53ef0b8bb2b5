//! Requests to a REST catalog: addresses, tokens, answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bergmill_storage::Secret;
use reqwest::{Method, Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// How long a request may take. A commit includes the server's writing of a metadata file.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many times a request that only reads is sent while the server cannot answer.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A token is renewed this long before it expires, or after half its life if that is later.
const RENEW_AHEAD: Duration = Duration::from_secs(60);
/// The assumed life of a token whose server does not say when it expires.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// How to reach a REST catalog.
#[derive(Debug, Clone)]
pub struct RestConfig {
    /// `https://host/path`, to which `/v1/config` is added.
    pub uri: String,
    /// The warehouse to use; `None` for the server's default.
    pub warehouse: Option<String>,
    /// How to authenticate.
    pub auth: RestAuth,
    /// Whether to request vended credentials for tables' files; otherwise this process's own keys are used.
    pub vended_credentials: bool,
}

/// How to authenticate with a REST catalog.
#[derive(Debug, Clone)]
pub enum RestAuth {
    /// No authentication.
    None,
    /// A token that is renewed elsewhere.
    Token(Secret),
    /// An id and a secret, which are exchanged for tokens (OAuth2, RFC 6749 section 4.4).
    Credentials {
        /// The client's id; no secret.
        id: String,
        /// Its secret.
        secret: Secret,
        /// The scope to request; the protocol's default is `catalog`.
        scope: String,
        /// The token endpoint; `None` is the catalog's own.
        token_uri: Option<String>,
    },
}

/// Why a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// The HTTP status, if the server answered.
    pub(super) status: Option<u16>,
    /// The error's type in the server's terms, such as `NoSuchTableException`.
    kind: String,
    /// The server cannot have received the request.
    pub(super) not_sent: bool,
    error: Error,
}

impl Failure {
    /// Whether a retry of the same request may succeed; not for an endpoint that the server does not implement (501).
    fn may_pass(&self) -> bool {
        self.status.is_none_or(|status| status == 429 || status >= 500 && status != 501)
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Whether `words` are in the server's message: for errors that the protocol has no type for.
    pub(super) fn says(&self, words: &str) -> bool {
        self.error.to_string().contains(words)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// A connection to a REST catalog.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// Ends in `/v1`, or in the prefix that the server's configuration names.
    base: Url,
    /// The server's name in messages.
    name: String,
    tokens: Tokens,
    /// Whether tables are requested with credentials.
    vends: bool,
    /// The server's endpoints, if it lists them: `GET /v1/{prefix}/namespaces` and so on.
    endpoints: Option<HashSet<String>>,
}

#[derive(Debug)]
struct Tokens {
    auth: RestAuth,
    uri: Url,
    current: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    text: Arc<Secret>,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    defaults: HashMap<String, String>,
    #[serde(default)]
    overrides: HashMap<String, String>,
    #[serde(default)]
    endpoints: Option<HashSet<String>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

/// The protocol's error. Servers add a stack, which is not for users.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorModel,
}

#[derive(Deserialize)]
struct ErrorModel {
    message: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Client {
    pub(super) async fn open(config: RestConfig) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Invalid, format!("the catalog's address {what}"));
        let mut base = Url::parse(config.uri.trim_end_matches('/')).map_err(|_| wrong("is not a URL"))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("holds credentials; give them as a token or as client credentials"));
        }
        let name = base.to_string().trim_end_matches('/').to_string();
        push(&mut base, &["v1"])?;
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("bergmill/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::new(ErrorKind::Storage, "making an HTTP client").with_source(e))?;
        let uri = match &config.auth {
            RestAuth::Credentials { token_uri: Some(uri), .. } => Url::parse(uri)
                .map_err(|_| Error::new(ErrorKind::Invalid, "the token server's address is not a URL"))?,
            _ => {
                let mut uri = base.clone();
                push(&mut uri, &["oauth", "tokens"])?;
                uri
            }
        };
        let tokens = Tokens { auth: config.auth, uri, current: Mutex::default() };
        let mut client = Self { http, base, name, tokens, vends: config.vended_credentials, endpoints: None };

        let query: Vec<_> = config.warehouse.iter().map(|w| ("warehouse", w.as_str())).collect();
        let server_config: Config = client.get(&["config"], &query).await?;
        // The server's overrides take precedence over our settings, and those over its defaults. We never set a prefix.
        if let Some(prefix) = server_config.overrides.get("prefix").or(server_config.defaults.get("prefix")) {
            push(&mut client.base, &prefix.split('/').collect::<Vec<_>>())?;
        }
        client.endpoints = server_config.endpoints;
        Ok(client)
    }

    /// Whether the server lists its endpoints, and not this one: `GET /v1/{prefix}/namespaces`, for example.
    pub(super) fn lacks(&self, endpoint: &str) -> bool {
        self.endpoints.as_ref().is_some_and(|all| !all.contains(endpoint))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads; retried when the server cannot answer.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> std::result::Result<T, Failure> {
        self.read(path, query, false).await
    }

    /// Reads a response with credentials for files, if they are wanted and the server vends any.
    pub(super) async fn get_vended<T: DeserializeOwned>(&self, path: &[&str]) -> std::result::Result<T, Failure> {
        self.read(path, &[], self.vends).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        vended: bool,
    ) -> std::result::Result<T, Failure> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.ask(Method::GET, path, query, None, vended).await {
                Ok(text) => return self.parse(&text),
                Err(e) if attempt < TRIES && e.may_pass() => {
                    tracing::debug!(attempt, "{}", e.error);
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(e) => return Err(e),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Sends a change, without retries. The response describes it, with credentials for files if they are wanted and
    /// the server vends any.
    pub(super) async fn post_vended<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> std::result::Result<T, Failure> {
        let text = self.ask(Method::POST, path, &[], Some(body), self.vends).await?;
        self.parse(&text)
    }

    /// Sends a change, without retries.
    pub(super) async fn send(&self, method: Method, path: &[&str], body: &Value) -> std::result::Result<(), Failure> {
        let body = (!body.is_null()).then_some(body);
        self.ask(method, path, &[], body, false).await.map(drop)
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
        vended: bool,
    ) -> std::result::Result<String, Failure> {
        let mut url = self.base.clone();
        push(&mut url, path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut used = None;
        loop {
            let mut request = self.http.request(method.clone(), url.clone());
            let token = self.token(used.as_ref()).await?;
            if let Some(token) = &token {
                request = request.bearer_auth(token.expose());
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            if vended {
                request = request.header("X-Iceberg-Access-Delegation", "vended-credentials");
            }
            let answer = self.exchange(request.build()).await;
            match answer {
                // A token may be revoked before it expires; 419 is the protocol's status for an expired one.
                Err(e) if matches!(e.status, Some(401 | 419)) && used.is_none() && self.tokens.can_renew() => {
                    used = token;
                }
                other => return other,
            }
        }
    }

    async fn exchange(&self, request: reqwest::Result<Request>) -> std::result::Result<String, Failure> {
        let lost = |e: reqwest::Error, sent: bool| {
            let not_sent = !sent || e.is_connect() || e.is_builder();
            // The URL may show more than a message should; the server's name is added below.
            let mut cause: &dyn std::error::Error = &e;
            while let Some(next) = cause.source() {
                cause = next;
            }
            let what = format!("catalog {} does not answer: {cause}", self.name);
            Failure { status: None, kind: String::new(), not_sent, error: Error::new(ErrorKind::Storage, what) }
        };
        let request = request.map_err(|e| lost(e, false))?;
        let answer = self.http.execute(request).await.map_err(|e| lost(e, true))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|e| lost(e, true))?;
        if status.is_success() {
            return Ok(text);
        }
        let (message, kind) = match serde_json::from_str::<ErrorAnswer>(&text) {
            Ok(answer) => (answer.error.message, answer.error.kind),
            Err(_) => (text.chars().take(200).collect(), String::new()),
        };
        let (error_kind, what) = match status {
            StatusCode::UNAUTHORIZED => (ErrorKind::Storage, "does not accept the token or the credentials"),
            StatusCode::FORBIDDEN => (ErrorKind::Storage, "does not allow this"),
            StatusCode::NOT_FOUND => (ErrorKind::NotFound, "does not have this"),
            StatusCode::CONFLICT => (ErrorKind::Conflict, "reports a conflict"),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => (ErrorKind::Invalid, "refuses this"),
            StatusCode::NOT_ACCEPTABLE | StatusCode::NOT_IMPLEMENTED => {
                (ErrorKind::Unsupported, "does not support this")
            }
            _ => (ErrorKind::Storage, "failed"),
        };
        let what = format!("catalog {} {what} ({}: {message})", self.name, status.as_u16());
        let error = Error::new(error_kind, what);
        Err(Failure { status: Some(status.as_u16()), kind, not_sent: false, error })
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> std::result::Result<T, Failure> {
        serde_json::from_str(text).map_err(|e| {
            let what = format!("catalog {} sent a response that does not follow the protocol", self.name);
            let error = Error::new(ErrorKind::Corrupt, what).with_source(e);
            Failure { status: None, kind: String::new(), not_sent: false, error }
        })
    }

    /// The token to send, other than `spent`.
    async fn token(&self, spent: Option<&Arc<Secret>>) -> std::result::Result<Option<Arc<Secret>>, Failure> {
        let (id, secret, scope) = match &self.tokens.auth {
            RestAuth::None => return Ok(None),
            RestAuth::Token(token) => return Ok(Some(Arc::new(token.clone()))),
            RestAuth::Credentials { id, secret, scope, .. } => (id, secret, scope),
        };
        let mut current = self.tokens.current.lock().await;
        if let Some(token) = current.as_ref() {
            let is_spent = spent.is_some_and(|spent| Arc::ptr_eq(spent, &token.text));
            if !is_spent && Instant::now() < token.renew_at {
                return Ok(Some(Arc::clone(&token.text)));
            }
        }
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret.expose()),
            ("scope", scope),
        ];
        let asked = Instant::now();
        let text = self.exchange(self.http.post(self.tokens.uri.clone()).form(&form).build()).await;
        // Nothing was sent to the catalog itself.
        let answer: TokenAnswer = self.parse(&text.map_err(|e| Failure { not_sent: true, ..e })?)?;
        let life = answer.expires_in.map_or(TOKEN_LIFE, Duration::from_secs);
        let renew_at = asked + life.saturating_sub(RENEW_AHEAD).max(life / 2);
        let text = Arc::new(Secret::new(answer.access_token));
        *current = Some(Token { text: Arc::clone(&text), renew_at });
        Ok(Some(text))
    }
}

impl Tokens {
    fn can_renew(&self) -> bool {
        matches!(self.auth, RestAuth::Credentials { .. })
    }
}

/// Adds segments to a path, each encoded.
fn push(url: &mut Url, segments: &[&str]) -> Result<()> {
    match url.path_segments_mut() {
        Ok(mut path) => drop(path.pop_if_empty().extend(segments)),
        Err(()) => return Err(Error::new(ErrorKind::Invalid, "the catalog's address is not a URL with a path")),
    }
    // A plus is valid in a path, but the reference implementation reads it as a blank.
    let path = url.path().replace('+', "%2B");
    url.set_path(&path);
    Ok(())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: None, kind: String::new(), not_sent: true, error }
    }
}
