//! What a statement may see and do: the rights of its user, or below a view those of the view's owner.
//!
//! DataFusion finds tables through [`NamespaceCatalog`], so the guard is there: a table that the user may not know of
//! is not found, whatever the statement, and one that it may not read has columns only. What changes a table by its
//! name is checked by [`NamespaceCatalog::check`]. A view reads its tables with the rights of its owner, or with those
//! of the statement's user if it has none, however many views are in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bergmill_access::{self as access, Access, Privileges, Rights};
use bergmill_statement::{Privilege, identifier};
use iceberg::{NamespaceIdent, TableIdent};

use super::{Listing, Names, NamespaceCatalog};
use crate::error::{Error, ErrorKind, Result};
use crate::pointers::store::missing;
use crate::table::views::View;

/// The rights of a statement.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Those of its user.
    user: Arc<Rights>,
    /// Those that apply here.
    rights: Arc<Rights>,
    /// Who owns which view; `None` where there are no users.
    owners: Option<Access>,
    /// The views that were found, and the rights with which they read. Clones share them.
    views: Arc<Mutex<Vec<OwnedView>>>,
}

/// A view, as a statement found it.
#[derive(Debug, Clone)]
struct OwnedView {
    id: String,
    definition: String,
    /// The rights of its owner; `None` if it has none.
    owner: Option<Arc<Rights>>,
}

impl Guard {
    /// The rights of a user; `owners` knows the owners of views.
    pub fn new(rights: Arc<Rights>, owners: Option<Access>) -> Self {
        Self { user: Arc::clone(&rights), rights, owners, views: Arc::default() }
    }

    /// Everything is allowed, as where there are no users.
    pub fn open() -> Self {
        Self::new(Arc::new(Rights::unrestricted()), None)
    }

    pub(super) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The error of a user who may know of a table or namespace, but lacks these privileges on it.
    fn refusal(&self, lacking: Privileges, kind: &str, name: &str) -> Error {
        let user = self.rights.user();
        let (on, to) = (format!("{} {name}", kind.to_uppercase()), identifier(user));
        let what = format!(
            "user {user} has no {lacking} on {kind} {name}; an administrator can GRANT {lacking} ON {on} TO USER {to}"
        );
        Error::new(ErrorKind::Forbidden, what)
    }

    fn found(&self) -> MutexGuard<'_, Vec<OwnedView>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of reading a table or view without `SELECT`.
    pub(super) fn unread(&self, table: &TableIdent) -> Error {
        self.refusal(Privilege::Select.into(), "table", &in_sql(table))
    }
}

impl NamespaceCatalog {
    /// Checks that the statement's user may know of a table or view.
    ///
    /// # Errors
    /// `NotFound`, as for a table that does not exist.
    pub async fn check_seen(&self, table: &TableIdent) -> Result<()> {
        self.check(table, Privileges::NONE).await
    }

    /// Checks that the statement's user has these privileges on a table or view.
    ///
    /// # Errors
    /// `NotFound` if it may not know of the table, as for one that does not exist, and `Forbidden` if it may.
    pub async fn check(&self, table: &TableIdent, needed: Privileges) -> Result<()> {
        if self.guard.rights.is_unrestricted() {
            return Ok(());
        }
        let allowed = self.privileges(table).await?;
        if allowed.is_empty() {
            return Err(self.not_found(table).await);
        }
        let lacking = needed.without(allowed);
        if lacking.is_empty() { Ok(()) } else { Err(self.guard.refusal(lacking, "table", &in_sql(table))) }
    }

    /// Checks that the statement's user has a privilege on a namespace.
    ///
    /// # Errors
    /// `NotFound` if it may not know of the namespace, as for one that does not exist, and `Forbidden` if it may.
    pub async fn check_namespace(&self, namespace: &str, needed: Privilege) -> Result<()> {
        let rights = &self.guard.rights;
        if rights.is_unrestricted() || rights.on_namespace(namespace).contains(needed) {
            return Ok(());
        }
        if rights.sees_namespace(namespace) {
            return Err(self.guard.refusal(needed.into(), "namespace", &identifier(namespace)));
        }
        Err(self.namespace_not_found(&NamespaceIdent::from_strs(namespace.split('.'))?).await)
    }

    /// What the statement's user may do with a table or view; nothing, if there is none of that name.
    async fn privileges(&self, table: &TableIdent) -> Result<Privileges> {
        let (namespace, name) = (table.namespace().to_string(), table.name());
        // A name that no grant is about is not looked up, so that not even the time it takes says whether it exists.
        if !self.guard.rights.may_see_table(&namespace, name) {
            return Ok(Privileges::NONE);
        }
        let id = self.identity(table).await?;
        Ok(id.map_or(Privileges::NONE, |id| self.guard.rights.on_table(&namespace, name, &id)))
    }

