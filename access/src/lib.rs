//! Access: users, how they prove who they are, the tokens that stand for them, and what they may do.
//!
//! [`Access`] knows the users of one installation. Passwords are kept as Argon2id hashes and tokens as SHA-256 hashes,
//! so that nobody who reads the store can log in with what is there. Where they are kept is a [`Store`]'s decision:
//! [`FileStore`] is a file, and the catalog implements another in its database. [`conformance`] is the test suite of
//! stores. What a user may do is its [`Rights`], made of grants to it and to its roles. Nothing here knows of a
//! protocol, and of a table only its name and its identity.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bergmill_access::{Access, ErrorKind, FileStore, Object};
//! use bergmill_statement::{Grantee, Privilege};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), bergmill_access::Error> {
//! let folder = tempfile::tempdir().unwrap();
//! let access = Access::new(Arc::new(FileStore::new(folder.path().join("access.json"))));
//! access.add_user("ada", "correct horse battery", true).await?;
//!
//! let from = "192.0.2.7".parse().ok();
//! let ada = access.log_in("ada", "correct horse battery", from).await?;
//! let token = access.open_session(&ada).await?;
//! assert_eq!(access.user_of_token(&token).await?.name, "ada");
//!
//! let refused = access.log_in("ada", "a guess", from).await.unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
//!
//! access.add_user("grace", "battery staple horse", false).await?;
//! assert!(!access.rights("grace").await?.sees_namespace("raw"));
//! let grace = access.holder(&Grantee { name: "grace".to_string(), kind: None }).await?;
//! access.grant(&grace, &Object::Namespace("raw".to_string()), Privilege::Select.into()).await?;
//! assert!(access.rights("grace").await?.on_table("raw", "events", "its identity").contains(Privilege::Select));
//! # Ok(())
//! # }
//! ```

mod access;
pub mod conformance;
mod error;
mod file_store;
mod password;
mod rights;
mod store;
mod throttle;
mod token;

pub use access::{Access, Held, HeldRight, Holder, TokenInfo, User};
pub use error::{Error, ErrorKind, Result};
pub use file_store::FileStore;
pub use password::random_password;
pub use rights::{Grant, Object, Privileges, Rights};
pub use store::{Kind, Store};
