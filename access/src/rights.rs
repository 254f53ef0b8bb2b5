//! What a user may do, as plain data: privileges on namespaces and tables, its own and those of its roles.
//!
//! Nothing is allowed that was not granted. A grant on a table is for the table of that name and that identity: one
//! that is dropped and created again is another table, of which nobody has a grant.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bergmill_statement::Privilege;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of privileges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Privileges(u8);

impl Privileges {
    /// No privilege.
    pub const NONE: Self = Self(0);

    /// All privileges.
    pub fn all() -> Self {
        Privilege::ALL.into_iter().collect()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    pub fn contains(self, privilege: Privilege) -> bool {
        self.0 & bit(privilege) != 0
    }

    /// Those of both sets.
    pub fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Those that are not in `others`.
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.into_iter().filter(move |privilege| self.contains(*privilege))
    }
}

fn bit(privilege: Privilege) -> u8 {
    match privilege {
        Privilege::Select => 1,
        Privilege::Insert => 1 << 1,
        Privilege::Update => 1 << 2,
        Privilege::Delete => 1 << 3,
        Privilege::Alter => 1 << 4,
        Privilege::Drop => 1 << 5,
        Privilege::Create => 1 << 6,
    }
}

impl FromIterator<Privilege> for Privileges {
    fn from_iter<T: IntoIterator<Item = Privilege>>(privileges: T) -> Self {
        Self(privileges.into_iter().fold(0, |bits, privilege| bits | bit(privilege)))
    }
}

impl From<Privilege> for Privileges {
    fn from(privilege: Privilege) -> Self {
        Self(bit(privilege))
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Privilege::name).collect::<Vec<_>>().join(", "))
    }
}

impl Serialize for Privileges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Privilege::name))
    }
}

impl<'de> Deserialize<'de> for Privileges {
    /// Names that a later release added allow nothing here.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(Privilege::ALL.into_iter().filter(|privilege| names.iter().any(|name| name == privilege.name())).collect())
    }
}

/// What privileges are granted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Object {
    /// A namespace: its tables, now and later.
    Namespace(String),
    /// A table or view.
    Table {
        /// Its namespace.
        namespace: String,
        /// Its name there.
        name: String,
        /// Its identity, which it keeps when it is renamed, and which no other table ever has.
        id: String,
    },
}

impl Object {
    /// Whether they have the same name; the table that had it before has another identity.
    pub(crate) fn has_name_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Namespace(a), Self::Namespace(b)) => a == b,
            (Self::Table { namespace: a, name: b, .. }, Self::Table { namespace: c, name: d, .. }) => (a, b) == (c, d),
            (Self::Namespace(_), Self::Table { .. }) | (Self::Table { .. }, Self::Namespace(_)) => false,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Table { namespace, name, .. } => write!(f, "table {namespace}.{name}"),
        }
    }
}

/// Privileges on one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The object.
    pub on: Object,
    /// The privileges.
    pub privileges: Privileges,
}

/// What is kept of the grants of a user or role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    #[serde(default)]
    pub grants: Vec<Grant>,
    #[serde(default)]
    pub roles: Vec<Membership>,
}

/// A role that is granted. A role that is created again is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub role: String,
    pub id: String,
}

impl Granted {
    pub(crate) fn add(&mut self, on: &Object, privileges: Privileges) {
        match self.grants.iter_mut().find(|grant| grant.on == *on) {
            Some(grant) => grant.privileges = grant.privileges.and(privileges),
            None => {
                // Those of a table that had the name before are worth nothing anymore.
                self.grants.retain(|grant| !grant.on.has_name_of(on));
                self.grants.push(Grant { on: on.clone(), privileges });
                self.grants.sort_by(|a, b| a.on.cmp(&b.on));
            }
        }
    }

    /// Removes privileges on what has the name of `on`; `false` if there were none of them.
    pub(crate) fn remove(&mut self, on: &Object, privileges: Privileges) -> bool {
        let mut removed = false;
        for grant in self.grants.iter_mut().filter(|grant| grant.on.has_name_of(on)) {
            let kept = grant.privileges.without(privileges);
            removed |= kept != grant.privileges;
            grant.privileges = kept;
        }
        self.grants.retain(|grant| !grant.privileges.is_empty());
        removed
    }
}

