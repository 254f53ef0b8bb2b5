//! A login that knows one user.

use std::net::IpAddr;

use async_trait::async_trait;
use bergmill_gateway::{Caller, Credentials, Error, ErrorKind, Login, Result};

/// Admits Ada, by her password or her token.
pub struct OnlyAda {
    pub token: &'static str,
}

#[async_trait]
impl Login for OnlyAda {
    async fn admit(&self, credentials: Option<&Credentials>, from: Option<IpAddr>) -> Result<Option<Caller>> {
        assert!(from.is_some_and(|from| from.is_loopback()), "the address of the client is known");
        let is_ada = match credentials {
            Some(Credentials::Password { user, password }) => user == "ada" && password == "xyz",
            Some(Credentials::Token(token)) => token == self.token,
            None => false,
        };
        match is_ada {
            true => Ok(Some(Caller { user: "ada".into(), is_admin: false })),
            false => Err(Error::new(ErrorKind::Unauthenticated, "who are you?")),
        }
    }

    async fn is_required(&self) -> Result<bool> {
        Ok(true)
    }

    async fn open_session(&self, caller: &Caller, _: Option<IpAddr>) -> Result<String> {
        assert_eq!(caller.user, "ada");
        Ok(self.token.to_owned())
    }
}
