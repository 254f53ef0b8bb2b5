//! The users of the installation as the front door's [`Login`]. Logins are in the audit.

use std::net::IpAddr;
use std::time::Instant;

use async_trait::async_trait;
use bergmill_access::{self as access, Access};
use bergmill_gateway::{self as gateway, Caller, Credentials, Login, Sender};

use crate::error::Error;
use crate::system::Audit;

/// Admits the installation's users.
#[derive(Debug)]
pub(crate) struct UserLogin {
    pub access: Access,
    /// Whether everyone is admitted while there is no user.
    pub open_without_users: bool,
    pub audit: Audit,
}

#[async_trait]
impl Login for UserLogin {
    async fn admit(&self, credentials: Option<&Credentials>, from: Option<IpAddr>) -> gateway::Result<Option<Caller>> {
        if !self.is_required().await? {
            return Ok(None);
        }
        let user = match credentials {
            Some(Credentials::Token(token)) => self.access.user_of_token(token).await,
            Some(Credentials::Password { user, password }) => {
                let admitted = self.access.log_in(user, password, from).await;
                if let Err(e) = &admitted {
                    let from = from.map_or_else(|| "an unknown address".to_string(), |from| from.to_string());
                    tracing::warn!("refused a login of {user:?} from {from}: {e}");
                }
                admitted
            }
            None => Err(access::Error::new(
                access::ErrorKind::Unauthenticated,
                "this server requires a login: a user and a password, or a token",
            )),
        };
        let user = user.map_err(Error::from).inspect_err(|e| {
            let claimed = match credentials {
                Some(Credentials::Password { user, .. }) => Some(user.as_str()),
                _ => None,
            };
            self.audit.login_refused(claimed, from, e, Instant::now());
        })?;
        Ok(Some(Caller { user: user.name, is_admin: user.is_admin }))
    }

    async fn is_required(&self) -> gateway::Result<bool> {
        Ok(!self.open_without_users || self.access.has_users().await.map_err(Error::from)?)
    }

    async fn open_session(&self, caller: &Caller, from: Option<IpAddr>) -> gateway::Result<String> {
        let user = self.access.user(&caller.user).await.map_err(Error::from)?;
        let token = self.access.open_session(&user).await.map_err(Error::from)?;
        self.audit.logged_in(&Sender { caller: Some(caller.clone()), from });
        Ok(token)
    }
}
