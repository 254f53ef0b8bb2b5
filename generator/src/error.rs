//! The errors of invalid shop parameters, which the caller can fix. Generating rows cannot fail.

use chrono::NaiveDate;

/// Invalid parameters of a shop.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The period has no day, or more than the calendar or the id space allows.
    #[error("days must be between 1 and {max}, got {days}")]
    Days {
        /// Requested days.
        days: u32,
        /// Maximum number of days.
        max: u32,
    },
    /// Years that readers of the tables may not support.
    #[error("{days} days from {start} are not all in the years 1970 to 9000")]
    Period {
        /// Requested first day.
        start: NaiveDate,
        /// Requested days.
        days: u32,
    },
    /// Product ids have six digits, which limits their number; and without a product nothing can be viewed.
    #[error("products must be between 1 and {max}, got {products}")]
    Products {
        /// Requested products.
        products: u32,
        /// Maximum number of products that fits the id.
        max: u32,
    },
    /// User ids have seven digits, which limits their number; and without a user there are no sessions.
    #[error("users must be between 1 and {max}, got {users}")]
    Users {
        /// Requested users.
        users: u32,
        /// Maximum number of users that fits the id.
        max: u32,
    },
    /// More rows than the counters of the ids allow.
    #[error("{table} must have at most {max} rows, got {rows}")]
    Rows {
        /// `shopping_events` or `reviews`.
        table: &'static str,
        /// Requested rows.
        rows: u64,
        /// Maximum number of rows.
        max: u64,
    },
    /// The share is not between 0 and 1.
    #[error("dirty must be a share between 0 and 1, got {dirty}")]
    Dirty {
        /// Requested share.
        dirty: f64,
    },
    /// A sale day outside the period, where nothing is generated, is most likely a typo.
    #[error("sale day {day} is outside {start} to {last}")]
    SaleDay {
        /// Requested sale day.
        day: NaiveDate,
        /// First day of the period.
        start: NaiveDate,
        /// Last day of the period.
        last: NaiveDate,
    },
    /// A multiplier below one thousandth would leave the day without rows; a huge one, the other days.
    #[error("sale multiplier must be between 0.001 and {max}, got {multiplier}")]
    SaleMultiplier {
        /// Requested multiplier.
        multiplier: f64,
        /// Maximum multiplier.
        max: f64,
    },
}
