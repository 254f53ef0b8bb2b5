//! Who sends a call: the [`Login`] trait, and the service that asks it before every call.
//!
//! A call is admitted here or nowhere: the service stands before the dispatch of calls, so that no call of the
//! protocol, now or later, can be reached without it. Credentials come in the header `authorization`: `Bearer TOKEN`,
//! or `Basic` with user and password, on a handshake (which returns a token for the calls after it) or on any other
//! call.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::server::NamedService;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Extensions, Status};

use crate::error::{Error, ErrorKind, Result};
use crate::session::Sessions;

/// The header that holds credentials.
pub(crate) const AUTHORIZATION: &str = "authorization";

/// The user that sends a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name.
    pub user: String,
    /// Whether it may do everything.
    pub is_admin: bool,
}

/// Who sends a call, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The user; `None` where nobody has to log in.
    pub caller: Option<Caller>,
    /// The address, if it is known.
    pub from: Option<IpAddr>,
}

impl Sender {
    /// The name of the user, if it had to log in.
    pub fn user(&self) -> Option<&str> {
        self.caller.as_ref().map(|caller| caller.user.as_str())
    }
}

/// How the sender of a call proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// By a user's password.
    Password {
        /// Name of the user.
        user: String,
        /// Its password.
        password: String,
    },
    /// By a token that the server issued.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => f.debug_struct("Password").field("user", user).finish_non_exhaustive(),
            Self::Token(_) => f.debug_tuple("Token").finish_non_exhaustive(),
        }
    }
}

/// Decides who is admitted.
#[async_trait]
pub trait Login: Send + Sync + 'static {
    /// The sender of a call; `None` where nobody has to log in.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] if the call is not admitted.
    async fn admit(&self, credentials: Option<&Credentials>, from: Option<IpAddr>) -> Result<Option<Caller>>;

    /// Whether a sender without credentials is refused, so that a client is asked for them.
    async fn is_required(&self) -> Result<bool>;

    /// Begins a session of a user that has been admitted, and returns the token that stands for it.
    async fn open_session(&self, caller: &Caller, from: Option<IpAddr>) -> Result<String>;
}

/// The sender of a call that was admitted, which is in the extensions of its request.
pub(crate) fn sender(request: &Extensions) -> Sender {
    request.get::<Sender>().cloned().unwrap_or_default()
}

/// A service that only admitted calls reach. Without a [`Login`], all are admitted.
#[derive(Clone)]
pub(crate) struct AdmitCalls<S> {
    pub inner: S,
    pub login: Option<Arc<dyn Login>>,
    pub sessions: Sessions,
}

impl<S> Service<http::Request<Body>> for AdmitCalls<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The service that is ready, and not its clone, gets the call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (login, sessions) = (self.login.clone(), self.sessions.clone());
        Box::pin(async move {
            let given = match credentials(request.headers()) {
                Ok(given) => given,
                // Where nobody has to log in, nobody needs a header that can be read.
                Err(_) if login.is_none() => None,
                Err(unreadable) => return Ok(Status::from(unreadable).into_http()),
            };
            let (mut caller, from) = (None, address(request.extensions()));
            if let Some(login) = login {
                caller = match login.admit(given.as_ref(), from).await {
                    Ok(caller) => caller,
                    Err(refused) => return Ok(Status::from(refused).into_http()),
                };
            }
            let session = sessions.of_call(request.headers(), given.as_ref(), caller.as_ref());
            let extensions = request.extensions_mut();
            extensions.insert(Sender { caller, from });
            if let Some(session) = session {
                extensions.insert(session);
            }
            inner.call(request).await
        })
    }
}

impl<S: NamedService> NamedService for AdmitCalls<S> {
    const NAME: &'static str = S::NAME;
}

/// The credentials that a call comes with.
fn credentials(headers: &http::HeaderMap) -> Result<Option<Credentials>> {
    headers.get(AUTHORIZATION).map(|value| decode(value.as_bytes())).transpose()
}

/// Where a call comes from.
fn address(extensions: &http::Extensions) -> Option<IpAddr> {
    extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr).map(|addr| addr.ip())
}

/// The value of the header for `credentials`, which is kept out of logs.
pub(crate) fn encode(credentials: &Credentials) -> Result<MetadataValue<Ascii>> {
    let text = match credentials {
        Credentials::Token(token) => format!("Bearer {token}"),
        Credentials::Password { user, password } => {
            if user.contains(':') {
                return Err(Error::new(ErrorKind::InvalidInput, "the name of a user has no colon"));
            }
            format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
        }
    };
    let invalid = |_| Error::new(ErrorKind::InvalidInput, "a token has printable ASCII characters only");
    let mut value: MetadataValue<Ascii> = text.parse().map_err(invalid)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The credentials of the header.
pub(crate) fn decode(value: &[u8]) -> Result<Credentials> {
    let wrong = || {
        let what = "the header authorization must be \"Bearer TOKEN\", or \"Basic\" and USER:PASSWORD in base64";
        Error::new(ErrorKind::Unauthenticated, what)
    };
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(wrong)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        return Ok(Credentials::Token(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let decoded = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let (user, password) = decoded.split_once(':').ok_or_else(wrong)?;
    Ok(Credentials::Password { user: user.to_owned(), password: password.to_owned() })
}

/// Clients in Go, and so ADBC, leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn credentials_round_trip() {
        for credentials in [
            password("ada", "correct horse"),
            password("ada", "a:b:"),
            password("김민지", "비밀번호"),
            Credentials::Token("bergmill_x-_".into()),
        ] {
            let value = encode(&credentials).unwrap();
            assert_eq!(decode(value.as_bytes()).unwrap(), credentials);
            assert!(value.is_sensitive());
        }
        assert!(encode(&password("a:b", "x")).is_err());
        assert!(encode(&Credentials::Token("a\nb".into())).is_err());
    }

    #[test]
    fn the_dialects_of_clients_are_understood() {
        for text in ["Basic YWRhOnh5", "basic YWRhOnh5", "BASIC  YWRhOnh5 "] {
            assert_eq!(decode(text.as_bytes()).unwrap(), password("ada", "xy"), "{text}");
        }
        // With and without padding.
        for text in ["Basic YWRhOnh5eg==", "Basic YWRhOnh5eg"] {
            assert_eq!(decode(text.as_bytes()).unwrap(), password("ada", "xyz"), "{text}");
        }
        assert_eq!(decode(b"bearer abc").unwrap(), Credentials::Token("abc".into()));
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for text in ["", "Basic", "Basic ", "Basic YWRh", "Basic ***", "Bearer ", "Digest hidden", "hidden"] {
            let error = decode(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{text:?}");
            assert!(!error.to_string().contains("hidden"), "{text:?}");
        }
        assert!(decode(b"Basic \xff").is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?} {:?}", password("ada", "hidden"), Credentials::Token("hidden".into()));
        assert!(shown.contains("ada") && !shown.contains("hidden"), "{shown}");
    }
}
