//! Users and their tokens.
//!
//! ```sql
//! CREATE USER name [WITH] PASSWORD 'text' [ADMIN]
//! ALTER USER name [WITH] PASSWORD 'text'
//! DROP USER [IF EXISTS] name
//! SHOW USERS
//! CREATE TOKEN name [EXPIRES IN n DAYS]
//! DROP TOKEN name
//! SHOW TOKENS
//! ```
//!
//! What users may do is in `grants`.

use std::borrow::Cow;
use std::fmt;

use sqlparser::parser::Parser;

use crate::error::{Error, Result};
use crate::grants::{self, GrantStatement};
use crate::token_reader::TokenReader;

/// A statement about users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStatement {
    /// `CREATE USER`.
    Create {
        /// Name of the new user.
        name: String,
        /// Its password.
        password: Password,
        /// Whether it may do everything.
        is_admin: bool,
    },
    /// `ALTER USER ... PASSWORD`.
    SetPassword {
        /// The user.
        name: String,
        /// Its new password.
        password: Password,
    },
    /// `DROP USER`.
    Drop {
        /// The user.
        name: String,
        /// Whether a missing user is no error.
        if_exists: bool,
    },
    /// `SHOW USERS`.
    Show,
    /// `CREATE TOKEN`, of the user that sends it.
    CreateToken {
        /// Name of the new token.
        name: String,
        /// Days until it expires, if it does.
        days: Option<u32>,
    },
    /// `DROP TOKEN`, of the user that sends it.
    DropToken {
        /// Name of the token.
        name: String,
    },
    /// `SHOW TOKENS`.
    ShowTokens,
    /// Roles and grants.
    Grants(GrantStatement),
}

/// A password, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Parses a whole statement; `None` if it is of another kind.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<UserStatement>> {
    Ok(Some(if reader.take(&["create", "user"]) {
        let (name, password) = (reader.name("CREATE USER")?, password(reader, "CREATE USER")?);
        UserStatement::Create { name, password, is_admin: reader.take(&["admin"]) }
    } else if reader.take(&["alter", "user"]) {
        UserStatement::SetPassword { name: reader.name("ALTER USER")?, password: password(reader, "ALTER USER")? }
    } else if reader.take(&["drop", "user"]) {
        let if_exists = reader.take(&["if", "exists"]);
        UserStatement::Drop { name: reader.name("DROP USER")?, if_exists }
    } else if reader.take(&["show", "users"]) {
        UserStatement::Show
    } else if reader.take(&["create", "token"]) {
        UserStatement::CreateToken { name: reader.name("CREATE TOKEN")?, days: days(reader)? }
    } else if reader.take(&["drop", "token"]) {
        UserStatement::DropToken { name: reader.name("DROP TOKEN")? }
    } else if reader.take(&["show", "tokens"]) {
        UserStatement::ShowTokens
    } else {
        return Ok(grants::parse(reader)?.map(UserStatement::Grants));
    }))
}

fn password(reader: &mut TokenReader, clause: &str) -> Result<Password> {
    reader.take(&["with"]);
    reader.expect("password", clause)?;
    // An error must not repeat what stands where the password should be.
    let here = reader.position();
    match reader.quoted() {
        Some(text) => Ok(Password(text)),
        None => Err(Error::invalid(format!("{clause}: expected the password as a quoted string")).at(here)),
    }
}

fn days(reader: &mut TokenReader) -> Result<Option<u32>> {
    if !reader.take(&["expires", "in"]) {
        return Ok(None);
    }
    let here = reader.position();
    let days = reader.parse("CREATE TOKEN ... EXPIRES IN", Parser::parse_literal_uint)?;
    if !reader.take(&["days"]) {
        reader.expect("day", "CREATE TOKEN ... EXPIRES IN")?;
    }
    let days = u32::try_from(days).ok().filter(|days| *days > 0);
    let wrong = || Error::invalid("CREATE TOKEN ... EXPIRES IN: no token can expire after that many days").at(here);
    days.map(Some).ok_or_else(wrong)
}

