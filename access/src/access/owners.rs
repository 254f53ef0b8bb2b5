//! Owners of views: a view reads its tables with the rights of the user that wrote its query.
//!
//! An owner is kept with the query that it wrote. If another engine or another user replaces the query, the new one has
//! no owner until it is given one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Access, Record};
use crate::error::{Error, ErrorKind, Result};
use crate::rights::Rights;
use crate::store::Kind;
use crate::token;

/// What is kept of a view.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    user: String,
    /// The identity of the user: another one of its name is not the owner.
    id: String,
    /// The hash of the query.
    definition: String,
}

impl Access {
    /// Makes a user the owner of the view with this identity, as long as the view is defined by `definition`. The owner
    /// of the process is no user, and owns nothing.
    pub async fn own_view(&self, id: &str, definition: &str, user: &str) -> Result<()> {
        let Some(text) = self.0.store.get(Kind::User, user).await? else { return Ok(()) };
        let record = Record::parse(user, &text)?;
        let owner = Owner { user: user.to_string(), id: record.id, definition: token::hash(definition) };
        let text = serde_json::to_string(&owner).map_err(|e| Error::new(ErrorKind::Store, e.to_string()))?;
        loop {
            if self.0.store.insert(Kind::View, id, &text).await? {
                return Ok(());
            }
            if let Some(old) = self.0.store.get(Kind::View, id).await?
                && self.0.store.replace(Kind::View, id, &old, &text).await?
            {
                return Ok(());
            }
        }
    }

    /// Removes what is known of a view that is gone.
    pub async fn forget_view(&self, id: &str) -> Result<()> {
        self.0.store.remove(Kind::View, id).await.map(drop)
    }

    /// The rights of the owner of a view that is defined by `definition`; `None` if it has none.
    pub async fn rights_of_owner(&self, id: &str, definition: &str) -> Result<Option<Arc<Rights>>> {
        let Some(text) = self.0.store.get(Kind::View, id).await? else { return Ok(None) };
        let owner: Owner = serde_json::from_str(&text)
            .map_err(|e| Error::new(ErrorKind::Store, format!("the entry of view {id} is damaged: {e}")))?;
        let Some(text) = self.0.store.get(Kind::User, &owner.user).await? else { return Ok(None) };
        let is_same = Record::parse(&owner.user, &text)?.id == owner.id;
        match is_same && owner.definition == token::hash(definition) {
            true => self.rights(&owner.user).await.map(Some),
            false => Ok(None),
        }
    }
}
