//! The parameters of a shop and their validation.

use crate::error::Error;
use chrono::{Days, NaiveDate};

const MAX_DAYS: u32 = 1 << 16;
const MAX_PRODUCTS: u32 = 1_000_000;
const MAX_USERS: u32 = 10_000_000;
/// The session number allows 2^32 chunks of 2^13 rows; this limit is lower and still exceeds any disk.
const MAX_ROWS: u64 = 1 << 40;
const MAX_SALE_MULTIPLIER: f64 = 1000.0;

/// The parameters of a [`Shop`](crate::Shop). Two shops with equal parameters have equal rows, on any machine.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopParams {
    /// Seed of all random decisions.
    pub seed: u64,
    /// Rows of `shopping_events` over all days, dirty ones included.
    pub events: u64,
    /// Rows of `reviews` over all days.
    pub reviews: u64,
    /// First day (UTC).
    pub start: NaiveDate,
    /// Days of the period, starting at `start`.
    pub days: u32,
    /// Rows of `products`; popularity among them follows Zipf's law with exponent 1.
    pub products: u32,
    /// Rows of `users`.
    pub users: u32,
    /// Share of events with an anomaly, 0 to 1.
    pub dirty: f64,
    /// Days with `sale_multiplier` times the usual traffic and more campaigns.
    pub sale_days: Vec<NaiveDate>,
    /// Traffic of a sale day relative to the same weekday without a sale; rounded to thousandths.
    pub sale_multiplier: f64,
}

impl Default for ShopParams {
    /// One million events and fifty thousand reviews over the thirty days of June 2024, without dirty rows or sale.
    fn default() -> Self {
        Self {
            seed: 42,
            events: 1_000_000,
            reviews: 50_000,
            start: NaiveDate::from_ymd_opt(2024, 6, 1).expect("a date of the calendar"),
            days: 30,
            products: 20_000,
            users: 20_000,
            dirty: 0.0,
            sale_days: Vec::new(),
            sale_multiplier: 10.0,
        }
    }
}

impl ShopParams {
    /// The last day of the period.
    pub(crate) fn validate(&self) -> Result<NaiveDate, Error> {
        let &Self { start, days, products, users, dirty, .. } = self;
        if !(1..=MAX_DAYS).contains(&days) {
            return Err(Error::Days { days, max: MAX_DAYS });
        }
        let last = start.checked_add_days(Days::new(u64::from(days) - 1));
        let last =
            last.filter(|last| is_supported(*last) && is_supported(start)).ok_or(Error::Period { start, days })?;
        if !(1..=MAX_PRODUCTS).contains(&products) {
            return Err(Error::Products { products, max: MAX_PRODUCTS });
        }
        if !(1..=MAX_USERS).contains(&users) {
            return Err(Error::Users { users, max: MAX_USERS });
        }
        for (table, rows) in [("shopping_events", self.events), ("reviews", self.reviews)] {
            if rows > MAX_ROWS {
                return Err(Error::Rows { table, rows, max: MAX_ROWS });
            }
        }
        if !(0.0..=1.0).contains(&dirty) {
            return Err(Error::Dirty { dirty });
        }
        if let Some(&day) = self.sale_days.iter().find(|day| !(start..=last).contains(*day)) {
            return Err(Error::SaleDay { day, start, last });
        }
        if !(0.001..=MAX_SALE_MULTIPLIER).contains(&self.sale_multiplier) {
            return Err(Error::SaleMultiplier { multiplier: self.sale_multiplier, max: MAX_SALE_MULTIPLIER });
        }
        Ok(last)
    }
}

/// Whether the year has four digits in Iceberg, Parquet and all their readers.
fn is_supported(date: NaiveDate) -> bool {
    use chrono::Datelike;
    (1970..=9000).contains(&date.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut ShopParams), expected: &str) {
        let mut params = ShopParams::default();
        change(&mut params);
        assert_eq!(params.validate().expect_err("refused").to_string(), expected);
    }

    #[test]
    fn the_default_is_june_2024() {
        let last = ShopParams::default().validate().expect("valid");
        assert_eq!(last.to_string(), "2024-06-30");
    }

    #[test]
    fn invalid_parameters_are_reported() {
        check(|p| p.days = 0, "days must be between 1 and 65536, got 0");
        check(|p| p.products = 0, "products must be between 1 and 1000000, got 0");
        check(|p| p.users = 10_000_001, "users must be between 1 and 10000000, got 10000001");
        check(|p| p.reviews = u64::MAX, &format!("reviews must have at most {MAX_ROWS} rows, got {}", u64::MAX));
        check(|p| p.dirty = 1.5, "dirty must be a share between 0 and 1, got 1.5");
        check(|p| p.dirty = f64::NAN, "dirty must be a share between 0 and 1, got NaN");
        check(|p| p.sale_multiplier = 0.0, "sale multiplier must be between 0.001 and 1000, got 0");
        check(
            |p| p.sale_days = vec![NaiveDate::from_ymd_opt(2024, 7, 1).expect("a date")],
            "sale day 2024-07-01 is outside 2024-06-01 to 2024-06-30",
        );
        check(
            |p| p.start = NaiveDate::MAX,
            &format!("30 days from {} are not all in the years 1970 to 9000", NaiveDate::MAX),
        );
    }
}
