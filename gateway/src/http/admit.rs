//! Which requests are admitted: those with the credentials that Flight takes too.
//!
//! Where nobody has to log in, any page that a browser shows could send requests to a server on the same machine. Two
//! checks prevent it: statements are JSON, which a page may not send to another site without asking first, and the
//! server must be addressed as `localhost` or by an IP address, which a site's own name is not, even if it resolves to
//! the loopback address.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorKind, Result};
use crate::http::Peer;
use crate::http::failure::Failure;
use crate::login::{Login, Sender, decode};

/// How requests are admitted.
#[derive(Clone)]
pub(super) struct Admission {
    pub login: Option<Arc<dyn Login>>,
}

/// Passes a request on with its [`Sender`], or refuses it.
pub(super) async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Result<Response> {
    let from = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let given = request.headers().get(header::AUTHORIZATION).map(|value| decode(value.as_bytes())).transpose()?;
    let caller = match &admission.login {
        Some(login) => login.admit(given.as_ref(), from).await?,
        None => None,
    };
    if caller.is_none() {
        only_by_address(&request)?;
    }
    request.extensions_mut().insert(Sender { caller, from });
    Ok(next.run(request).await)
}

/// Refuses a request to a server that is open to everyone if it was addressed by a name other than `localhost`.
fn only_by_address(request: &Request) -> Result<()> {
    let header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let Some(host) = request.uri().authority().map(ToString::to_string).or_else(header) else { return Ok(()) };
    let name = host.parse::<Authority>().map(|authority| authority.host().to_owned()).unwrap_or_default();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let message = format!(
        "a server without users is open under localhost and its IP addresses only, not under {host:?}; add a user with \
         `bergmill user add`"
    );
    Err(Error::new(ErrorKind::Forbidden, message))
}

/// A session that a user has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// Stands for user and password in later requests, as `authorization: Bearer TOKEN`, until it expires.
    token: String,
}

/// Begins a session
///
/// Checking a password takes long on purpose: a program that sends several requests should send it once.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions",
    responses(
        (status = 200, body = Session),
        (status = 400, description = "Nobody has to log in here", body = Failure),
        (status = 401, description = "User or password are wrong, or missing", body = Failure),
    ),
)]
pub(super) async fn open_session(
    State(admission): State<Admission>,
    Extension(Sender { caller, from }): Extension<Sender>,
) -> Result<Json<Session>> {
    let (Some(login), Some(caller)) = (&admission.login, caller) else {
        let message = "nobody has to log in here: there are no users";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    };
    Ok(Json(Session { token: login.open_session(&caller, from).await? }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn an_open_server_is_not_reached_by_the_name_of_a_site() {
        for (host, admitted) in [
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("10.1.2.3", true),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
            ("a b", false),
        ] {
            let request = Request::builder().uri("/v1/sql").header("host", host).body(Body::empty()).unwrap();
            assert_eq!(only_by_address(&request).is_ok(), admitted, "{host:?}");
        }
        let without = Request::builder().uri("/v1/sql").body(Body::empty()).unwrap();
        assert!(only_by_address(&without).is_ok());
    }
}
