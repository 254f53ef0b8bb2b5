//! Statements about roles and grants; and how grants follow their tables: who creates a table has all privileges on it,
//! and they go when it is dropped.

use bergmill_access::{Held, HeldRight, Holder, Object, Privileges};
use bergmill_catalog::{NewView, QualifiedName};
use bergmill_gateway::Caller;
use bergmill_statement::{GrantStatement, Granted, Grantee, GranteeKind, Privilege, Securable};

use crate::define::qualified;
use crate::describe::Rows;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::rights;
use crate::session::StatementSession;
use crate::users::only_admin;

impl Scheduler {
    /// Runs a statement that returns no rows.
    pub(crate) async fn change_grants(&self, statement: GrantStatement, session: &StatementSession) -> Result<()> {
        let (access, caller) = (self.users()?, session.caller.as_ref());
        match statement {
            GrantStatement::CreateRole { name } => {
                only_admin(caller, "create roles")?;
                access.create_role(&name).await?;
            }
            GrantStatement::DropRole { name, if_exists } => {
                only_admin(caller, "drop roles")?;
                match access.drop_role(&name).await {
                    Err(e) if if_exists && e.kind() == bergmill_access::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
            GrantStatement::Grant { what, to } => {
                only_admin(caller, "grant anything")?;
                match what {
                    Granted::Role(role) => access.grant_role(&role, &access.holder(&to).await?).await?,
                    Granted::Privileges { privileges, on } => {
                        let (on, to) = (existing(&on, session).await?, access.holder(&to).await?);
                        access.grant(&to, &on, privileges.into_iter().collect()).await?;
                    }
                }
            }
            GrantStatement::Revoke { what, from } => {
                only_admin(caller, "revoke anything")?;
                let from = access.holder(&from).await?;
                match what {
                    Granted::Role(role) => access.revoke_role(&role, &from).await?,
                    Granted::Privileges { privileges, on } => {
                        access.revoke(&from, &named(&on, session)?, privileges.into_iter().collect()).await?;
                    }
                }
            }
            GrantStatement::ShowRoles | GrantStatement::ShowGrants(_) => {
                return Err(Error::new(ErrorKind::InvalidInput, "this statement returns rows; send it as a query"));
            }
        }
        Ok(())
    }

    /// The rows of a statement that returns some.
    pub(crate) async fn list_grants(&self, statement: &GrantStatement, caller: Option<&Caller>) -> Result<Rows> {
        let access = self.users()?;
        let restricted = caller.filter(|caller| !caller.is_admin);
        let own = restricted.map(|caller| Holder { kind: GranteeKind::User, name: caller.user.clone() });
        match statement {
            GrantStatement::ShowRoles => {
                let names = match own {
                    Some(own) => access.roles_of(&own).await?,
                    None => access.roles().await?,
                };
                Ok(names.into_iter().map(|name| vec![Some(name)]).collect())
            }
            GrantStatement::ShowGrants(of) => {
                let held = match (own, of) {
                    (None, None) => access.grants().await?,
                    (None, Some(of)) => access.grants_of(&access.holder(of).await?).await?,
                    (Some(own), None) => access.grants_of(&own).await?,
                    (Some(own), Some(of)) => {
                        let roles = access.roles_of(&own).await?;
                        // Before the name is looked up, because the names of others are not for everyone.
                        let asked = own_or_role(&own, &roles, of);
                        let asked = asked.ok_or_else(|| rights::only_admin(&own.name, "list the grants of others"))?;
                        access.grants_of(&asked).await?
                    }
                };
                Ok(held.into_iter().map(row).collect())
            }
            _ => Err(Error::new(ErrorKind::InvalidInput, "this statement returns no rows; send it as an update")),
        }
    }

    /// Gives the user of a statement all privileges on a table or view that the statement has created.
    pub(crate) async fn own(&self, table: &QualifiedName, id: String, session: &StatementSession) -> Result<()> {
        let Some(caller) = session.caller.as_ref().filter(|caller| !caller.is_admin) else { return Ok(()) };
        let user = Holder { kind: GranteeKind::User, name: caller.user.clone() };
        let all: Privileges = Privilege::OF_TABLES.into_iter().collect();
        let granted = self.users()?.grant(&user, &object(table, id), all).await;
        granted.map_err(|e| {
            let what = format!("{table} was created, but {user} could not be given its privileges: {e}");
            Error::new(Error::from(e).kind(), what)
        })
    }

    /// Makes the user of a statement the owner of a view whose query it wrote, with all privileges if the view is new.
    pub(crate) async fn own_view(
        &self,
        view: &QualifiedName,
        written: &NewView,
        is_new: bool,
        session: &StatementSession,
    ) -> Result<()> {
        let (Some(access), Some(caller)) = (&self.access, &session.caller) else { return Ok(()) };
        // If someone else has replaced the view since, its query is not the one whose owner this makes.
        let view_now = self.warehouse.load_view(view).await?;
        access.own_view(&view_now.id(), &written.definition(), &caller.user).await?;
        if is_new { self.own(view, view_now.id(), session).await } else { Ok(()) }
    }

    /// What the grants on a table or view are on, for when it is dropped or renamed; `None` if there can be none.
    pub(crate) async fn granted_on(&self, table: &QualifiedName, session: &StatementSession) -> Option<Object> {
        self.access.as_ref()?;
        // A table with damaged metadata can be dropped too: its grants are for an identity that is not used again.
        let id = session.tables.identity(table).await.ok().flatten()?;
        Some(object(table, id))
    }

    /// Removes the grants on a table or view that was dropped, and its owner.
    pub(crate) async fn dropped(&self, gone: Option<&Object>) {
        if let (Some(access), Some(gone @ Object::Table { id, .. })) = (&self.access, gone)
            && let Err(e) = async { access.forget_view(id).await.and(access.forget_object(gone).await) }.await
        {
            tracing::warn!("grants on {gone}, which was dropped, remain without effect: {e}");
        }
    }

    /// Lets the grants on a table follow it to its new name.
    pub(crate) async fn renamed(&self, from: Option<&Object>, to: &QualifiedName) -> Result<()> {
        if let (Some(access), Some(from @ Object::Table { id, .. })) = (&self.access, from) {
            access.rename_object(from, &object(to, id.clone())).await.map_err(|e| {
                let what = format!("{from} was renamed to {to}, but not in its grants, which must be made again: {e}");
                Error::new(Error::from(e).kind(), what)
            })?;
        }
        Ok(())
    }

    /// Removes the grants on a namespace that was dropped, or that is new: those of an earlier one of its name.
    pub(crate) async fn forget_namespace(&self, name: &str) -> Result<()> {
        match &self.access {
            Some(access) => Ok(access.forget_object(&Object::Namespace(name.to_string())).await?),
            None => Ok(()),
        }
    }
}

/// The columns of a statement's rows; `None` if it returns none.
pub(crate) fn columns(statement: &GrantStatement) -> Option<&'static [&'static str]> {
    match statement {
        GrantStatement::ShowRoles => Some(&["role_name"]),
        GrantStatement::ShowGrants(_) => Some(&["grantee_type", "grantee", "privileges", "object_type", "object"]),
        GrantStatement::CreateRole { .. }
        | GrantStatement::DropRole { .. }
        | GrantStatement::Grant { .. }
        | GrantStatement::Revoke { .. } => None,
    }
}

fn row(Held { holder, what }: Held) -> Vec<Option<String>> {
    let (privileges, kind, object) = match what {
        HeldRight::Role(role) => (None, "role", role),
        HeldRight::Grant(grant) => {
            let privileges = Some(grant.privileges.to_string());
            match grant.on {
                Object::Namespace(name) => (privileges, "namespace", name),
                Object::Table { namespace, name, .. } => (privileges, "table", format!("{namespace}.{name}")),
            }
        }
    };
    vec![Some(holder.kind.to_string()), Some(holder.name), privileges, Some(kind.to_string()), Some(object)]
}

/// The holder that a statement names, if it is the user itself or one of its roles.
fn own_or_role(own: &Holder, roles: &[String], named: &Grantee) -> Option<Holder> {
    let is_role = named.kind != Some(GranteeKind::User) && roles.contains(&named.name);
    if named.kind != Some(GranteeKind::Role) && named.name == own.name {
        return Some(own.clone());
    }
    is_role.then(|| Holder { kind: GranteeKind::Role, name: named.name.clone() })
}

/// What privileges are granted on, which must exist.
async fn existing(on: &Securable, session: &StatementSession) -> Result<Object> {
    match on {
        Securable::Namespace(name) => {
            session.tables.list_namespace(name).await?;
            Ok(Object::Namespace(name.clone()))
        }
        Securable::Table(table) => {
            let name = qualified(table, &session.settings.namespace)?;
            match session.tables.identity(&name).await? {
                Some(id) => Ok(object(&name, id)),
                None => Err(session.tables.not_found(&name).await.into()),
            }
        }
    }
}

/// What privileges are revoked on, which may be gone.
fn named(on: &Securable, session: &StatementSession) -> Result<Object> {
    Ok(match on {
        Securable::Namespace(name) => Object::Namespace(name.clone()),
        Securable::Table(table) => object(&qualified(table, &session.settings.namespace)?, String::new()),
    })
}

fn object(table: &QualifiedName, id: String) -> Object {
    Object::Table { namespace: table.namespace(), name: table.name().to_string(), id }
}
