//! Roles, and what users and roles may do.
//!
//! ```sql
//! CREATE ROLE name
//! DROP ROLE [IF EXISTS] name
//! SHOW ROLES
//! GRANT  {privilege, ... | ALL [PRIVILEGES]} ON {[TABLE] table | NAMESPACE namespace} TO   [USER | ROLE] name
//! REVOKE {privilege, ... | ALL [PRIVILEGES]} ON {[TABLE] table | NAMESPACE namespace} FROM [USER | ROLE] name
//! GRANT  role TO   [USER | ROLE] name
//! REVOKE role FROM [USER | ROLE] name
//! SHOW GRANTS [FOR [USER | ROLE] name]
//! ```

use std::fmt;

use crate::error::{Error, Result};
use crate::names::{CATALOG, TableName, identifier};
use crate::token_reader::{TokenReader, is_word};

/// What may be done with a table, or in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// Reading rows.
    Select,
    /// Adding rows.
    Insert,
    /// Changing rows.
    Update,
    /// Removing rows.
    Delete,
    /// Changing the definition, branches and tags.
    Alter,
    /// Dropping, renaming and replacing.
    Drop,
    /// Creating tables and views in a namespace.
    Create,
}

impl Privilege {
    /// All privileges, which is what `ALL` on a namespace stands for.
    pub const ALL: [Self; 7] =
        [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Alter, Self::Drop, Self::Create];

    /// Those of a table, which is what `ALL` on a table stands for.
    pub const OF_TABLES: [Self; 6] = [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Alter, Self::Drop];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Alter => "ALTER",
            Self::Drop => "DROP",
            Self::Create => "CREATE",
        }
    }
}

/// A statement about roles and grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantStatement {
    /// `CREATE ROLE`.
    CreateRole {
        /// Name of the new role.
        name: String,
    },
    /// `DROP ROLE`.
    DropRole {
        /// The role.
        name: String,
        /// Whether a missing role is no error.
        if_exists: bool,
    },
    /// `SHOW ROLES`.
    ShowRoles,
    /// `GRANT`.
    Grant {
        /// What is granted.
        what: Granted,
        /// Who gets it.
        to: Grantee,
    },
    /// `REVOKE`.
    Revoke {
        /// What is revoked.
        what: Granted,
        /// Who loses it.
        from: Grantee,
    },
    /// `SHOW GRANTS`: of one user or role, or of all that the sender may see.
    ShowGrants(Option<Grantee>),
}

/// What a statement grants or revokes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// Privileges on a table or a namespace.
    Privileges {
        /// The privileges.
        privileges: Vec<Privilege>,
        /// What they are on.
        on: Securable,
    },
    /// All that a role may do.
    Role(String),
}

/// What privileges are granted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Securable {
    /// A namespace: all its tables and views, now and later.
    Namespace(String),
    /// A table or view.
    Table(TableName),
}

/// Who may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantee {
    /// Name of a user or role.
    pub name: String,
    /// Which of them it is, if the statement says so.
    pub kind: Option<GranteeKind>,
}

/// The kind of a [`Grantee`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GranteeKind {
    /// A user.
    User,
    /// A role.
    Role,
}

impl fmt::Display for GranteeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Role => "role",
        })
    }
}

impl fmt::Display for Grantee {
    /// As in SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{} ", kind.to_string().to_uppercase())?;
        }
        f.write_str(&identifier(&self.name))
    }
}

/// Parses a whole statement; `None` if it is of another kind.
pub(crate) fn parse(reader: &mut TokenReader) -> Result<Option<GrantStatement>> {
    Ok(Some(if reader.take(&["create", "role"]) {
        GrantStatement::CreateRole { name: reader.name("CREATE ROLE")? }
    } else if reader.take(&["drop", "role"]) {
        let if_exists = reader.take(&["if", "exists"]);
        GrantStatement::DropRole { name: reader.name("DROP ROLE")?, if_exists }
    } else if reader.take(&["show", "roles"]) {
        GrantStatement::ShowRoles
    } else if reader.take(&["show", "grants"]) {
        let of = if reader.take(&["for"]) { Some(grantee(reader, "SHOW GRANTS FOR")?) } else { None };
        GrantStatement::ShowGrants(of)
    } else if reader.take(&["grant"]) {
        let what = granted(reader, "GRANT", "to")?;
        GrantStatement::Grant { what, to: grantee(reader, "GRANT ... TO")? }
    } else if reader.take(&["revoke"]) {
        let what = granted(reader, "REVOKE", "from")?;
        GrantStatement::Revoke { what, from: grantee(reader, "REVOKE ... FROM")? }
    } else {
        return Ok(None);
    }))
}

