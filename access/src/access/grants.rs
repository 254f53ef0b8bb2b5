//! Roles, and who has which rights. Each entry of the store has the grants of one user or role, so that a change of
//! them is atomic, and they go with it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bergmill_statement::{Grantee, GranteeKind};
use serde::{Deserialize, Serialize};

use super::{Access, FRESH, Record, bounded, check_name, no_user};
use crate::error::{Error, ErrorKind, Result};
use crate::rights::{Grant, Granted, Membership, Object, Privileges, Rights};
use crate::store::Kind;
use crate::token;

/// A user or role that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Which of them it is.
    pub kind: GranteeKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What a user or role has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who has it.
    pub holder: Holder,
    /// What it is.
    pub what: HeldRight,
}

/// The right in a [`Held`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldRight {
    /// Privileges on an object.
    Grant(Grant),
    /// All that this role has.
    Role(String),
}

/// What is kept of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Role {
    /// Differs from that of a dropped role of the same name, so that nobody has the new one.
    id: String,
    granted: Granted,
}

impl Role {
    fn parse(name: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::new(ErrorKind::Store, format!("the entry of role {name} is damaged: {e}")))
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::new(ErrorKind::Store, e.to_string()))
    }
}

impl Access {
    /// Adds a role, which has no rights yet.
    pub async fn create_role(&self, name: &str) -> Result<()> {
        check_name("role", name)?;
        let role = Role { id: token::new_generation()?, granted: Granted::default() };
        if !self.0.store.insert(Kind::Role, name, &role.text()?).await? {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("role {name} already exists")));
        }
        self.forget();
        Ok(())
    }

    /// Removes a role; those who had it lose its rights.
    pub async fn drop_role(&self, name: &str) -> Result<()> {
        if !self.0.store.remove(Kind::Role, name).await? {
            return Err(no_role(name));
        }
        self.forget();
        // Their entries name an identity that no role has anymore, so what remains after a failure gives no right.
        self.change_all(|granted| {
            let before = granted.roles.len();
            granted.roles.retain(|membership| membership.role != name);
            before != granted.roles.len()
        })
        .await
    }

    /// The names of all roles, sorted.
    pub async fn roles(&self) -> Result<Vec<String>> {
        Ok(self.0.store.list(Kind::Role).await?.into_iter().map(|(name, _)| name).collect())
    }

    /// The user or role that a statement names.
    pub async fn holder(&self, named: &Grantee) -> Result<Holder> {
        let name = &named.name;
        let exists = async |kind| Ok::<_, Error>(self.0.store.get(kind, name).await?.is_some());
        let kind = match named.kind {
            Some(GranteeKind::User) => {
                exists(Kind::User).await?.then_some(GranteeKind::User).ok_or_else(|| no_user(name))
            }
            Some(GranteeKind::Role) => {
                exists(Kind::Role).await?.then_some(GranteeKind::Role).ok_or_else(|| no_role(name))
            }
            None => match (exists(Kind::User).await?, exists(Kind::Role).await?) {
                (true, false) => Ok(GranteeKind::User),
                (false, true) => Ok(GranteeKind::Role),
                (true, true) => {
                    let what = format!("{name} is a user and a role; write USER {name} or ROLE {name}");
                    Err(Error::new(ErrorKind::Invalid, what))
                }
                (false, false) => {
                    let what = format!("there is no user or role {name}; SHOW USERS and SHOW ROLES list them");
                    Err(Error::new(ErrorKind::NotFound, what))
                }
            },
        };
        Ok(Holder { kind: kind?, name: name.clone() })
    }

    /// Gives privileges to a user or role, in addition to those that it has.
    pub async fn grant(&self, to: &Holder, on: &Object, privileges: Privileges) -> Result<()> {
        self.change_granted(to, |granted| {
            granted.add(on, privileges);
            Ok(())
        })
        .await
    }

    /// Takes privileges from a user or role; it may still have them by a role, or on the namespace of a table.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it had none of them itself.
    pub async fn revoke(&self, from: &Holder, on: &Object, privileges: Privileges) -> Result<()> {
        self.change_granted(from, |granted| match granted.remove(on, privileges) {
            true => Ok(()),
            false => {
                let what = format!(
                    "{from} itself has no {privileges} on {on}; SHOW GRANTS FOR {from} lists what it has, \
                     also by roles and on namespaces"
                );
                Err(Error::new(ErrorKind::NotFound, what))
            }
        })
        .await
    }

    /// Gives all that a role has, now and later, to a user or another role.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the role would have itself.
    pub async fn grant_role(&self, role: &str, to: &Holder) -> Result<()> {
        let text = self.0.store.get(Kind::Role, role).await?.ok_or_else(|| no_role(role))?;
        let record = Role::parse(role, &text)?;
        if to.kind == GranteeKind::Role {
            let within = self.roles_within(&record.granted).await?;
            if role == to.name || within.iter().any(|(name, _)| *name == to.name) {
                let what = format!("role {role} cannot be granted to {to}, which it has itself");
                return Err(Error::new(ErrorKind::Invalid, what));
            }
        }
        let membership = Membership { role: role.to_string(), id: record.id };
        self.change_granted(to, |granted| {
            granted.roles.retain(|known| known.role != role);
            granted.roles.push(membership.clone());
            granted.roles.sort_by(|a, b| a.role.cmp(&b.role));
            Ok(())
        })
        .await
    }

    /// Takes a role from a user or another role; it may still have it by a third one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it did not have the role itself.
    pub async fn revoke_role(&self, role: &str, from: &Holder) -> Result<()> {
        self.change_granted(from, |granted| {
            let before = granted.roles.len();
            granted.roles.retain(|known| known.role != role);
            match before == granted.roles.len() {
                true => Err(Error::new(ErrorKind::NotFound, format!("{from} itself does not have role {role}"))),
                false => Ok(()),
            }
        })
        .await
    }

    /// The grants of all users and roles.
    pub async fn grants(&self) -> Result<Vec<Held>> {
        Ok(self.all_granted().await?.into_iter().flat_map(|(holder, granted)| held(&holder, granted)).collect())
    }

    /// The grants of a user or role, and those of the roles that it has, also by other roles.
    pub async fn grants_of(&self, holder: &Holder) -> Result<Vec<Held>> {
        let granted = self.granted(holder).await?;
        let roles = self.roles_within(&granted).await?;
        let of_roles =
            roles.into_iter().flat_map(|(name, role)| held(&Holder { kind: GranteeKind::Role, name }, role.granted));
        Ok(held(holder, granted).into_iter().chain(of_roles).collect())
    }

    /// The roles that a user or role has, also by other roles.
    pub async fn roles_of(&self, holder: &Holder) -> Result<Vec<String>> {
        let mut names: Vec<String> =
            self.roles_within(&self.granted(holder).await?).await?.into_iter().map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    /// What a user may do, by itself and by its roles.
    pub async fn rights(&self, user: &str) -> Result<Arc<Rights>> {
        let now = Instant::now();
        let (known, changes) = self.cache(|cache| (cache.rights.get(user).cloned(), cache.changes));
        if let Some((rights, at)) = known
            && now.saturating_duration_since(at) < FRESH
        {
            return Ok(rights);
        }
        let text = self.0.store.get(Kind::User, user).await?.ok_or_else(|| no_user(user))?;
        let record = Record::parse(user, &text)?;
        let rights = match record.admin {
            true => Rights::unrestricted(),
            false => {
                let roles = self.roles_within(&record.granted).await?;
                let of_roles = roles.iter().flat_map(|(_, role)| &role.granted.grants);
                Rights::new(user, record.granted.grants.iter().chain(of_roles))
            }
        };
        let rights = Arc::new(rights);
        self.cache(|cache| {
            // What was read before a change must not be kept after it.
            if cache.changes == changes {
                bounded(&mut cache.rights).insert(user.to_string(), (Arc::clone(&rights), now));
            }
        });
        Ok(rights)
    }

    /// Removes all grants on an object that is gone.
    pub async fn forget_object(&self, gone: &Object) -> Result<()> {
        self.change_all(|granted| {
            let before = granted.grants.len();
            granted.grants.retain(|grant| grant.on != *gone);
            before != granted.grants.len()
        })
        .await
    }

    /// Lets the grants on a table apply to it under a new name. Until then nobody has them.
    pub async fn rename_object(&self, from: &Object, to: &Object) -> Result<()> {
        self.change_all(|granted| {
            let Some(at) = granted.grants.iter().position(|grant| grant.on == *from) else { return false };
            let privileges = granted.grants.remove(at).privileges;
            granted.add(to, privileges);
            true
        })
        .await
    }

    async fn granted(&self, holder: &Holder) -> Result<Granted> {
        let name = &holder.name;
        Ok(match holder.kind {
            GranteeKind::User => {
                let text = self.0.store.get(Kind::User, name).await?.ok_or_else(|| no_user(name))?;
                Record::parse(name, &text)?.granted
            }
            GranteeKind::Role => {
                let text = self.0.store.get(Kind::Role, name).await?.ok_or_else(|| no_role(name))?;
                Role::parse(name, &text)?.granted
            }
        })
    }

    async fn all_granted(&self) -> Result<Vec<(Holder, Granted)>> {
        let mut all = Vec::new();
        for (name, text) in self.0.store.list(Kind::Role).await? {
            let granted = Role::parse(&name, &text)?.granted;
            all.push((Holder { kind: GranteeKind::Role, name }, granted));
        }
        for (name, text) in self.0.store.list(Kind::User).await? {
            let granted = Record::parse(&name, &text)?.granted;
            all.push((Holder { kind: GranteeKind::User, name }, granted));
        }
        Ok(all)
    }

    /// The roles that are granted, directly or by other roles.
    async fn roles_within(&self, granted: &Granted) -> Result<Vec<(String, Role)>> {
        if granted.roles.is_empty() {
            return Ok(Vec::new());
        }
        let mut known = HashMap::new();
        for (name, text) in self.0.store.list(Kind::Role).await? {
            known.insert(name.clone(), Role::parse(&name, &text)?);
        }
        let mut waiting: VecDeque<Membership> = granted.roles.iter().cloned().collect();
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        while let Some(Membership { role: name, id }) = waiting.pop_front() {
            let Some(role) = known.get(&name).filter(|role| role.id == id) else { continue };
            // Two statements at a time may have granted roles to each other.
            if seen.insert(name.clone()) {
                waiting.extend(role.granted.roles.iter().cloned());
                found.push((name, role.clone()));
            }
        }
        Ok(found)
    }

    /// Changes the grants of a user or role.
    async fn change_granted(&self, of: &Holder, change: impl Fn(&mut Granted) -> Result<()>) -> Result<()> {
        let name = &of.name;
        match of.kind {
            GranteeKind::User => self.change(name, |record| change(&mut record.granted)).await,
            GranteeKind::Role => loop {
                let old = self.0.store.get(Kind::Role, name).await?.ok_or_else(|| no_role(name))?;
                let mut role = Role::parse(name, &old)?;
                change(&mut role.granted)?;
                if self.0.store.replace(Kind::Role, name, &old, &role.text()?).await? {
                    self.forget();
                    return Ok(());
                }
            },
        }
    }

    /// Changes the grants of everyone for whom `change` returns `true`.
    async fn change_all(&self, change: impl Fn(&mut Granted) -> bool) -> Result<()> {
        for (holder, mut granted) in self.all_granted().await? {
            if !change(&mut granted) {
                continue;
            }
            let changed = self.change_granted(&holder, |granted| {
                change(granted);
                Ok(())
            });
            match changed.await {
                // Dropped meanwhile, with its grants.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}

fn held(holder: &Holder, granted: Granted) -> Vec<Held> {
    let held = |what| Held { holder: holder.clone(), what };
    let roles = granted.roles.into_iter().map(|membership| HeldRight::Role(membership.role));
    roles.chain(granted.grants.into_iter().map(HeldRight::Grant)).map(held).collect()
}

fn no_role(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("role {name} not found; SHOW ROLES lists the roles"))
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
