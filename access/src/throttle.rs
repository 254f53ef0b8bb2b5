//! Slows down guessing: after a few failures, the next attempt is refused until a time that doubles with each.
//!
//! Failures are counted by user and address, so that a guesser elsewhere cannot lock a user out, and by address, so
//! that one password cannot be tried on all users.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that are free: people mistype.
const FREE_BY_USER: u32 = 5;
const FREE_BY_ADDRESS: u32 = 20;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// After this time without a failure, the earlier ones are forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Counters that are kept. Beyond it, the oldest go.
const KEPT: usize = 10_000;

/// Who has failed: a user at an address, or anyone at that address.
type Key = (Option<String>, Option<IpAddr>);

/// Counts failed logins.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<Key, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Throttle {
    /// How long `user` at `from` must wait before the next attempt; zero if it may begin.
    pub(crate) fn delay(&self, user: &str, from: Option<IpAddr>, now: Instant) -> Duration {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |key: &Key, free| failures.get(key).map_or(Duration::ZERO, |f| f.remaining(free, now));
        of(&by_user(user, from), FREE_BY_USER).max(of(&by_address(from), FREE_BY_ADDRESS))
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, user: &str, from: Option<IpAddr>, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in [by_user(user, from), by_address(from)] {
            let known = failures.get(&key).filter(|f| !f.forgotten(now)).map_or(0, |f| f.count);
            failures.insert(key, Failures { count: known.saturating_add(1), last: now });
        }
        if failures.len() > KEPT {
            failures.retain(|_, f| !f.forgotten(now));
        }
        if failures.len() > KEPT {
            let mut times: Vec<Instant> = failures.values().map(|f| f.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            failures.retain(|_, f| f.last > middle);
        }
    }

    /// Forgets the failures of a user that has logged in. Those of the address stay: one's own login must not give room
    /// for guesses about others.
    pub(crate) fn succeeded(&self, user: &str, from: Option<IpAddr>) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&by_user(user, from));
    }
}

impl Failures {
    fn remaining(self, free: u32, now: Instant) -> Duration {
        let Some(beyond) = self.count.checked_sub(free) else { return Duration::ZERO };
        let delay = FIRST_DELAY.saturating_mul(2u32.saturating_pow(beyond)).min(LONGEST_DELAY);
        delay.saturating_sub(now.saturating_duration_since(self.last))
    }

    fn forgotten(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > MEMORY
    }
}

fn by_user(user: &str, from: Option<IpAddr>) -> Key {
    (Some(user.to_string()), from)
}

fn by_address(from: Option<IpAddr>) -> Key {
    (None, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_take_longer_and_longer() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let from = "192.0.2.7".parse().ok();
        for _ in 0..FREE_BY_USER {
            assert_eq!(throttle.delay("ada", from, start), Duration::ZERO);
            throttle.failed("ada", from, start);
        }
        let second = Duration::from_secs(1);
        assert_eq!(throttle.delay("ada", from, start), second);
        assert_eq!(throttle.delay("ada", from, start + second / 2), second / 2);
        assert_eq!(throttle.delay("ada", from, start + second), Duration::ZERO);
        throttle.failed("ada", from, start + second);
        assert_eq!(throttle.delay("ada", from, start + second), 2 * second);
        for _ in 0..100 {
            throttle.failed("ada", from, start + second);
        }
        assert_eq!(throttle.delay("ada", from, start + second), LONGEST_DELAY);

        // The same user elsewhere, and a long time later.
        assert_eq!(throttle.delay("ada", "192.0.2.8".parse().ok(), start), Duration::ZERO);
        let later = start + 2 * MEMORY;
        throttle.failed("ada", from, later);
        assert_eq!(throttle.delay("ada", from, later), Duration::ZERO);
    }

    #[test]
    fn one_address_cannot_try_all_users() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let from = "192.0.2.7".parse().ok();
        for n in 0..FREE_BY_ADDRESS {
            throttle.failed(&format!("user-{n}"), from, now);
        }
        assert!(throttle.delay("another", from, now) > Duration::ZERO);
        // Not even with a login of its own.
        throttle.succeeded("user-0", from);
        assert!(throttle.delay("another", from, now) > Duration::ZERO);
    }

    #[test]
    fn a_login_forgives_the_mistypes_before_it() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE_BY_USER {
            throttle.failed("ada", None, now);
        }
        throttle.succeeded("ada", None);
        throttle.failed("ada", None, now);
        assert_eq!(throttle.delay("ada", None, now), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..2 * KEPT as u32 {
            throttle.failed("ada", Some(IpAddr::V4(n.into())), now + Duration::from_millis(n.into()));
        }
        assert!(throttle.failures.lock().unwrap().len() <= KEPT);
    }
}
