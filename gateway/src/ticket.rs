//! What a ticket or a prepared statement's handle stands for, and how it travels.
//!
//! Both are opaque bytes to a client, and both carry everything the server needs, so the server remembers nothing about
//! them. A client could forge one, and would gain nothing: it names SQL that it could have sent as well.

use crate::error::{Error, ErrorKind, Result};

/// What a client brings back to fetch an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// Run this query and stream its rows, in the schema that was announced with the ticket (as an IPC message).
    Query { sql: String, schema: Vec<u8> },
    /// A statement that has been run already and wrote so many rows: fetching must not run it again.
    Updated { rows: u64 },
}

/// What a client was given for a prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    pub sql: String,
}

/// The first byte says what follows; letters, so that a ticket in a log can be read.
const QUERY: u8 = b'q';
const UPDATED: u8 = b'u';
const PREPARED: u8 = b'p';

impl Ticket {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Ticket::Query { sql, schema } => {
                // Flight's messages, and so schemas, are far smaller than what this length can say.
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
    fn tickets_and_handles_come_back_as_they_went() {
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
