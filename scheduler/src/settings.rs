//! Options of a session that statements are planned and run with.

use std::collections::BTreeMap;

use arrow::array::timezone::Tz;
use bergmill_engine::DEFAULT_NAMESPACE;
use bergmill_gateway::{Caller, Session};
use bergmill_statement::{CATALOG, NAMESPACE_OPTION, TIME_ZONE_OPTION, nearest};
use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::prelude::SessionConfig;

use crate::error::{Error, ErrorKind, Result};
use crate::process::Scheduler;
use crate::system::SYSTEM;

const CATALOG_OPTION: &str = "catalog";
const EXECUTION_OPTION: &str = "bergmill.execution";
const LOCAL_BYTES_OPTION: &str = "bergmill.local_query_bytes";
const OPTIONS: [&str; 5] = [CATALOG_OPTION, NAMESPACE_OPTION, TIME_ZONE_OPTION, EXECUTION_OPTION, LOCAL_BYTES_OPTION];

/// Where queries run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where they are expected to end first.
    #[default]
    Auto,
    /// In the scheduler's process.
    Local,
    /// On executors.
    Cluster,
}

/// The options of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The namespace of names without one.
    pub namespace: String,
    /// Where queries run.
    pub place: Place,
    /// In place of the scheduler's setting.
    pub local_query_bytes: Option<u64>,
    time_zone: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { namespace: DEFAULT_NAMESPACE.to_string(), place: Place::Auto, local_query_bytes: None, time_zone: None }
    }
}

impl Settings {
    /// The settings for options, which were checked when they were set.
    pub(crate) fn of(options: &BTreeMap<String, String>) -> Self {
        let mut settings = Self::default();
        for (name, value) in options {
            match name.as_str() {
                NAMESPACE_OPTION => settings.namespace = value.clone(),
                TIME_ZONE_OPTION => settings.time_zone = Some(value.clone()),
                EXECUTION_OPTION => settings.place = place(value).unwrap_or_default(),
                LOCAL_BYTES_OPTION => settings.local_query_bytes = value.parse().ok(),
                _ => {}
            }
        }
        settings
    }

    /// The configuration with these settings.
    pub(crate) fn apply(&self, config: SessionConfig) -> SessionConfig {
        let config = config.with_default_catalog_and_schema(CATALOG, &self.namespace);
        match &self.time_zone {
            Some(zone) => config.set_str("datafusion.execution.time_zone", zone),
            None => config,
        }
    }
}

impl Scheduler {
    /// Sets an option of a session of `caller`, or resets it.
    pub(crate) async fn set(
        &self,
        session: Option<&Session>,
        caller: Option<&Caller>,
        name: &str,
        value: Option<&str>,
    ) -> Result<()> {
        let (name, value) = checked(name, value)?;
        if let Some(namespace) = value.as_ref().filter(|_| name == NAMESPACE_OPTION) {
            self.check_namespace(namespace, caller).await?;
        }
        let none = || {
            let what = "an option is set for the session of a client, and this client has none: connect with a user, or \
                        with a client that returns cookies";
            Error::new(ErrorKind::Unsupported, what)
        };
        session.ok_or_else(none)?.set(name, value);
        Ok(())
    }

    /// Checks that there is a namespace, and that the caller may know of it.
    async fn check_namespace(&self, name: &str, caller: Option<&Caller>) -> Result<()> {
        let mut known = self.namespace_names(caller).await?;
        known.extend([DEFAULT_NAMESPACE, SYSTEM, INFORMATION_SCHEMA].map(str::to_string));
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        let hint = nearest(name, known.iter().map(String::as_str)).map(|near| format!("; did you mean {near}?"));
        let what = format!("namespace {name} not found{}", hint.unwrap_or_default());
        Err(Error::new(ErrorKind::InvalidInput, what))
    }
}