/// A statement as it may be shown to others: without what may be a password. It need not be valid.
///
/// ```
/// use bergmill_statement::without_passwords;
///
/// assert_eq!(without_passwords("create user ada password 'hidden' admin"), "create user ada password '***'");
/// assert_eq!(without_passwords("SELECT 'shown'"), "SELECT 'shown'");
/// ```
pub fn without_passwords(sql: &str) -> Cow<'_, str> {
    let may_hold_one = match TokenReader::new(sql) {
        Ok(reader) => reader.is_next(&["create", "user"]) || reader.is_next(&["alter", "user"]),
        // It has no tokens, for example because a quote is missing.
        Err(_) => {
            let lower = sql.to_ascii_lowercase();
            lower.contains("user") && (lower.contains("create") || lower.contains("alter"))
        }
    };
    match sql.find(['\'', '$']).filter(|_| may_hold_one) {
        Some(quote) => Cow::Owned(format!("{}'***'", &sql[..quote])),
        None => Cow::Borrowed(sql),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Statement, parse as parse_statement};

    fn parse(sql: &str) -> UserStatement {
        match parse_statement(sql).unwrap_or_else(|e| panic!("{sql}: {e}")) {
            Statement::Users(statement) => statement,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn users_and_tokens_are_changed_and_shown() {
        let (ada, secret) = (|| "ada".to_string(), || Password("it's".to_string()));
        for (sql, expected) in [
            (
                "CREATE USER Ada PASSWORD 'it''s'",
                UserStatement::Create { name: ada(), password: secret(), is_admin: false },
            ),
            (
                "create user ada with password 'it''s' admin;",
                UserStatement::Create { name: ada(), password: secret(), is_admin: true },
            ),
            ("ALTER USER ada PASSWORD 'it''s'", UserStatement::SetPassword { name: ada(), password: secret() }),
            ("DROP USER ada", UserStatement::Drop { name: ada(), if_exists: false }),
            (
                "DROP USER IF EXISTS \"Ada@x.org\"",
                UserStatement::Drop { name: "Ada@x.org".to_string(), if_exists: true },
            ),
            ("SHOW USERS", UserStatement::Show),
            ("CREATE TOKEN ada", UserStatement::CreateToken { name: ada(), days: None }),
            ("CREATE TOKEN ada EXPIRES IN 90 DAYS", UserStatement::CreateToken { name: ada(), days: Some(90) }),
            ("CREATE TOKEN ada EXPIRES IN 1 DAY", UserStatement::CreateToken { name: ada(), days: Some(1) }),
            ("DROP TOKEN ada", UserStatement::DropToken { name: ada() }),
            ("SHOW TOKENS", UserStatement::ShowTokens),
        ] {
            assert_eq!(parse(sql), expected, "{sql}");
        }
    }

    #[test]
    fn errors_do_not_repeat_passwords() {
        for sql in [
            "CREATE USER ada PASSWORD hidden",
            "CREATE USER ada PASSWORD $$hidden$$",
            "CREATE USER ada PASSWORD",
            "ALTER USER ada WITH PASSWORD 7",
        ] {
            let error = parse_statement(sql).unwrap_err().to_string();
            assert!(error.contains("expected the password as a quoted string") && !error.contains("hidden"), "{error}");
        }
        let error = parse_statement("CREATE TOKEN ada EXPIRES IN 0 DAYS").unwrap_err().to_string();
        assert!(error.contains("that many days"), "{error}");
        let shown = format!("{:?}", parse("CREATE USER ada PASSWORD 'hidden'"));
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn statements_are_shown_without_passwords() {
        for sql in [
            "CREATE USER ada PASSWORD 'hidden'",
            "/* 'x' */ alter  user ada password 'hidden'",
            "ALTER USER ada PASS 'hidden",
            "create user ada password $$hidden$$",
            "CREATE USER ada PASSWORD 'hidden', 'hidden",
        ] {
            let shown = without_passwords(sql);
            assert!(!shown.contains("hidden") && shown.ends_with("'***'"), "{shown}");
        }
        for sql in ["SELECT 'a' FROM users", "SELECT 'a", "DROP USER ada", "CREATE TABLE user (a TEXT DEFAULT 'x')"] {
            assert_eq!(without_passwords(sql), sql);
        }
    }
}