/// What one user may do. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    is_unrestricted: bool,
    user: String,
    /// By namespace.
    namespaces: BTreeMap<String, InNamespace>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct InNamespace {
    /// On the namespace, and so on each of its tables.
    all: Privileges,
    /// By name, and then by identity.
    tables: HashMap<String, HashMap<String, Privileges>>,
}

impl InNamespace {
    fn on_tables(&self) -> Privileges {
        self.all.without(Privilege::Create.into())
    }
}

impl Rights {
    /// Those of an administrator, and of everyone where nobody has to log in.
    pub fn unrestricted() -> Self {
        Self { is_unrestricted: true, ..Self::default() }
    }

    /// Those of a user with these grants.
    pub(crate) fn new<'a>(user: &str, grants: impl IntoIterator<Item = &'a Grant>) -> Self {
        let mut rights = Self { user: user.to_string(), ..Self::default() };
        for Grant { on, privileges } in grants {
            match on {
                Object::Namespace(namespace) => {
                    let within = rights.namespaces.entry(namespace.clone()).or_default();
                    within.all = within.all.and(*privileges);
                }
                Object::Table { namespace, name, id } => {
                    let within = rights.namespaces.entry(namespace.clone()).or_default();
                    let of_name = within.tables.entry(name.clone()).or_default();
                    let of_id = of_name.entry(id.clone()).or_default();
                    *of_id = of_id.and(*privileges);
                }
            }
        }
        rights
    }

    /// Whether everything is allowed.
    pub fn is_unrestricted(&self) -> bool {
        self.is_unrestricted
    }

    /// The user; empty if everything is allowed.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the user may know that there is such a namespace.
    pub fn sees_namespace(&self, namespace: &str) -> bool {
        self.is_unrestricted || self.namespaces.contains_key(namespace)
    }

    /// Whether the user may know the names of all tables in a namespace.
    pub fn sees_tables_of(&self, namespace: &str) -> bool {
        self.is_unrestricted || self.namespaces.get(namespace).is_some_and(|within| !within.on_tables().is_empty())
    }

    /// Whether there may be a table of this name of which the user may know; which table has the name now, decides.
    pub fn may_see_table(&self, namespace: &str, name: &str) -> bool {
        let is_named = |within: &InNamespace| within.tables.contains_key(name);
        self.sees_tables_of(namespace) || self.namespaces.get(namespace).is_some_and(is_named)
    }

    /// The privileges on a namespace.
    pub fn on_namespace(&self, namespace: &str) -> Privileges {
        match self.namespaces.get(namespace) {
            _ if self.is_unrestricted => Privileges::all(),
            Some(within) => within.all,
            None => Privileges::NONE,
        }
    }

    /// The privileges on a table or view with this identity. Without any, the user may not know of it.
    pub fn on_table(&self, namespace: &str, name: &str, id: &str) -> Privileges {
        if self.is_unrestricted {
            return Privileges::all();
        }
        let Some(within) = self.namespaces.get(namespace) else { return Privileges::NONE };
        let own = within.tables.get(name).and_then(|of_name| of_name.get(id)).copied().unwrap_or_default();
        within.on_tables().and(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, id: &str) -> Object {
        Object::Table { namespace: "raw".into(), name: name.into(), id: id.into() }
    }

    fn namespace(name: &str) -> Object {
        Object::Namespace(name.into())
    }

    fn set(privileges: &[Privilege]) -> Privileges {
        privileges.iter().copied().collect()
    }

    fn rights(grants: &[(Object, &[Privilege])]) -> Rights {
        let grants: Vec<Grant> =
            grants.iter().map(|(on, privileges)| Grant { on: on.clone(), privileges: set(privileges) }).collect();
        Rights::new("ada", &grants)
    }

    #[test]
    fn nothing_is_allowed_that_was_not_granted() {
        let nothing = rights(&[]);
        assert_eq!(nothing.on_table("raw", "t", "1"), Privileges::NONE);
        assert_eq!(nothing.on_namespace("raw"), Privileges::NONE);
        assert!(!nothing.sees_namespace("raw") && !nothing.may_see_table("raw", "t"));
        assert_eq!(Rights::default(), Rights::new("", &[]), "the default is no right");

        let all = Rights::unrestricted();
        assert_eq!(all.on_table("raw", "t", "1"), Privileges::all());
        assert!(all.sees_namespace("raw") && all.may_see_table("raw", "t") && all.sees_tables_of("raw"));
    }

    #[test]
    fn a_grant_on_a_table_is_for_that_table_only() {
        let rights = rights(&[(table("t", "1"), &[Privilege::Select]), (table("t", "1"), &[Privilege::Insert])]);
        assert_eq!(rights.on_table("raw", "t", "1"), set(&[Privilege::Select, Privilege::Insert]));
        for (namespace, name, id) in [("raw", "t", "2"), ("raw", "u", "1"), ("other", "t", "1")] {
            assert_eq!(rights.on_table(namespace, name, id), Privileges::NONE, "{namespace}.{name} {id}");
        }
        assert!(rights.sees_namespace("raw") && !rights.sees_tables_of("raw"));
        assert!(rights.may_see_table("raw", "t") && !rights.may_see_table("raw", "u"));
        assert_eq!(rights.on_namespace("raw"), Privileges::NONE);
    }

    #[test]
    fn a_grant_on_a_namespace_is_for_all_its_tables() {
        let rights = rights(&[(namespace("raw"), &[Privilege::Select, Privilege::Create])]);
        assert_eq!(rights.on_table("raw", "t", "1"), Privilege::Select.into());
        assert_eq!(rights.on_namespace("raw"), set(&[Privilege::Select, Privilege::Create]));
        assert!(rights.sees_tables_of("raw") && !rights.sees_namespace("raw2"));
    }

    #[test]
    fn who_may_only_create_does_not_see_the_tables_of_others() {
        let rights = rights(&[(namespace("raw"), &[Privilege::Create])]);
        assert_eq!(rights.on_table("raw", "t", "1"), Privileges::NONE);
        assert!(rights.sees_namespace("raw") && !rights.sees_tables_of("raw") && !rights.may_see_table("raw", "t"));
    }

    #[test]
    fn grants_are_added_and_removed_by_name() {
        let mut granted = Granted::default();
        granted.add(&table("t", "1"), Privilege::Select.into());
        granted.add(&table("t", "1"), set(&[Privilege::Select, Privilege::Delete]));
        granted.add(&namespace("raw"), Privilege::Create.into());
        assert_eq!(granted.grants.len(), 2);
        assert!(!granted.remove(&table("t", "1"), Privilege::Update.into()), "there was none");
        assert!(granted.remove(&table("t", "gone"), Privilege::Delete.into()));
        assert_eq!(granted.grants[1].privileges, Privilege::Select.into());

        // The table was dropped and created again.
        granted.add(&table("t", "2"), Privilege::Insert.into());
        let rights = Rights::new("ada", &granted.grants);
        assert_eq!(rights.on_table("raw", "t", "1"), Privileges::NONE);
        assert_eq!(rights.on_table("raw", "t", "2"), Privilege::Insert.into());
        assert!(granted.remove(&table("t", "2"), Privileges::all()));
        assert_eq!(granted.grants, [Grant { on: namespace("raw"), privileges: Privilege::Create.into() }]);
    }

    #[test]
    fn the_stored_form_is_that_of_earlier_releases() {
        let text = r#"{"grants":[{"on":{"namespace":"raw"},"privileges":["SELECT","CREATE"]},{"on":{"table":{"namespace":"raw","name":"t","id":"1"}},"privileges":["SELECT","INSERT","UPDATE","DELETE","ALTER","DROP"]}],"roles":[{"role":"etl","id":"7"}]}"#;
        let granted: Granted = serde_json::from_str(text).unwrap();
        assert_eq!(granted.grants[1].privileges, Privilege::OF_TABLES.into_iter().collect());
        assert_eq!(serde_json::to_string(&granted).unwrap(), text);
        let of_later = text.replace("\"CREATE\"", "\"MASK\"");
        let granted: Granted = serde_json::from_str(&of_later).unwrap();
        assert_eq!(granted.grants[0].privileges, Privilege::Select.into());
    }
}
