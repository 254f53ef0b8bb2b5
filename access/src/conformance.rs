//! The test suite of [`Store`]s.

use crate::store::{Kind, Store};

/// Checks a store that is empty: panics at the first difference from the contract.
#[expect(clippy::unwrap_used, reason = "a test")]
pub async fn check(store: &dyn Store) {
    let names = async |kind| store.list(kind).await.unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(store.get(Kind::User, "ada").await.unwrap(), None);
    assert!(names(Kind::User).await.is_empty());
    assert!(!store.remove(Kind::User, "ada").await.unwrap());
    assert!(!store.replace(Kind::User, "ada", "", "2").await.unwrap());

    assert!(store.insert(Kind::User, "grace", "{\"a\": 'ö'}").await.unwrap());
    assert!(store.insert(Kind::User, "ada", "1").await.unwrap());
    assert!(store.insert(Kind::Token, "ada", "of another kind").await.unwrap());
    assert!(!store.insert(Kind::User, "ada", "2").await.unwrap());
    assert_eq!(store.get(Kind::User, "ada").await.unwrap().as_deref(), Some("1"));
    assert_eq!(store.get(Kind::User, "grace").await.unwrap().as_deref(), Some("{\"a\": 'ö'}"));
    assert_eq!(names(Kind::User).await, ["ada", "grace"]);

    assert!(!store.replace(Kind::User, "ada", "0", "2").await.unwrap());
    assert!(store.replace(Kind::User, "ada", "1", "2").await.unwrap());
    assert_eq!(store.get(Kind::User, "ada").await.unwrap().as_deref(), Some("2"));

    assert!(store.remove(Kind::User, "ada").await.unwrap());
    assert!(!store.remove(Kind::User, "ada").await.unwrap());
    assert_eq!(names(Kind::User).await, ["grace"]);
    assert_eq!(names(Kind::Token).await, ["ada"]);
}
