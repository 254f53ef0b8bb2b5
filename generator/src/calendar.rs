//! The traffic of each day, and thus its number of rows.
//!
//! Rows are divided by integer weights and running totals, so the days add up exactly to the requested number.

use crate::params::ShopParams;
use chrono::{Datelike, Days, NaiveDate, Weekday};

/// The days of a shop and their share of its rows.
#[derive(Debug)]
pub(crate) struct Calendar {
    start: NaiveDate,
    start_micros: i64,
    /// Traffic of each day, in thousandths of a Monday without a sale.
    weights: Vec<u64>,
    is_sale: Vec<bool>,
    /// Rows before each day, and the total at the end.
    events: Vec<u64>,
    reviews: Vec<u64>,
}

const DAY_MICROS: i64 = 86_400_000_000;

impl Calendar {
    pub(crate) fn new(params: &ShopParams) -> Self {
        let sale_thousandths = (params.sale_multiplier * 1000.0).round() as u64;
        let dates = (0..params.days).map(|day| params.start + Days::new(u64::from(day)));
        let is_sale: Vec<bool> = dates.clone().map(|date| params.sale_days.contains(&date)).collect();
        let weights: Vec<u64> = dates
            .zip(&is_sale)
            .map(|(date, &sale)| {
                weekday_thousandths(date.weekday()) * if sale { sale_thousandths } else { 1000 } / 1000
            })
            .map(|weight| weight.max(1))
            .collect();
        Self {
            start: params.start,
            start_micros: params.start.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros(),
            events: running_totals(&weights, params.events),
            reviews: running_totals(&weights, params.reviews),
            weights,
            is_sale,
        }
    }

    pub(crate) fn days(&self) -> u32 {
        self.weights.len() as u32
    }

    pub(crate) fn start(&self) -> NaiveDate {
        self.start
    }

    /// The start of a day in microseconds since 1970. Days before the period are negative and have a start too.
    pub(crate) fn start_micros(&self, day: i64) -> i64 {
        self.start_micros + day * DAY_MICROS
    }

    /// Traffic of a day relative to a Monday without a sale.
    pub(crate) fn factor(&self, day: u32) -> f64 {
        self.weights.get(day as usize).map_or(0.0, |&weight| weight as f64 / 1000.0)
    }

    pub(crate) fn is_sale(&self, day: i64) -> bool {
        usize::try_from(day).is_ok_and(|day| self.is_sale.get(day) == Some(&true))
    }

    /// Events before this day of the period.
    pub(crate) fn events_before(&self, day: i64) -> u64 {
        usize::try_from(day).map_or(0, |day| self.events[day.min(self.weights.len())])
    }

    /// Events of a day. The shop was open before the period, with about the traffic of its first day: those events are
    /// never returned, but the first reviews refer to them.
    pub(crate) fn events_on(&self, day: i64) -> u64 {
        on(&self.events, day.max(0))
    }

    pub(crate) fn reviews_before(&self, day: i64) -> u64 {
        usize::try_from(day).map_or(0, |day| self.reviews[day.min(self.weights.len())])
    }

    pub(crate) fn reviews_on(&self, day: i64) -> u64 {
        on(&self.reviews, day)
    }
}

fn on(totals: &[u64], day: i64) -> u64 {
    let Ok(day) = usize::try_from(day) else { return 0 };
    match totals.get(day..day + 2) {
        Some(&[before, after]) => after - before,
        _ => 0,
    }
}

fn weekday_thousandths(weekday: Weekday) -> u64 {
    match weekday {
        Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu => 1000,
        Weekday::Fri => 1100,
        Weekday::Sat => 1300,
        Weekday::Sun => 1350,
    }
}

/// `rows` divided in proportion to `weights`, as totals before each part and after the last.
fn running_totals(weights: &[u64], rows: u64) -> Vec<u64> {
    let all: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    let mut until = 0u128;
    let parts = weights.iter().map(|&weight| {
        until += u128::from(weight);
        (u128::from(rows) * until / all) as u64
    });
    std::iter::once(0).chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(change: impl FnOnce(&mut ShopParams)) -> Calendar {
        let mut params = ShopParams::default();
        change(&mut params);
        Calendar::new(&params)
    }

    #[test]
    fn days_add_up_exactly() {
        for rows in [0, 1, 29, 30, 31, 999_983, 1 << 40] {
            let calendar = calendar(|p| (p.events, p.reviews) = (rows, rows / 3));
            assert_eq!((0..30).map(|day| calendar.events_on(day)).sum::<u64>(), rows);
            assert_eq!((0..30).map(|day| calendar.reviews_on(day)).sum::<u64>(), rows / 3);
            assert_eq!(calendar.events_before(30), rows);
        }
    }

    #[test]
    fn weekends_are_busier_and_sales_much_more() {
        let sale = NaiveDate::from_ymd_opt(2024, 6, 12).expect("a date");
        let calendar = calendar(|p| p.sale_days = vec![sale]);
        // 2024-06-01 was a Saturday, the 3rd a Monday, the 12th a Wednesday.
        let ratio = |a: i64, b: i64| calendar.events_on(a) as f64 / calendar.events_on(b) as f64;
        assert!((ratio(0, 2) - 1.3).abs() < 0.001);
        assert!((ratio(11, 4) - 10.0).abs() < 0.01);
        assert_eq!((calendar.factor(11), calendar.factor(2), calendar.factor(30)), (10.0, 1.0, 0.0));
        assert!(calendar.is_sale(11) && !calendar.is_sale(10) && !calendar.is_sale(-1));
    }

    #[test]
    fn outside_the_period_there_is_a_past_but_no_future() {
        let calendar = calendar(|_| ());
        assert_eq!(calendar.events_on(-5), calendar.events_on(0));
        assert_eq!((calendar.events_on(30), calendar.reviews_on(-1), calendar.reviews_on(30)), (0, 0, 0));
        assert_eq!(calendar.start_micros(0), 1_717_200_000_000_000);
    }
}
