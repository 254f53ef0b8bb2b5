//! The test suite of [`Store`]s.

use std::sync::Arc;

use bergmill_statement::{Grantee, GranteeKind, Privilege};

use crate::access::Access;
use crate::rights::Object;
use crate::store::{Kind, Store};

/// Checks that a store loses no grant when several processes change the grants of one role, and leaves it without
/// roles: panics at the first difference from the contract.
#[expect(clippy::unwrap_used, reason = "a test")]
pub async fn check_grants(store: Arc<dyn Store>) {
    const WRITERS: usize = 4;
    const GRANTS: usize = 8;
    let access = Access::new(Arc::clone(&store));
    assert!(access.roles().await.unwrap().is_empty());
    access.create_role("readers").await.unwrap();
    access.create_role("all").await.unwrap();
    let named = |name: &str| Grantee { name: name.to_string(), kind: Some(GranteeKind::Role) };
    let (readers, all) = (access.holder(&named("readers")).await.unwrap(), access.holder(&named("all")).await.unwrap());
    access.grant_role("readers", &all).await.unwrap();
    assert_eq!(access.roles_of(&all).await.unwrap(), ["readers"]);
    assert!(access.grant_role("all", &readers).await.is_err(), "a role has itself");

    let table = |writer: usize, n: usize| {
        let (namespace, name) = ("raw".to_string(), format!("t{writer}_{n}"));
        Object::Table { namespace, name, id: format!("{writer}-{n}") }
    };
    let writers = (0..WRITERS).map(|writer| {
        let (access, readers) = (Access::new(Arc::clone(&store)), readers.clone());
        tokio::spawn(async move {
            for n in 0..GRANTS {
                access.grant(&readers, &table(writer, n), Privilege::Select.into()).await.unwrap();
                if n % 2 == 1 {
                    access.revoke(&readers, &table(writer, n), Privilege::Select.into()).await.unwrap();
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let count = async |holder| access.grants_of(holder).await.unwrap().len();
    assert_eq!(count(&readers).await, WRITERS * GRANTS / 2);
    assert_eq!(count(&all).await, WRITERS * GRANTS / 2 + 1, "with those of the role that it has");

    access.rename_object(&table(0, 0), &table(9, 9)).await.unwrap();
    assert!(access.revoke(&readers, &table(0, 0), Privilege::Select.into()).await.is_err());
    access.forget_object(&table(9, 9)).await.unwrap();
    assert_eq!(count(&readers).await, WRITERS * GRANTS / 2 - 1);

    access.drop_role("readers").await.unwrap();
    assert_eq!(count(&all).await, 0);
    access.create_role("readers").await.unwrap();
    assert_eq!(count(&readers).await, 0, "a role that is created again has the grants of the old one");
    for role in ["readers", "all"] {
        access.drop_role(role).await.unwrap();
    }
    assert!(store.list(Kind::Role).await.unwrap().is_empty());
}

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
    for kind in [Kind::Role, Kind::Token, Kind::View] {
        assert!(store.insert(kind, "ada", "of another kind").await.unwrap());
    }
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
    for kind in [Kind::Role, Kind::Token, Kind::View] {
        assert_eq!(names(kind).await, ["ada"]);
    }
}
