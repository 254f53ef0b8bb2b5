//! Contents and encoding of tickets and of prepared statements' handles.
//!
//! Both are opaque bytes to a client and hold everything the server needs, so the server keeps no state for them. A
//! client gains nothing by forging one: it could send the same SQL directly.

use crate::error::{Error, ErrorKind, Result};

/// Sent by a client to fetch a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// Run a query and stream its rows.
    Query(Query),
    /// A statement that has already run and wrote this number of rows: fetching must not run it again.
    Updated { rows: u64 },
}

/// A query that is to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Names the query, for example to cancel it.
    pub id: String,
    pub sql: String,
    /// The values of its parameters, encoded.
    pub parameters: Option<Vec<u8>>,
    /// The schema that was announced with the ticket, as an IPC message.
    pub schema: Vec<u8>,
}

/// Identifies a prepared statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Handle {
    pub sql: String,
    /// The values that are bound to its parameters, encoded.
    pub parameters: Option<Vec<u8>>,
}

/// The first byte is the type. It is a letter, so that tickets are readable in logs.
const QUERY: u8 = b'q';
const UPDATED: u8 = b'u';
const PREPARED: u8 = b'p';

impl Ticket {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Ticket::Query(Query { id, sql, parameters, schema }) => {
                tagged(QUERY, &[Some(id.as_bytes()), Some(schema), parameters.as_deref(), Some(sql.as_bytes())])
            }
            Ticket::Updated { rows } => [&[UPDATED][..], &rows.to_be_bytes()].concat(),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "ticket";
        match bytes {
            [QUERY, rest @ ..] => {
                let [id, schema, parameters, sql] = parts(rest, what)?;
                Ok(Ticket::Query(Query {
                    id: text(id, what)?,
                    sql: text(sql, what)?,
                    parameters: parameters.map(<[u8]>::to_vec),
                    schema: schema.unwrap_or_default().to_vec(),
                }))
            }
            [UPDATED, rows @ ..] => {
                let rows = rows.try_into().map_err(|_| malformed(what))?;
                Ok(Ticket::Updated { rows: u64::from_be_bytes(rows) })
            }
            _ => Err(malformed(what)),
        }
    }
}

impl Handle {
    pub fn encode(&self) -> Vec<u8> {
        tagged(PREPARED, &[self.parameters.as_deref(), Some(self.sql.as_bytes())])
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "prepared statement handle";
        let [PREPARED, rest @ ..] = bytes else { return Err(malformed(what)) };
        let [parameters, sql] = parts(rest, what)?;
        Ok(Handle { sql: text(sql, what)?, parameters: parameters.map(<[u8]>::to_vec) })
    }
}

/// Parts that may be missing, each after its length, which is one more than the number of its bytes.
fn tagged(tag: u8, parts: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = vec![tag];
    for part in parts {
        // Flight messages are far smaller than this length allows.
        let len = part.map_or(0, |part| part.len() as u32 + 1);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(part.unwrap_or_default());
    }
    bytes
}

/// The reverse of [`tagged`], without the tag.
fn parts<'a, const N: usize>(mut bytes: &'a [u8], what: &str) -> Result<[Option<&'a [u8]>; N]> {
    let mut found = [None; N];
    for part in &mut found {
        let (len, rest) = bytes.split_first_chunk().ok_or_else(|| malformed(what))?;
        bytes = rest;
        if let Some(len) = u32::from_be_bytes(*len).checked_sub(1) {
            let (value, rest) = bytes.split_at_checked(len as usize).ok_or_else(|| malformed(what))?;
            (*part, bytes) = (Some(value), rest);
        }
    }
    if bytes.is_empty() { Ok(found) } else { Err(malformed(what)) }
}

fn text(bytes: Option<&[u8]>, what: &str) -> Result<String> {
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or_else(|| malformed(what))?;
    Ok(text.to_owned())
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("this server did not issue that {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_and_handles_round_trip() {
        let query = Query {
            id: "0199".into(),
            sql: "SELECT 'Zürich'".into(),
            parameters: Some(vec![]),
            schema: vec![0, 255, 7],
        };
        for ticket in [
            Ticket::Query(query),
            Ticket::Query(Query::default()),
            Ticket::Updated { rows: 0 },
            Ticket::Updated { rows: u64::MAX },
        ] {
            assert_eq!(Ticket::decode(&ticket.encode()).unwrap(), ticket);
        }
        for parameters in [None, Some(vec![]), Some(vec![1, 2])] {
            let handle = Handle { sql: "SELECT 1".into(), parameters };
            assert_eq!(Handle::decode(&handle.encode()).unwrap(), handle);
        }
    }

    #[test]
    fn anything_else_is_invalid_input() {
        let handle = Handle { sql: "SELECT 1".into(), parameters: None }.encode();
        let ticket = Ticket::Query(Query::default()).encode();
        let longer = [&ticket[..], b"x"].concat();
        let ticket_of = |id: &[u8]| tagged(QUERY, &[Some(id), None, None, Some(b"SELECT 1")]);
        let (not_text, too_long) = (ticket_of(b"\xff"), [b"q\xff\xff\xff\xff".as_slice(), b"x"].concat());
        for bytes in
            [b"".as_slice(), b"x", b"u", b"u1234567", b"u123456789", &ticket[..9], &longer, &not_text, &too_long]
        {
            assert_eq!(Ticket::decode(bytes).unwrap_err().kind(), ErrorKind::InvalidInput, "{bytes:?}");
        }
        assert_eq!(Ticket::decode(&handle).unwrap_err().kind(), ErrorKind::InvalidInput);
        for bytes in [b"".as_slice(), b"p\xff", &handle[..7], &ticket] {
            assert_eq!(Handle::decode(bytes).unwrap_err().kind(), ErrorKind::InvalidInput, "{bytes:?}");
        }
    }
}