/// The name and value under which an option is kept.
fn checked(name: &str, value: Option<&str>) -> Result<(&'static str, Option<String>)> {
    let name = name.to_ascii_lowercase();
    let name = match name.as_str() {
        "timezone" | "datafusion.execution.time_zone" => TIME_ZONE_OPTION,
        "namespace" | "database" => NAMESPACE_OPTION,
        name => OPTIONS.into_iter().find(|known| *known == name).ok_or_else(|| {
            let what = format!("there is no option {name}; there are {}", OPTIONS.join(", "));
            Error::new(ErrorKind::NotFound, what)
        })?,
    };
    let Some(value) = value else { return Ok((name, None)) };
    let wrong = |expected: &str| {
        Err(Error::new(ErrorKind::InvalidInput, format!("option {name} cannot be {value:?}: expected {expected}")))
    };
    let value = match name {
        CATALOG_OPTION if value != CATALOG => return wrong(CATALOG),
        NAMESPACE_OPTION if value.is_empty() => return wrong("the name of a namespace"),
        TIME_ZONE_OPTION if value.eq_ignore_ascii_case("utc") => "UTC".to_string(),
        TIME_ZONE_OPTION if value.parse::<Tz>().is_err() => return wrong("a time zone such as Asia/Seoul or +09:00"),
        EXECUTION_OPTION => match value.to_ascii_lowercase() {
            value if place(&value).is_some() => value,
            _ => return wrong("auto, local or cluster"),
        },
        LOCAL_BYTES_OPTION if value.parse::<u64>().is_err() => return wrong("a number of bytes"),
        _ => value.to_string(),
    };
    Ok((name, Some(value)))
}

fn place(value: &str) -> Option<Place> {
    match value {
        "auto" => Some(Place::Auto),
        "local" => Some(Place::Local),
        "cluster" => Some(Place::Cluster),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked_when_they_are_set() {
        for (name, value, expected) in [
            ("timezone", "Asia/Seoul", Ok(("time_zone", "Asia/Seoul"))),
            ("TIME_ZONE", "utc", Ok(("time_zone", "UTC"))),
            ("time_zone", "-03:30", Ok(("time_zone", "-03:30"))),
            ("bergmill.execution", "LOCAL", Ok(("bergmill.execution", "local"))),
            ("bergmill.local_query_bytes", "0", Ok(("bergmill.local_query_bytes", "0"))),
            ("catalog", "bergmill", Ok(("catalog", "bergmill"))),
            ("schema", "raw", Ok(("schema", "raw"))),
            ("time_zone", "Mars", Err(ErrorKind::InvalidInput)),
            ("bergmill.execution", "remote", Err(ErrorKind::InvalidInput)),
            ("bergmill.local_query_bytes", "much", Err(ErrorKind::InvalidInput)),
            ("catalog", "other", Err(ErrorKind::InvalidInput)),
            ("datafusion.execution.batch_size", "1", Err(ErrorKind::NotFound)),
        ] {
            let found = checked(name, Some(value)).map_err(|e| e.kind());
            assert_eq!(found, expected.map(|(name, value)| (name, Some(value.to_string()))), "{name} {value}");
        }
        assert_eq!(checked("timezone", None).unwrap(), ("time_zone", None));
    }

    #[test]
    fn settings_are_the_defaults_unless_they_are_set() {
        assert_eq!(Settings::of(&BTreeMap::new()), Settings::default());
        let options = [("schema", "shop"), ("bergmill.execution", "cluster"), ("time_zone", "Asia/Seoul")];
        let settings = Settings::of(&options.map(|(name, value)| (name.to_string(), value.to_string())).into());
        assert_eq!((settings.namespace.as_str(), settings.place), ("shop", Place::Cluster));
        let config = settings.apply(SessionConfig::new());
        assert_eq!(config.options().catalog.default_schema, "shop");
        assert_eq!(config.options().execution.time_zone.as_deref(), Some("Asia/Seoul"));
    }
}