/// What stands before `TO` or `FROM`, which is taken as well.
fn granted(reader: &mut TokenReader, clause: &str, before: &str) -> Result<Granted> {
    if is_role(reader, before) {
        let role = reader.name(clause)?;
        reader.expect(before, clause)?;
        return Ok(Granted::Role(role));
    }
    let here = reader.position();
    let listed = match reader.take(&["all"]) {
        true => {
            reader.take(&["privileges"]);
            None
        }
        false => Some(privileges(reader, clause)?),
    };
    reader.expect("on", clause)?;
    let on = securable(reader, clause)?;
    let of_on = match &on {
        Securable::Namespace(_) => Privilege::ALL.as_slice(),
        Securable::Table(_) => Privilege::OF_TABLES.as_slice(),
    };
    let privileges = listed.unwrap_or_else(|| of_on.to_vec());
    if privileges.iter().any(|privilege| !of_on.contains(privilege)) {
        let what = format!("{clause}: CREATE is a privilege on a namespace; use ON NAMESPACE name");
        return Err(Error::invalid(what).at(here));
    }
    reader.expect(before, clause)?;
    Ok(Granted::Privileges { privileges, on })
}

/// Whether the name of a role and then `before` come next.
fn is_role(reader: &TokenReader, before: &str) -> bool {
    let is_privilege = Privilege::ALL.iter().any(|privilege| reader.is_next(&[privilege.name()]));
    is_word(reader.peek_nth(1), before) && !is_privilege
}

fn privileges(reader: &mut TokenReader, clause: &str) -> Result<Vec<Privilege>> {
    let mut all: Vec<Privilege> = Vec::new();
    loop {
        let found = Privilege::ALL.into_iter().find(|privilege| reader.take(&[privilege.name()]));
        let Some(privilege) = found else {
            let known = Privilege::ALL.map(Privilege::name).join(", ");
            return Err(reader.unexpected(clause, &format!("one of {known} or ALL, or the name of one role")));
        };
        if !all.contains(&privilege) {
            all.push(privilege);
        }
        if !reader.comma() {
            return Ok(all);
        }
    }
}

fn securable(reader: &mut TokenReader, clause: &str) -> Result<Securable> {
    let clause = format!("{clause} ... ON");
    if !reader.take_any(&["namespace", "schema"]) {
        reader.take(&["table"]);
        return Ok(Securable::Table(reader.table(&clause)?));
    }
    let mut names = reader.names(&clause)?;
    if names.len() > 1 && names[0] == CATALOG {
        names.remove(0);
    }
    Ok(Securable::Namespace(names.join(".")))
}

