//! Where users, roles and tokens are kept: named texts of a few kinds, changed one at a time.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::Result;

/// What an entry of a [`Store`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A user, by name.
    User,
    /// A role, by name.
    Role,
    /// A token, by the hash of its secret.
    Token,
    /// A view, by its identity.
    View,
}

impl Kind {
    /// Its name in a store.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
            Self::Token => "token",
            Self::View => "view",
        }
    }
}

/// A store of entries. Several processes may use it: each change is atomic, and seen by reads that begin after it.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// The text of an entry.
    async fn get(&self, kind: Kind, name: &str) -> Result<Option<String>>;

    /// All entries of a kind, as names and texts, sorted by name.
    async fn list(&self, kind: Kind) -> Result<Vec<(String, String)>>;

    /// Adds an entry; `false` if there is one of that name, which is left unchanged.
    async fn insert(&self, kind: Kind, name: &str, text: &str) -> Result<bool>;

    /// Replaces the text of an entry if it is `expected`; `false` if it is another, or the entry does not exist.
    async fn replace(&self, kind: Kind, name: &str, expected: &str, text: &str) -> Result<bool>;

    /// Removes an entry; `false` if it does not exist.
    async fn remove(&self, kind: Kind, name: &str) -> Result<bool>;
}
