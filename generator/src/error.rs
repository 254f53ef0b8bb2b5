//! What can be wrong with a request for a shop. All of it is the caller's to mend: making rows cannot fail.

use chrono::NaiveDate;

/// A shop that cannot be built as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The period has no day at all, or more than the calendar or the id space holds.
    #[error("days must be between 1 and {max}, got {days}")]
    Days {
        /// Days asked for.
        days: u32,
        /// Most days a shop can have.
        max: u32,
    },
    /// Years that readers of the tables could not be trusted to handle.
    #[error("{days} days from {start} are not all in the years 1970 to 9000")]
    Period {
        /// First day asked for.
        start: NaiveDate,
        /// Days asked for.
        days: u32,
    },
    /// Product ids have six digits, so there is a most; and without a product nothing can be viewed.
    #[error("products must be between 1 and {max}, got {products}")]
    Products {
        /// Products asked for.
        products: u32,
        /// Most products that fit the id.
        max: u32,
    },
    /// User ids have seven digits, so there is a most; and without a user nobody visits.
    #[error("users must be between 1 and {max}, got {users}")]
    Users {
        /// Users asked for.
        users: u32,
        /// Most users that fit the id.
        max: u32,
    },
    /// More rows than the counters behind the ids can number.
    #[error("{table} must have at most {max} rows, got {rows}")]
    Rows {
        /// `shopping_events` or `reviews`.
        table: &'static str,
        /// Rows asked for.
        rows: u64,
        /// Most rows.
        max: u64,
    },
    /// A share lies between nothing and all.
    #[error("dirty must be a share between 0 and 1, got {dirty}")]
    Dirty {
        /// Share asked for.
        dirty: f64,
    },
    /// A sale day on which nothing is generated is most likely a typing error.
    #[error("sale day {day} is outside {start} to {last}")]
    SaleDay {
        /// The sale day asked for.
        day: NaiveDate,
        /// First day of the period.
        start: NaiveDate,
        /// Last day of the period.
        last: NaiveDate,
    },
    /// A multiplier under one thousandth would leave the day without rows; a huge one leaves the others without.
    #[error("sale multiplier must be between 0.001 and {max}, got {multiplier}")]
    SaleMultiplier {
        /// Multiplier asked for.
        multiplier: f64,
        /// Largest multiplier.
        max: f64,
    },
}
