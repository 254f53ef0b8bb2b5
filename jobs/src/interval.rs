//! The interval of a run: one UTC day. Dates enter SQL only through this type, so a template never receives user input.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use crate::error::JobError;

/// One UTC day, from its midnight (included) to the next (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    date: NaiveDate,
}

impl Interval {
    /// The interval of a date.
    pub fn of(date: NaiveDate) -> Self {
        Self { date }
    }

    /// The date.
    pub fn date(self) -> NaiveDate {
        self.date
    }

    /// The first instant of the interval.
    pub fn start(self) -> DateTime<Utc> {
        self.date.and_time(NaiveTime::MIN).and_utc()
    }

    /// The first instant after the interval.
    pub fn end(self) -> DateTime<Utc> {
        self.start() + Days::new(1)
    }

    /// The relative folder for files of the interval: `2026/02/14`.
    pub fn folder(self) -> PathBuf {
        self.date.format("%Y/%m/%d").to_string().into()
    }
}

impl FromStr for Interval {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        let bad = || JobError::BadDate { text: text.to_owned() };
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| bad())?;
        // chrono also accepts 2026-2-14 and +12026-02-14; with one spelling an interval has the same name everywhere.
        let one_spelling = text.len() == 10 && date.to_string() == text;
        one_spelling.then_some(Self { date }).ok_or_else(bad)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let interval: Interval = "2026-02-14".parse().unwrap();
        assert_eq!(interval.to_string(), "2026-02-14");
        assert_eq!(interval.folder(), PathBuf::from("2026/02/14"));
        assert_eq!(interval.end().to_rfc3339(), "2026-02-15T00:00:00+00:00");
        for bad in
            ["", "2026-2-14", "2026-02-30", "14.02.2026", "2026-02-14 ", "2026-02-14'; DROP TABLE x", "+12026-02-14"]
        {
            let error = bad.parse::<Interval>().unwrap_err();
            assert!(matches!(error, JobError::BadDate { .. }), "{bad}");
        }
    }
}
