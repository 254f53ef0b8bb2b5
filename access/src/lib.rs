//! Access: users, how they prove who they are, and the tokens that stand for them.
//!
//! [`Access`] knows the users of one installation. Passwords are kept as Argon2id hashes and tokens as SHA-256 hashes,
//! so that nobody who reads the store can log in with what is there. Where they are kept is a [`Store`]'s decision:
//! [`FileStore`] is a file, and the catalog implements another in its database. [`conformance`] is the test suite of
//! stores. Nothing here knows of a protocol or of tables.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bergmill_access::{Access, ErrorKind, FileStore};
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
//! # Ok(())
//! # }
//! ```

mod access;
pub mod conformance;
mod error;
mod file_store;
mod password;
mod store;
mod throttle;
mod token;

pub use access::{Access, TokenInfo, User};
pub use error::{Error, ErrorKind, Result};
pub use file_store::FileStore;
pub use password::random_password;
pub use store::{Kind, Store};
