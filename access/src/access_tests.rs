use super::*;
use crate::file_store::FileStore;

const PASSWORD: &str = "correct horse";

struct Installation {
    access: Access,
    /// The same users, in another process.
    other: Access,
    folder: tempfile::TempDir,
}

async fn with_ada() -> Installation {
    let folder = tempfile::tempdir().unwrap();
    let open = || Access::new(Arc::new(FileStore::new(folder.path().join("access.json"))));
    let (access, other) = (open(), open());
    assert!(!access.has_users().await.unwrap());
    access.add_user("ada", PASSWORD, false).await.unwrap();
    assert!(access.has_users().await.unwrap() && other.has_users().await.unwrap());
    Installation { access, other, folder }
}

async fn ada(access: &Access) -> User {
    access.log_in("ada", PASSWORD, None).await.unwrap()
}

fn kind<T: fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn only_the_right_pair_logs_in_and_errors_do_not_say_what_was_wrong() {
    let Installation { access, folder: _folder, .. } = with_ada().await;
    assert!(ada(&access).await.is_admin, "the first user is an administrator");
    // From memory, as a client that sends its password with each call.
    assert_eq!(ada(&access).await.name, "ada");
    let wrong_password = access.log_in("ada", "wrong horse", None).await.unwrap_err();
    let no_such_user = access.log_in("eve", PASSWORD, None).await.unwrap_err();
    assert_eq!(wrong_password, no_such_user);
    assert_eq!(wrong_password.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn after_some_failures_even_the_right_password_must_wait() {
    let Installation { access, folder: _folder, .. } = with_ada().await;
    let from = "192.0.2.7".parse().ok();
    for _ in 0..5 {
        assert_eq!(kind(access.log_in("ada", "wrong horse", from).await), ErrorKind::Unauthenticated);
    }
    let refused = access.log_in("ada", PASSWORD, from).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Throttled);
    assert!(refused.to_string().contains("try again in"), "{refused}");
    assert!(access.log_in("ada", PASSWORD, "192.0.2.8".parse().ok()).await.is_ok());
}

#[tokio::test]
async fn the_store_holds_neither_passwords_nor_tokens() {
    let Installation { access, folder, .. } = with_ada().await;
    let secret = access.open_session(&ada(&access).await).await.unwrap();
    let stored = std::fs::read_to_string(folder.path().join("access.json")).unwrap();
    assert!(!stored.contains(PASSWORD) && !stored.contains(&secret) && !stored.contains(&secret[9..]));
    assert!(stored.contains("$argon2id$") && stored.contains(&token::hash(&secret)));
    let hash = token::hash(&secret);
    assert_eq!(kind(access.user_of_token(&hash).await), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn tokens_are_valid_in_other_processes_until_they_expire_or_are_revoked() {
    let Installation { access, other, folder: _folder } = with_ada().await;
    let user = ada(&access).await;
    let session = access.open_session(&user).await.unwrap();
    let lasting = access.create_token(&user, "etl", None).await.unwrap();
    let expired = access.create_token(&user, "old", Some(TimeDelta::seconds(-1))).await.unwrap();
    for (secret, is_valid) in [(&session, true), (&lasting, true), (&expired, false), (&"x".to_string(), false)] {
        for access in [&access, &other] {
            let found = access.user_of_token(secret).await;
            assert_eq!(found.map(|user| user.name).ok(), is_valid.then(|| "ada".to_string()));
        }
    }
    assert_eq!(kind(access.create_token(&user, "etl", None).await), ErrorKind::AlreadyExists);
    let names: Vec<_> = access.tokens().await.unwrap().into_iter().map(|token| token.name).collect();
    assert_eq!(names, [None, Some("etl".to_string())]);

    access.revoke_token(&user, "etl").await.unwrap();
    assert_eq!(kind(access.user_of_token(&lasting).await), ErrorKind::Unauthenticated);
    assert_eq!(kind(access.revoke_token(&user, "etl").await), ErrorKind::NotFound);
    assert!(access.user_of_token(&session).await.is_ok());
}

#[tokio::test]
async fn a_new_password_and_a_dropped_user_revoke_all_tokens() {
    let Installation { access, folder: _folder, .. } = with_ada().await;
    let session = access.open_session(&ada(&access).await).await.unwrap();
    access.set_password("ada", "another horse").await.unwrap();
    assert_eq!(kind(access.user_of_token(&session).await), ErrorKind::Unauthenticated);
    assert_eq!(kind(access.log_in("ada", PASSWORD, None).await), ErrorKind::Unauthenticated);

    access.add_user("grace", PASSWORD, false).await.unwrap();
    let grace = access.log_in("grace", PASSWORD, None).await.unwrap();
    assert!(!grace.is_admin);
    let session = access.open_session(&grace).await.unwrap();
    access.drop_user("grace").await.unwrap();
    assert_eq!(kind(access.user_of_token(&session).await), ErrorKind::Unauthenticated);
    // Neither does a new user of the same name get them.
    access.add_user("grace", PASSWORD, false).await.unwrap();
    assert_eq!(kind(access.user_of_token(&session).await), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn invalid_tokens_are_removed_from_the_store() {
    let Installation { access, folder, .. } = with_ada().await;
    let user = ada(&access).await;
    let expired = access.create_token(&user, "old", Some(TimeDelta::seconds(-1))).await.unwrap();
    access.open_session(&user).await.unwrap();
    let stored = std::fs::read_to_string(folder.path().join("access.json")).unwrap();
    assert!(!stored.contains(&token::hash(&expired)), "{stored}");
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let Installation { access, folder: _folder, .. } = with_ada().await;
    assert_eq!(kind(access.drop_user("ada").await), ErrorKind::Invalid);
    access.add_user("grace", PASSWORD, true).await.unwrap();
    access.drop_user("ada").await.unwrap();
    assert_eq!(kind(access.drop_user("ada").await), ErrorKind::NotFound);
}

#[tokio::test]
async fn names_fit_into_headers() {
    let Installation { access, folder: _folder, .. } = with_ada().await;
    for wrong in ["", "a:b", "a b", "x\n", "(this process)", &"x".repeat(65)] {
        assert_eq!(kind(access.add_user(wrong, PASSWORD, false).await), ErrorKind::Invalid, "{wrong:?}");
    }
    assert_eq!(kind(access.add_user("ada", PASSWORD, false).await), ErrorKind::AlreadyExists);
    assert!(access.add_user("김민지", PASSWORD, false).await.is_ok());
}

#[tokio::test]
async fn the_session_of_a_process_is_its_own() {
    let Installation { access, other, folder: _folder } = with_ada().await;
    let secret = access.own_session().unwrap();
    assert!(access.user_of_token(&secret).await.unwrap().is_admin);
    assert_eq!(kind(other.user_of_token(&secret).await), ErrorKind::Unauthenticated);
}
