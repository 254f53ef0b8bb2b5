//! Sessions: options that a client sets for its later statements.
//!
//! A client belongs to the session of the token that it sends, or else of its cookie; one that sends neither has no
//! session. Sessions are in memory: a restart forgets their options, not the tokens.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tonic::Extensions;
use tonic::codegen::http::HeaderMap;
use uuid::Uuid;

use crate::login::{Caller, Credentials};

/// The cookie of a session, by the name that Flight's clients know.
pub(crate) const COOKIE: &str = "arrow_flight_session_id";

/// The most sessions. If there are more, the one that was unused for longest is forgotten.
const MAX: usize = 10_000;
/// A session that is unused for this long is forgotten.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The sessions of a server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<HashMap<Key, Open>>,
    /// Tokens are not kept: only hashes, of which nobody outside knows the keys.
    hashers: [RandomState; 2],
}

/// What identifies a session: a user, and the hash of its token or cookie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    user: Option<String>,
    hash: [u64; 2],
}

#[derive(Debug)]
struct Open {
    id: Uuid,
    began: SystemTime,
    used: SystemTime,
    options: BTreeMap<String, String>,
}

/// The session of a call.
#[derive(Debug, Clone)]
pub struct Session {
    sessions: Sessions,
    key: Key,
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Names the session; it proves nothing.
    pub id: Uuid,
    /// Its user, if it had to log in.
    pub user: Option<String>,
    /// When its first call arrived.
    pub began: SystemTime,
    /// When its last call arrived.
    pub used: SystemTime,
    /// The options that are set.
    pub options: BTreeMap<String, String>,
}

impl Sessions {
    /// All sessions, those that began first first.
    pub fn list(&self) -> Vec<SessionInfo> {
        let info = |(key, open): (&Key, &Open)| SessionInfo {
            id: open.id,
            user: key.user.clone(),
            began: open.began,
            used: open.used,
            options: open.options.clone(),
        };
        let mut all: Vec<_> = self.lock().iter().map(info).collect();
        all.sort_by_key(|session| (session.began, session.id));
        all
    }

    /// The session of a call; `None` if it has neither a token nor a cookie.
    pub(crate) fn of_call(
        &self,
        headers: &HeaderMap,
        credentials: Option<&Credentials>,
        caller: Option<&Caller>,
    ) -> Option<Session> {
        match credentials {
            Some(Credentials::Token(token)) => Some(self.session(("token", token), caller)),
            _ => cookie(headers).map(|cookie| self.session(("cookie", cookie), caller)),
        }
    }

    /// A new session, and the cookie by which a client returns to it.
    pub(crate) fn begin(&self, caller: Option<&Caller>) -> (Session, String) {
        let cookie = Uuid::new_v4().to_string();
        (self.session(("cookie", &cookie), caller), format!("{COOKIE}={cookie}"))
    }

    fn session(&self, secret: (&str, &str), caller: Option<&Caller>) -> Session {
        let hash = [0, 1].map(|n| self.0.hashers[n].hash_one(secret));
        let key = Key { user: caller.map(|caller| caller.user.clone()), hash };
        let (mut open, now) = (self.lock(), SystemTime::now());
        match open.get_mut(&key) {
            Some(session) => session.used = now,
            None => {
                if open.len() >= MAX {
                    forget(&mut open, now);
                }
                let new = Open { id: Uuid::new_v4(), began: now, used: now, options: BTreeMap::new() };
                open.insert(key.clone(), new);
            }
        }
        Session { sessions: self.clone(), key }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// The session that was found when the call was admitted.
    pub(crate) fn of(request: &Extensions) -> Option<Self> {
        request.get::<Self>().cloned()
    }

    /// The options that are set.
    pub fn options(&self) -> BTreeMap<String, String> {
        self.sessions.lock().get(&self.key).map(|open| open.options.clone()).unwrap_or_default()
    }

    /// Sets an option, or resets it to the server's default.
    pub fn set(&self, name: &str, value: Option<String>) {
        if let Some(open) = self.sessions.lock().get_mut(&self.key) {
            match value {
                Some(value) => drop(open.options.insert(name.to_owned(), value)),
                None => drop(open.options.remove(name)),
            }
        }
    }

    /// Forgets the session and its options.
    pub(crate) fn close(&self) {
        self.sessions.lock().remove(&self.key);
    }
}

/// Makes room for a session.
fn forget(open: &mut HashMap<Key, Open>, now: SystemTime) {
    open.retain(|_, session| now.duration_since(session.used).unwrap_or_default() < IDLE);
    if open.len() >= MAX
        && let Some(oldest) = open.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| key.clone())
    {
        open.remove(&oldest);
    }
}

/// The value of the cookie.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, value)| *name == COOKIE && !value.is_empty()).map(|(_, value)| value.trim_matches('"')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(user: &str) -> Caller {
        Caller { user: user.to_owned(), is_admin: false }
    }

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([("cookie".parse().unwrap(), cookie.parse().unwrap())])
    }

    #[test]
    fn a_token_or_a_cookie_is_a_session() {
        let sessions = Sessions::default();
        let (none, ada, bob) = (HeaderMap::new(), caller("ada"), caller("bob"));
        let token = |token: &str| Credentials::Token(token.to_owned());
        let first = sessions.of_call(&none, Some(&token("a")), Some(&ada)).unwrap();
        first.set("schema", Some("raw".to_owned()));
        let schema = |headers: &HeaderMap, token: Option<&Credentials>, caller: &Caller| {
            sessions.of_call(headers, token, Some(caller)).map(|session| session.options().get("schema").cloned())
        };
        assert_eq!(schema(&none, Some(&token("a")), &ada), Some(Some("raw".to_owned())));
        // Another token, another user, a cookie of the same text.
        assert_eq!(schema(&none, Some(&token("b")), &ada), Some(None));
        assert_eq!(schema(&none, Some(&token("a")), &bob), Some(None));
        let same = headers(&format!("theme=dark; {COOKIE}=a"));
        assert_eq!(schema(&same, None, &ada), Some(None));
        // Neither.
        assert_eq!(schema(&none, None, &ada), None);
        assert_eq!(schema(&headers("theme=dark"), None, &ada), None);

        let (begun, cookie) = sessions.begin(Some(&ada));
        begun.set("schema", Some("new".to_owned()));
        assert_eq!(schema(&headers(&cookie), None, &ada), Some(Some("new".to_owned())));
        begun.set("schema", None);
        assert_eq!(schema(&headers(&cookie), None, &ada), Some(None));
        first.close();
        assert_eq!(schema(&none, Some(&token("a")), &ada), Some(None));
        let users: Vec<_> = sessions.list().into_iter().map(|session| session.user.unwrap()).collect();
        assert_eq!(users.iter().filter(|user| *user == "ada").count(), 4);
        assert!(!format!("{sessions:?}").contains("token"));
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = Sessions::default();
        let first = sessions.session(("token", "first"), None);
        first.set("schema", Some("raw".to_owned()));
        for n in 0..MAX {
            sessions.session(("token", &n.to_string()), None);
        }
        assert_eq!(sessions.list().len(), MAX);
        assert_eq!(first.options(), BTreeMap::new());
    }
}
