//! Contents and encoding of tickets and of prepared statements' handles.
//!
//! Both are opaque bytes to a client and hold everything the server needs, so the server keeps no state for them. A
//! client gains nothing by forging one: it could send the same SQL directly.

use crate::error::{Error, ErrorKind, Result};

/// Sent by a client to fetch a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// Run this query and stream its rows, in the schema that was announced with the ticket (as an IPC message).
    Query { sql: String, schema: Vec<u8> },
    /// A statement that has already run and wrote this number of rows: fetching must not run it again.
    Updated { rows: u64 },
}

/// Identifies a prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    pub sql: String,
}

/// The first byte is the type. It is a letter, so that tickets are readable in logs.
const QUERY: u8 = b'q';
const UPDATED: u8 = b'u';
const PREPARED: u8 = b'p';

impl Ticket {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Ticket::Query { sql, schema } => {
                // Flight messages, and so schemas, are far smaller than this length allows.
                let schema_len = (schema.len() as u32).to_be_bytes();
                tagged(QUERY, &[&schema_len, schema, sql.as_bytes()])
            }
            Ticket::Updated { rows } => tagged(UPDATED, &[&rows.to_be_bytes()]),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [QUERY, a, b, c, d, rest @ ..] => {
                let schema_len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                let (schema, sql) = rest.split_at_checked(schema_len).ok_or_else(|| malformed("ticket"))?;
                Ok(Ticket::Query { sql: text(sql, "ticket")?, schema: schema.to_vec() })
            }
            [UPDATED, rows @ ..] => {
                let rows = rows.try_into().map_err(|_| malformed("ticket"))?;
                Ok(Ticket::Updated { rows: u64::from_be_bytes(rows) })
            }
            _ => Err(malformed("ticket")),
        }
    }
}

impl Handle {
    pub fn encode(&self) -> Vec<u8> {
        tagged(PREPARED, &[self.sql.as_bytes()])
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [PREPARED, sql @ ..] => Ok(Handle { sql: text(sql, "prepared statement handle")? }),
            _ => Err(malformed("prepared statement handle")),
        }
    }
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![tag];
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn text(bytes: &[u8], what: &str) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(what))?;
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
        for ticket in [
            Ticket::Query { sql: "SELECT 'Zürich'".into(), schema: vec![0, 255, 7] },
            Ticket::Query { sql: String::new(), schema: vec![] },
            Ticket::Updated { rows: 0 },
            Ticket::Updated { rows: u64::MAX },
        ] {
            assert_eq!(Ticket::decode(&ticket.encode()).unwrap(), ticket);
        }
        let handle = Handle { sql: "SELECT 1".into() };
        assert_eq!(Handle::decode(&handle.encode()).unwrap(), handle);
    }

    #[test]
    fn anything_else_is_invalid_input() {
        let handle = Handle { sql: "SELECT 1".into() }.encode();
        for bytes in
            [b"".as_slice(), b"x", b"u", b"u1234567", b"u123456789", b"q\0\0\0\0\xff", b"q\xff\xff\xff\xffx", &handle]
        {
            assert_eq!(Ticket::decode(bytes).unwrap_err().kind(), ErrorKind::InvalidInput, "{bytes:?}");
        }
        for bytes in [b"".as_slice(), b"p\xff", b"qSELECT 1"] {
            assert_eq!(Handle::decode(bytes).unwrap_err().kind(), ErrorKind::InvalidInput, "{bytes:?}");
        }
    }
}