    /// The identity of a table or view, for grants on it; `None` if there is none of that name.
    pub async fn identity(&self, table: &TableIdent) -> Result<Option<String>> {
        let Some(ident) = self.namespace(&table.namespace().to_string()).ident(table.name()) else { return Ok(None) };
        Ok(match self.pin(&ident).await? {
            Some(table) => Some(table.id()),
            None => self.warehouse.find_view(&ident).await?.map(|view| view.id()),
        })
    }

    /// The names of which the statement's user may know.
    pub(super) async fn seen(&self, namespace: &NamespaceIdent, names: Names) -> Names {
        let rights = &self.guard.rights;
        let within = namespace.to_string();
        if rights.sees_tables_of(&within) {
            return names;
        }
        let mut seen = Names::default();
        for name in names.all.into_iter().filter(|name| rights.may_see_table(&within, name)) {
            let table = TableIdent::new(namespace.clone(), name.clone());
            match self.privileges(&table).await {
                Ok(allowed) if allowed.is_empty() => {}
                Ok(_) => seen.all.push(name),
                // Without its metadata it is unknown whether the grant is for this table.
                Err(e) => tracing::warn!("table {table} is not listed: {e}"),
            }
        }
        seen.views = names.views.into_iter().filter(|name| seen.all.contains(name)).collect();
        seen
    }

    /// The error of a table that is not there, or of which the user may not know. It only suggests names of which the
    /// user may know.
    pub async fn not_found(&self, table: &TableIdent) -> Error {
        let Guard { user, rights, .. } = &self.guard;
        if !rights.is_unrestricted() && rights.user() != user.user() {
            let what = format!("table {table} not found with the rights of user {}, who owns the view", rights.user());
            return Error::new(ErrorKind::NotFound, what);
        }
        if user.is_unrestricted() {
            return self.warehouse.not_found(table).await;
        }
        // An error while finding a hint is ignored.
        let seen = self.with_rights(Arc::clone(user));
        let listed = seen.list().await.cloned().unwrap_or_default();
        let mut namespaces = Vec::new();
        let mut tables = Vec::new();
        for (namespace, names) in listed {
            let Ok(namespace) = NamespaceIdent::from_strs(namespace.split('.')) else { continue };
            tables.extend(names.all.into_iter().map(|name| TableIdent::new(namespace.clone(), name)));
            namespaces.push(namespace);
        }
        match namespaces.contains(table.namespace()) {
            true => missing::table(table, &tables),
            false => missing::namespace(table.namespace(), &namespaces),
        }
    }

    /// The error of a namespace that is not there, or of which the user may not know.
    pub(super) async fn namespace_not_found(&self, namespace: &NamespaceIdent) -> Error {
        let seen = self.with_rights(Arc::clone(&self.guard.user));
        // An error while finding a hint is ignored.
        missing::namespace(namespace, &seen.namespaces().await.unwrap_or_default())
    }

    /// Whether a statement with the rights of `now` may still see what was found here: neither the rights of its user
    /// have changed, nor those of the owners of views.
    pub async fn are_seen_by(&self, now: &Guard) -> bool {
        if self.guard.user != now.user {
            return false;
        }
        let Some(owners) = &now.owners else { return true };
        let found = self.guard.found().clone();
        for OwnedView { id, definition, owner } in found {
            // Whoever plans the statement again gets the error.
            if !matches!(owners.rights_of_owner(&id, &definition).await, Ok(now) if now == owner) {
                return false;
            }
        }
        true
    }

    /// These tables, as the query of a view sees them.
    pub(super) async fn below(&self, view: &View) -> Result<Self> {
        let (Some(owners), Ok(definition)) = (&self.guard.owners, view.definition()) else { return Ok(self.clone()) };
        let owner = owners.rights_of_owner(&view.id(), &definition).await.map_err(|e| of_access(&e))?;
        self.guard.found().push(OwnedView { id: view.id(), definition, owner: owner.clone() });
        // Not those of the owner of a view around it, who did not write this query.
        Ok(self.with_rights(owner.unwrap_or_else(|| Arc::clone(&self.guard.user))))
    }

    /// The same tables, seen with other rights.
    fn with_rights(&self, rights: Arc<Rights>) -> Self {
        if Arc::ptr_eq(&rights, &self.guard.rights) {
            return self.clone();
        }
        Self { guard: Guard { rights, ..self.guard.clone() }, listing: Listing::default(), ..self.clone() }
    }
}

pub(super) fn in_sql(table: &TableIdent) -> String {
    format!("{}.{}", identifier(&table.namespace().to_string()), identifier(table.name()))
}

fn of_access(e: &access::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("the owner of a view: {e}"))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
