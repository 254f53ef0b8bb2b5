//! A connection from its first message to its end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use futures::FutureExt;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey, Startup,
};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::client::Client;
use super::failure::{self, Failure};
use super::script::SETTINGS;
use super::statements::Statements;
use super::wire::Wire;
use super::{CancelKey, Door};
use crate::login::{Credentials, Sender};

/// How long a client may take until it has logged in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is checked whether a client that waits for an answer is still there.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// With which the text of a token begins.
const TOKEN_PREFIX: &str = "bergmill_";

/// Serves a connection until the client leaves, or the server stops.
pub(super) async fn serve<E>(
    tcp: TcpStream,
    peer: SocketAddr,
    door: Arc<Door>,
    stopping: impl Future<Output = Result<(), E>>,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    // The socket once more, to see whether the client is gone.
    let tcp = tcp.into_std()?;
    let watched = TcpStream::from_std(tcp.try_clone()?)?;
    let tcp = TcpStream::from_std(tcp)?;
    let begun = async {
        let mut wire = Wire::open(tcp, door.security.tls.as_ref()).await?;
        let client = match log_in(&mut wire, peer, &door).await {
            Ok(client) => client,
            Err(failure) => {
                tell(&mut wire, failure).await?;
                None
            }
        };
        Ok::<_, io::Error>((wire, client))
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not log in");
    let (wire, Some(client)) = timeout(LOGIN_TIMEOUT, begun).await.map_err(late)?? else { return Ok(()) };
    let mut statements = Statements::new(wire, client, door);
    let mut stopping = Box::pin(stopping);
    loop {
        let message = tokio::select! {
            _ = &mut stopping => {
                return tell(statements.wire(), Failure::fatal("57P01", "the server stops")).await;
            }
            message = statements.wire().next() => message,
        };
        let message = match message {
            Ok(None | Some(PgWireFrontendMessage::Terminate(_))) => return statements.wire().close().await,
            Ok(Some(message)) => message,
            // What follows cannot be read either.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return tell(statements.wire(), Failure::fatal("08P01", e.to_string())).await;
            }
            Err(e) => return Err(e),
        };
        // What is dropped here is cancelled.
        tokio::select! {
            answered = statements.answer(message) => answered?,
            () = gone(&watched) => return Ok(()),
        }
    }
}

/// Returns when the client has closed the connection.
async fn gone(socket: &TcpStream) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        match socket.ready(Interest::READABLE).now_or_never() {
            Some(Ok(ready)) if !ready.is_read_closed() => {}
            Some(_) => return,
            None => {}
        }
    }
}

/// Sends an error that ends the connection.
async fn tell(wire: &mut Wire, failure: Failure) -> io::Result<()> {
    match failure {
        Failure::Io(e) => Err(e),
        Failure::Sql { state, message, .. } => {
            wire.put(PgWireBackendMessage::ErrorResponse(failure::error(true, state, &message))).await?;
            wire.close().await
        }
    }
}

/// Who is at the other end; `None` if it only came to cancel a statement.
async fn log_in(wire: &mut Wire, peer: SocketAddr, door: &Door) -> Result<Option<Client>, Failure> {
    let startup = match wire.next().await? {
        Some(PgWireFrontendMessage::Startup(startup)) => startup,
        Some(PgWireFrontendMessage::CancelRequest(request)) => {
            cancel(request, door).await;
            wire.close().await?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    wire.has_begun();
    if door.security.tls.is_some() && !wire.is_encrypted() {
        return Err(Failure::fatal("28000", "this server requires TLS; connect with sslmode=verify-full"));
    }
    negotiate(wire, &startup).await?;
    let from = Some(peer.ip());
    let user = startup.parameters.get("user").cloned().unwrap_or_default();
    let caller = match &door.security.login {
        Some(login) if login.is_required().await? => {
            wire.put(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
            wire.flush().await?;
            let Some(PgWireFrontendMessage::PasswordMessageFamily(message)) = wire.next().await? else {
                return Err(Failure::fatal("08P01", "log in first"));
            };
            let password = message.into_password().map_err(|e| Failure::fatal("08P01", e.to_string()))?.password;
            let credentials = match password.starts_with(TOKEN_PREFIX) {
                true => Credentials::Token(password),
                false => Credentials::Password { user: user.clone(), password },
            };
            let caller = login.admit(Some(&credentials), from).await?;
            if caller.as_ref().is_some_and(|caller| caller.user != user) {
                return Err(Failure::fatal("28P01", "the token is of another user"));
            }
            caller
        }
        _ => None,
    };
    let sender = Sender { caller, from };
    let client = Client::new(sender, door, new_key());
    wire.has_logged_in();
    greet(wire, &startup, &client).await?;
    Ok(Some(client))
}

/// Says which version of the protocol is spoken, if the client asks for a later one.
async fn negotiate(wire: &mut Wire, startup: &Startup) -> Result<(), Failure> {
    if startup.protocol_number_major != 3 {
        return Err(Failure::fatal("08P01", "this server speaks version 3.0 of the protocol"));
    }
    let is_option = |name: &&String| name.starts_with("_pq_.");
    let unknown: Vec<String> = startup.parameters.keys().filter(is_option).cloned().collect();
    if startup.protocol_number_minor > 0 || !unknown.is_empty() {
        let versions = NegotiateProtocolVersion::new(0, unknown);
        wire.put(PgWireBackendMessage::NegotiateProtocolVersion(versions)).await?;
    }
    Ok(())
}

async fn greet(wire: &mut Wire, startup: &Startup, client: &Client) -> io::Result<()> {
    wire.put(PgWireBackendMessage::Authentication(Authentication::Ok)).await?;
    let is_admin = client.sender.caller.as_ref().is_none_or(|caller| caller.is_admin);
    let application = startup.parameters.get("application_name").map_or("", String::as_str);
    let user = client.sender.user().unwrap_or_default();
    let own = [
        ("application_name", application),
        ("is_superuser", if is_admin { "on" } else { "off" }),
        ("session_authorization", user),
        ("integer_datetimes", "on"),
        ("TimeZone", "UTC"),
    ];
    let reported = [
        "client_encoding",
        "DateStyle",
        "IntervalStyle",
        "server_encoding",
        "server_version",
        "standard_conforming_strings",
    ];
    let settings = reported.iter().filter_map(|name| {
        SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| (*name, *value))
    });
    for (name, value) in own.into_iter().chain(settings) {
        let status = ParameterStatus::new(name.to_owned(), value.to_owned());
        wire.put(PgWireBackendMessage::ParameterStatus(status)).await?;
    }
    let CancelKey { process, secret } = client.key;
    let key = BackendKeyData::new(process, SecretKey::I32(secret));
    wire.put(PgWireBackendMessage::BackendKeyData(key)).await?;
    wire.put(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(TransactionStatus::Idle))).await?;
    wire.flush().await
}

/// A key that nobody can guess.
fn new_key() -> CancelKey {
    static PROCESSES: AtomicI32 = AtomicI32::new(1);
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    CancelKey { process: PROCESSES.fetch_add(1, Ordering::Relaxed), secret: i32::from_be_bytes([a, b, c, d]) }
}

/// Cancels the statement of a client, which gets no answer. Who has its key may do so.
async fn cancel(request: CancelRequest, door: &Door) {
    let SecretKey::I32(secret) = request.secret_key else { return };
    let key = CancelKey { process: request.pid, secret };
    if let Some(running) = door.cancels.get(&key)
        && let Err(e) = door.backend.cancel(&running.id, &running.sender).await
    {
        tracing::debug!("a request to cancel {} has no effect: {e}", running.id);
    }
}