fn grantee(reader: &mut TokenReader, clause: &str) -> Result<Grantee> {
    let kind = match () {
        () if reader.take(&["user"]) => Some(GranteeKind::User),
        () if reader.take(&["role"]) => Some(GranteeKind::Role),
        () => None,
    };
    Ok(Grantee { name: reader.name(clause)?, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Statement, parse as parse_statement};
    use crate::users::UserStatement;

    fn parse(sql: &str) -> GrantStatement {
        match parse_statement(sql).unwrap_or_else(|e| panic!("{sql}: {e}")) {
            Statement::Users(UserStatement::Grants(statement)) => statement,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn grantee(name: &str, kind: Option<GranteeKind>) -> Grantee {
        Grantee { name: name.to_string(), kind }
    }

    #[test]
    fn roles_are_changed_and_shown() {
        let name = || "analyst".to_string();
        for (sql, expected) in [
            ("CREATE ROLE Analyst", GrantStatement::CreateRole { name: name() }),
            ("DROP ROLE analyst;", GrantStatement::DropRole { name: name(), if_exists: false }),
            ("drop role if exists analyst", GrantStatement::DropRole { name: name(), if_exists: true }),
            ("SHOW ROLES", GrantStatement::ShowRoles),
            ("SHOW GRANTS", GrantStatement::ShowGrants(None)),
            ("SHOW GRANTS FOR analyst", GrantStatement::ShowGrants(Some(grantee("analyst", None)))),
            (
                "SHOW GRANTS FOR ROLE analyst",
                GrantStatement::ShowGrants(Some(grantee("analyst", Some(GranteeKind::Role)))),
            ),
        ] {
            assert_eq!(parse(sql), expected, "{sql}");
        }
    }

    #[test]
    fn privileges_and_roles_are_granted_and_revoked() {
        let table = |name: &str| TableName { catalog: None, namespace: Some("raw".into()), table: name.into() };
        let on_table = |privileges: &[Privilege], name: &str| Granted::Privileges {
            privileges: privileges.to_vec(),
            on: Securable::Table(table(name)),
        };
        let on_raw = |privileges: &[Privilege]| Granted::Privileges {
            privileges: privileges.to_vec(),
            on: Securable::Namespace("raw".into()),
        };
        let (ada, role) = (|| grantee("ada", Some(GranteeKind::User)), || grantee("etl", Some(GranteeKind::Role)));
        for (sql, what, to) in [
            ("SELECT ON TABLE raw.events TO USER ada", on_table(&[Privilege::Select], "events"), ada()),
            ("select on raw.events to ada", on_table(&[Privilege::Select], "events"), grantee("ada", None)),
            (
                "INSERT, SELECT, INSERT ON raw.events TO ROLE etl",
                on_table(&[Privilege::Insert, Privilege::Select], "events"),
                role(),
            ),
            ("ALL PRIVILEGES ON TABLE raw.events TO ROLE etl", on_table(&Privilege::OF_TABLES, "events"), role()),
            ("ALL ON NAMESPACE bergmill.raw TO ROLE etl", on_raw(&Privilege::ALL), role()),
            ("CREATE ON SCHEMA raw TO ROLE etl", on_raw(&[Privilege::Create]), role()),
            ("etl TO USER ada", Granted::Role("etl".into()), ada()),
            ("\"select\" TO USER ada", Granted::Role("select".into()), ada()),
            ("etl TO \"Ada@x.org\"", Granted::Role("etl".into()), grantee("Ada@x.org", None)),
        ] {
            let expected = GrantStatement::Grant { what: what.clone(), to: to.clone() };
            assert_eq!(parse(&format!("GRANT {sql}")), expected, "{sql}");
            let (before, after) = sql.rsplit_once(" TO ").or_else(|| sql.rsplit_once(" to ")).unwrap();
            let expected = GrantStatement::Revoke { what, from: to };
            assert_eq!(parse(&format!("REVOKE {before} FROM {after}")), expected, "{sql}");
        }
    }

    #[test]
    fn errors_say_what_was_expected() {
        let check = |sql: &str, expected: &str| {
            let error = parse_statement(sql).unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        };
        check("GRANT CREATE ON TABLE raw.t TO ada", "use ON NAMESPACE name (line 1, column 7)");
        check("GRANT READ ON raw.t TO ada", "expected one of SELECT, INSERT");
        check("GRANT SELECT, TO ada", "expected one of SELECT, INSERT");
        check("GRANT SELECT TO ada", "GRANT: expected ON, but there is `TO`");
        check("GRANT SELECT raw.t TO ada", "GRANT: expected ON, but there is `raw`");
        check("GRANT SELECT ON raw.t", "GRANT: expected TO, but the statement ends");
        check("GRANT SELECT ON raw.t FROM ada", "GRANT: expected TO, but there is `FROM`");
        check("REVOKE SELECT ON raw.t TO ada", "REVOKE: expected FROM, but there is `TO`");
        check("GRANT SELECT ON raw.t TO", "GRANT ... TO: expected a name, but the statement ends");
        check("GRANT etl TO ada WITH GRANT OPTION", "unexpected `WITH` after the statement");
    }

    #[test]
    fn grantees_are_shown_as_in_sql() {
        assert_eq!(grantee("ada", Some(GranteeKind::User)).to_string(), "USER ada");
        assert_eq!(grantee("Ada", None).to_string(), "\"Ada\"");
    }
}
