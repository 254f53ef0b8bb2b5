//! Actions of Flight that arrow-flight's Flight SQL service does not dispatch: cancelling a query, and the options of a
//! session.

use std::collections::BTreeMap;

use arrow_flight::sql::{Any, Command, TicketStatementQuery};
use arrow_flight::{Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo};
use prost::Message;
use prost::bytes::Bytes;

use crate::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::login::{Caller, Sender};
use crate::session::Session;
use crate::session_messages::{
    CloseSessionResult, CloseSessionStatus, GetSessionOptionsResult, OptionValue, SessionOptionValue,
    SetSessionOptionError, SetSessionOptionErrorValue, SetSessionOptionsRequest, SetSessionOptionsResult,
};
use crate::ticket::{Query, Ticket};

const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
pub(crate) const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
const CLOSE_SESSION: &str = "CloseSession";

/// The actions, for clients that list them.
pub(crate) fn types() -> Vec<ActionType> {
    [
        (CANCEL_FLIGHT_INFO, "Cancels a query"),
        (SET_SESSION_OPTIONS, "Sets options of the session"),
        (GET_SESSION_OPTIONS, "Returns the options of the session"),
        (CLOSE_SESSION, "Forgets the session and its options"),
    ]
    .map(|(name, what)| {
        let description = format!("{what}\nRequest Message: {name}Request\nResponse Message: {name}Result");
        ActionType { r#type: name.to_owned(), description }
    })
    .into()
}

/// Runs an action, and returns its result.
pub(crate) async fn run(
    action: &Action,
    backend: &dyn Backend,
    sender: &Sender,
    session: Option<&Session>,
) -> Result<Bytes> {
    let result = match action.r#type.as_str() {
        CANCEL_FLIGHT_INFO => {
            let request: CancelFlightInfoRequest = decoded(&action.body, CANCEL_FLIGHT_INFO)?;
            let status = cancel(&request.info.unwrap_or_default(), backend, sender).await?;
            CancelFlightInfoResult { status: status as i32 }.encode_to_vec()
        }
        SET_SESSION_OPTIONS => {
            let request = decoded(&action.body, SET_SESSION_OPTIONS)?;
            let session = session.ok_or_else(no_session)?;
            set_options(request, backend, sender.caller.as_ref(), session).await?.encode_to_vec()
        }
        GET_SESSION_OPTIONS => {
            let options = session.map(Session::options).unwrap_or_default();
            let value = |text| SessionOptionValue { option_value: Some(OptionValue::String(text)) };
            let session_options = options.into_iter().map(|(name, text)| (name, value(text))).collect();
            GetSessionOptionsResult { session_options }.encode_to_vec()
        }
        CLOSE_SESSION => {
            // There may be no session, and then there is nothing to close.
            if let Some(session) = session {
                session.close();
            }
            CloseSessionResult { status: CloseSessionStatus::Closed as i32 }.encode_to_vec()
        }
        other => return Err(Error::new(ErrorKind::Unsupported, format!("there is no action {other:?}"))),
    };
    Ok(result.into())
}

async fn set_options(
    request: SetSessionOptionsRequest,
    backend: &dyn Backend,
    caller: Option<&Caller>,
    session: &Session,
) -> Result<SetSessionOptionsResult> {
    let mut result = SetSessionOptionsResult::default();
    // By name: a request does the same each time.
    for (name, value) in request.session_options.into_iter().collect::<BTreeMap<_, _>>() {
        let set = match value.option_value.map(OptionValue::text) {
            None => backend.set_option(session, caller, &name, None).await,
            Some(Some(text)) => backend.set_option(session, caller, &name, Some(&text)).await,
            Some(None) => Err(invalid(format!("option {name} is not a list"))),
        };
        let error = match set {
            Ok(()) => continue,
            Err(e) => {
                tracing::debug!("option {name} is not set: {e}");
                match e.kind() {
                    ErrorKind::NotFound => SetSessionOptionErrorValue::InvalidName,
                    ErrorKind::InvalidInput => SetSessionOptionErrorValue::InvalidValue,
                    _ => SetSessionOptionErrorValue::Error,
                }
            }
        };
        result.errors.insert(name, SetSessionOptionError { value: error as i32 });
    }
    Ok(result)
}

/// The error of a call that needs a session and has none.
fn no_session() -> Error {
    invalid("there is no session: send the token of a login, or the cookie of an earlier response")
}

/// Cancels the query of a response to GetFlightInfo.
pub(crate) async fn cancel(info: &FlightInfo, backend: &dyn Backend, sender: &Sender) -> Result<CancelStatus> {
    let ticket = info.endpoint.first().and_then(|endpoint| endpoint.ticket.as_ref());
    let ticket = ticket.ok_or_else(|| invalid("a query is cancelled by its FlightInfo, which has no ticket here"))?;
    match statement(&ticket.ticket)? {
        Some(Ticket::Query(Query { id, .. })) => match backend.cancel(&id, sender).await {
            Ok(()) => Ok(CancelStatus::Cancelled),
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(CancelStatus::NotCancellable),
            Err(e) => Err(e),
        },
        // It has run, or is the command of a catalog call.
        Some(Ticket::Updated { .. }) | None => Ok(CancelStatus::NotCancellable),
    }
}

/// The ticket of a statement; `None` if it is for something else.
fn statement(ticket: &[u8]) -> Result<Option<Ticket>> {
    let any: Any = decoded(ticket, "the ticket")?;
    match Command::try_from(any)? {
        Command::TicketStatementQuery(TicketStatementQuery { statement_handle }) => {
            Ticket::decode(&statement_handle).map(Some)
        }
        _ => Ok(None),
    }
}

pub(crate) fn decoded<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    M::decode(bytes).map_err(|e| invalid(format!("{what} cannot be read: {e}")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}
