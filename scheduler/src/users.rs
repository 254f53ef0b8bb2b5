//! Statements about users and their tokens.

use bergmill_access::{Access, TokenInfo};
use bergmill_gateway::Caller;
use bergmill_statement::UserStatement;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use datafusion::logical_expr::LogicalPlan;

use crate::describe::rows;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::session::StatementSession;
use crate::{grants, rights};

impl Scheduler {
    /// Runs a statement that returns no rows.
    pub(crate) async fn change_users(&self, statement: UserStatement, session: &StatementSession) -> Result<()> {
        let (access, caller) = (self.users()?, session.caller.as_ref());
        match statement {
            UserStatement::Create { name, password, is_admin } => {
                only_admin(caller, "create users")?;
                access.add_user(&name, &password.0, is_admin).await?;
            }
            UserStatement::SetPassword { name, password } => {
                if caller.is_none_or(|caller| caller.user != name) {
                    only_admin(caller, "change the passwords of others")?;
                }
                access.set_password(&name, &password.0).await?;
            }
            UserStatement::Drop { name, if_exists } => {
                only_admin(caller, "drop users")?;
                match access.drop_user(&name).await {
                    Err(e) if if_exists && e.kind() == bergmill_access::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
            UserStatement::DropToken { name } => {
                let user = access.user(&logged_in(caller)?.user).await?;
                access.revoke_token(&user, &name).await?;
            }
            UserStatement::Grants(statement) => self.change_grants(statement, session).await?,
            UserStatement::Show | UserStatement::ShowTokens | UserStatement::CreateToken { .. } => {
                return Err(Error::new(ErrorKind::InvalidInput, "this statement returns rows; send it as a query"));
            }
        }
        Ok(())
    }

    /// Runs a statement that returns rows, and returns the plan of these rows.
    pub(crate) async fn list_users(&self, statement: &UserStatement, caller: Option<&Caller>) -> Result<LogicalPlan> {
        let access = self.users()?;
        let found = match statement {
            UserStatement::Show => {
                only_admin(caller, "list users")?;
                let users = access.users().await?;
                let role = |is_admin| Some(if is_admin { "admin" } else { "user" }.to_string());
                users.into_iter().map(|user| vec![Some(user.name), role(user.is_admin)]).collect()
            }
            UserStatement::ShowTokens => {
                let shown = |token: &TokenInfo| caller.is_none_or(|c| c.is_admin || c.user == token.user);
                let tokens = access.tokens().await?.into_iter().filter(shown);
                let row = |token: TokenInfo| {
                    let expires = token.expires.map(time);
                    vec![Some(token.user), token.name, Some(time(token.created)), expires]
                };
                tokens.map(row).collect()
            }
            UserStatement::CreateToken { name, days } => {
                let user = access.user(&logged_in(caller)?.user).await?;
                let lifetime = days.map(|days| TimeDelta::days(days.into()));
                vec![vec![Some(access.create_token(&user, name, lifetime).await?)]]
            }
            UserStatement::Grants(statement) => self.list_grants(statement, caller).await?,
            UserStatement::Create { .. }
            | UserStatement::SetPassword { .. }
            | UserStatement::Drop { .. }
            | UserStatement::DropToken { .. } => {
                let what = "this statement returns no rows; send it as an update";
                return Err(Error::new(ErrorKind::InvalidInput, what));
            }
        };
        rows(columns(statement).unwrap_or_default(), found)
    }

    pub(crate) fn users(&self) -> Result<&Access> {
        let without = || Error::new(ErrorKind::Unsupported, "this server was started without a place for users");
        self.access.as_ref().ok_or_else(without)
    }
}

/// The columns of a statement's rows; `None` if it returns none.
pub(crate) fn columns(statement: &UserStatement) -> Option<&'static [&'static str]> {
    match statement {
        UserStatement::Show => Some(&["user_name", "role"]),
        UserStatement::ShowTokens => Some(&["user_name", "token", "created_at", "expires_at"]),
        UserStatement::CreateToken { .. } => Some(&["token"]),
        UserStatement::Grants(statement) => grants::columns(statement),
        _ => None,
    }
}

/// Where nobody has to log in, everyone may do everything.
pub(crate) fn only_admin(caller: Option<&Caller>, what: &str) -> Result<()> {
    match caller {
        Some(caller) if !caller.is_admin => Err(rights::only_admin(&caller.user, what)),
        _ => Ok(()),
    }
}

fn logged_in(caller: Option<&Caller>) -> Result<&Caller> {
    let nobody = || Error::new(ErrorKind::InvalidInput, "a token stands for a user: create a user and log in first");
    caller.ok_or_else(nobody)
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
