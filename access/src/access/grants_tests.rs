use bergmill_statement::Privilege;

use super::*;
use crate::file_store::FileStore;

const PASSWORD: &str = "correct horse";

struct Installation {
    access: Access,
    /// The same users, in another process.
    other: Access,
    _folder: tempfile::TempDir,
}

/// The administrator `ada`, and `grace`, who is none.
async fn installation() -> Installation {
    let folder = tempfile::tempdir().unwrap();
    let open = || Access::new(Arc::new(FileStore::new(folder.path().join("access.json"))));
    let access = open();
    for name in ["ada", "grace"] {
        access.add_user(name, PASSWORD, false).await.unwrap();
    }
    Installation { access, other: open(), _folder: folder }
}

fn events() -> Object {
    Object::Table { namespace: "raw".into(), name: "events".into(), id: "1".into() }
}

fn user(name: &str) -> Holder {
    Holder { kind: GranteeKind::User, name: name.to_string() }
}

fn role(name: &str) -> Holder {
    Holder { kind: GranteeKind::Role, name: name.to_string() }
}

async fn of_grace(access: &Access) -> Privileges {
    access.rights("grace").await.unwrap().on_table("raw", "events", "1")
}

fn kind<T: fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn users_may_do_nothing_until_it_is_granted_and_administrators_everything() {
    let Installation { access, other, _folder } = installation().await;
    assert!(access.rights("ada").await.unwrap().is_unrestricted());
    assert_eq!(of_grace(&access).await, Privileges::NONE);
    access.grant(&user("grace"), &events(), Privilege::Select.into()).await.unwrap();
    assert_eq!(of_grace(&access).await, Privilege::Select.into(), "from now on");
    assert_eq!(of_grace(&other).await, Privilege::Select.into());
    access.revoke(&user("grace"), &events(), Privilege::Select.into()).await.unwrap();
    assert_eq!(of_grace(&access).await, Privileges::NONE, "from now on");
    let again = access.revoke(&user("grace"), &events(), Privilege::Select.into()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    assert!(again.to_string().contains("user grace itself has no SELECT on table raw.events"), "{again}");
}

#[tokio::test]
async fn roles_give_what_they_have_through_each_other() {
    let Installation { access, _folder, .. } = installation().await;
    for name in ["readers", "analysts", "staff"] {
        access.create_role(name).await.unwrap();
    }
    access.grant_role("readers", &role("analysts")).await.unwrap();
    access.grant_role("analysts", &role("staff")).await.unwrap();
    access.grant_role("staff", &user("grace")).await.unwrap();
    assert_eq!(access.roles_of(&user("grace")).await.unwrap(), ["analysts", "readers", "staff"]);
    access.grant(&role("readers"), &events(), Privilege::Select.into()).await.unwrap();
    access.grant(&role("staff"), &Object::Namespace("raw".into()), Privilege::Insert.into()).await.unwrap();
    assert_eq!(of_grace(&access).await.to_string(), "SELECT, INSERT");
    let shown: Vec<_> = access.grants_of(&user("grace")).await.unwrap();
    assert_eq!(shown.len(), 5, "{shown:?}");
    assert_eq!(access.grants().await.unwrap().len(), 5);

    // In the middle of the chain.
    access.revoke_role("readers", &role("analysts")).await.unwrap();
    assert_eq!(of_grace(&access).await, Privilege::Insert.into());
    access.drop_role("staff").await.unwrap();
    assert_eq!(of_grace(&access).await, Privileges::NONE);
    access.create_role("staff").await.unwrap();
    access.grant(&role("staff"), &events(), Privileges::all()).await.unwrap();
    assert_eq!(of_grace(&access).await, Privileges::NONE, "a new role of that name is another role");
}

#[tokio::test]
async fn a_role_never_has_itself() {
    let Installation { access, _folder, .. } = installation().await;
    for name in ["a", "b", "c"] {
        access.create_role(name).await.unwrap();
    }
    access.grant_role("a", &role("b")).await.unwrap();
    access.grant_role("b", &role("c")).await.unwrap();
    for (granted, to) in [("a", "a"), ("b", "a"), ("c", "a")] {
        assert_eq!(kind(access.grant_role(granted, &role(to)).await), ErrorKind::Invalid, "{granted} to {to}");
    }
    // As by two statements at a time.
    let of_c = Role::parse("c", &access.0.store.get(Kind::Role, "c").await.unwrap().unwrap()).unwrap().id;
    access
        .change_granted(&role("a"), |granted| {
            granted.roles.push(Membership { role: "c".into(), id: of_c.clone() });
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(access.roles_of(&role("a")).await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn names_of_users_and_roles_are_resolved() {
    let Installation { access, _folder, .. } = installation().await;
    access.create_role("grace").await.unwrap();
    access.create_role("etl").await.unwrap();
    assert_eq!(kind(access.create_role("etl").await), ErrorKind::AlreadyExists);
    assert_eq!(kind(access.create_role("no way").await), ErrorKind::Invalid);
    let resolve = async |name: &str, kind| access.holder(&Grantee { name: name.to_string(), kind }).await;
    assert_eq!(resolve("ada", None).await.unwrap(), user("ada"));
    assert_eq!(resolve("etl", None).await.unwrap(), role("etl"));
    assert_eq!(resolve("grace", Some(GranteeKind::Role)).await.unwrap(), role("grace"));
    let error = resolve("grace", None).await.unwrap_err();
    assert!(error.to_string().contains("write USER grace or ROLE grace"), "{error}");
    for kind in [None, Some(GranteeKind::User), Some(GranteeKind::Role)] {
        assert_eq!(resolve("eve", kind).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(kind(access.drop_role("eve").await), ErrorKind::NotFound);
    assert_eq!(kind(access.grant_role("eve", &user("grace")).await), ErrorKind::NotFound);
    assert_eq!(kind(access.revoke_role("etl", &user("grace")).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn grants_go_with_the_user_the_table_and_its_new_name() {
    let Installation { access, _folder, .. } = installation().await;
    access.grant(&user("grace"), &events(), Privilege::Select.into()).await.unwrap();
    let renamed = Object::Table { namespace: "raw".into(), name: "visits".into(), id: "1".into() };
    access.rename_object(&events(), &renamed).await.unwrap();
    assert_eq!(of_grace(&access).await, Privileges::NONE);
    assert_eq!(access.rights("grace").await.unwrap().on_table("raw", "visits", "1"), Privilege::Select.into());
    access.forget_object(&renamed).await.unwrap();
    assert_eq!(access.grants().await.unwrap(), []);

    access.grant(&user("grace"), &events(), Privilege::Select.into()).await.unwrap();
    access.drop_user("grace").await.unwrap();
    assert_eq!(kind(access.rights("grace").await), ErrorKind::NotFound);
    access.add_user("grace", PASSWORD, false).await.unwrap();
    assert_eq!(of_grace(&access).await, Privileges::NONE, "a new user of that name is another user");
    // A new password changes nothing about it.
    access.grant(&user("grace"), &events(), Privilege::Select.into()).await.unwrap();
    access.set_password("grace", "another horse").await.unwrap();
    assert_eq!(of_grace(&access).await, Privilege::Select.into());
}

#[tokio::test]
async fn the_owner_of_a_view_is_the_user_that_wrote_its_query() {
    let Installation { access, _folder, .. } = installation().await;
    let owner = async |definition: &str| {
        access.rights_of_owner("v1", definition).await.unwrap().map(|rights| rights.user().to_string())
    };
    assert_eq!(owner("SELECT 1").await, None);
    access.own_view("v1", "SELECT 1", "grace").await.unwrap();
    access.set_password("grace", "another horse").await.unwrap();
    assert_eq!(owner("SELECT 1").await.as_deref(), Some("grace"));
    assert_eq!(owner("SELECT 2").await, None, "someone else has replaced the query");
    access.own_view("v1", "SELECT 2", "ada").await.unwrap();
    assert_eq!(owner("SELECT 2").await.as_deref(), Some(""), "an administrator");

    access.own_view("v1", "SELECT 3", "grace").await.unwrap();
    access.drop_user("grace").await.unwrap();
    assert_eq!(owner("SELECT 3").await, None);
    access.add_user("grace", PASSWORD, false).await.unwrap();
    assert_eq!(owner("SELECT 3").await, None, "a new user of that name is another user");
    access.own_view("v2", "SELECT 1", "(this process)").await.unwrap();
    assert!(access.rights_of_owner("v2", "SELECT 1").await.unwrap().is_none());
    access.forget_view("v1").await.unwrap();
    access.forget_view("v1").await.unwrap();
}

#[tokio::test]
async fn users_of_earlier_releases_have_no_rights() {
    let Installation { access, _folder, .. } = installation().await;
    let old = r#"{"password":"x","admin":false,"generation":"g","created":"2026-01-01T00:00:00Z"}"#;
    assert!(access.0.store.insert(Kind::User, "linus", old).await.unwrap());
    assert_eq!(access.rights("linus").await.unwrap().on_namespace("raw"), Privileges::NONE);
    access.grant(&user("linus"), &events(), Privilege::Select.into()).await.unwrap();
    assert_eq!(access.rights("linus").await.unwrap().on_table("raw", "events", "1"), Privilege::Select.into());
}
