//! Anomalies of real data: missing fields, repeated deliveries, wrong clocks, unknown event types, negative prices.
//!
//! Which rows are anomalous, and how, depends on seed and chunk but not on the rows, so anomalies can be counted
//! without generating rows. A row has at most one anomaly.

use crate::chunk::Chunk;
use crate::lexicon::EVENT_TYPES;
use crate::random::{Random, Stream};
use crate::sessions::{Missing, PURCHASE, Row};
use crate::shop_model::ShopModel;
use chrono::{DateTime, Utc};
use std::ops::AddAssign;

/// The number of anomalous rows, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DirtyCounts {
    /// One of `event_id`, `user_id`, `category` and `session_id` is null. The timestamp is never null, since a row
    /// without one belongs to no day and could not be replaced with its day.
    pub missing_fields: u64,
    /// The row is an exact copy of an earlier, valid row, as in at-least-once delivery.
    pub repeated: u64,
    /// The timestamp is one day or one year ahead, in 1970 or in 2999.
    pub wrong_times: u64,
    /// The event type is not one of the four.
    pub unknown_types: u64,
    /// The price is below zero.
    pub negative_prices: u64,
}

impl DirtyCounts {
    /// All anomalous rows.
    pub fn total(&self) -> u64 {
        self.missing_fields + self.repeated + self.wrong_times + self.unknown_types + self.negative_prices
    }
}

impl AddAssign for DirtyCounts {
    fn add_assign(&mut self, other: Self) {
        self.missing_fields += other.missing_fields;
        self.repeated += other.repeated;
        self.wrong_times += other.wrong_times;
        self.unknown_types += other.unknown_types;
        self.negative_prices += other.negative_prices;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anomaly {
    Missing(Missing),
    /// Repeats the row at this index.
    Repeats(usize),
    /// Index into [`wrong_day`].
    WrongTime(u32),
    UnknownType(u8),
    NegativePrice,
}

/// The maximum distance, in rows, between a row and its repetition.
const REDELIVERY_ROWS: usize = 256;
const WRONG_DAYS: u32 = 4;
const SOUND_TYPES: u8 = PURCHASE + 1;
const DAY_MICROS: i64 = 86_400_000_000;
const DECEMBER_31_2999: DateTime<Utc> = DateTime::from_timestamp(32_503_593_600, 0).expect("a time of the calendar");

/// The anomalous rows of a chunk, by ascending index. A repeated row comes after the valid row that it repeats.
fn plan(model: &ShopModel, chunk: &Chunk) -> Vec<(usize, Anomaly)> {
    let share = model.params.dirty;
    if share == 0.0 {
        return Vec::new();
    }
    let mut random = Random::stream(model.params.seed, Stream::Dirt, chunk.day, u64::from(chunk.number));
    let mut plan = Vec::with_capacity((chunk.rows as f64 * share * 1.1) as usize + 16);
    let mut is_sound = vec![true; chunk.rows];
    for index in 0..chunk.rows {
        if !random.chance(share) {
            continue;
        }
        is_sound[index] = false;
        let anomaly = match random.below(5) {
            0 => missing(&mut random),
            1 => {
                let back = 1 + random.below(index.clamp(1, REDELIVERY_ROWS) as u32) as usize;
                let sound = (0..(index + 1).saturating_sub(back)).rev().find(|&earlier| is_sound[earlier]);
                // Before the first valid row there is nothing to repeat.
                sound.map_or_else(|| missing(&mut random), Anomaly::Repeats)
            }
            2 => Anomaly::WrongTime(random.below(WRONG_DAYS)),
            3 => Anomaly::UnknownType(SOUND_TYPES + random.below(EVENT_TYPES.len() as u32 - 4) as u8),
            _ => Anomaly::NegativePrice,
        };
        plan.push((index, anomaly));
    }
    plan
}

fn missing(random: &mut Random) -> Anomaly {
    let fields = [Missing::EventId, Missing::UserId, Missing::Category, Missing::SessionId];
    Anomaly::Missing(fields[random.below(4) as usize])
}

/// The start of the day of a wrong clock, in microseconds since 1970, for a row of the day that starts at `day_start`.
fn wrong_day(choice: u32, day_start: i64) -> i64 {
    match choice {
        0 => day_start + DAY_MICROS,
        1 => day_start + 365 * DAY_MICROS,
        2 => 0,
        _ => DECEMBER_31_2999.timestamp_micros(),
    }
}

/// Adds anomalies to the rows of a chunk, which are in their final order.
pub(crate) fn spoil(model: &ShopModel, chunk: &Chunk, rows: &mut [Row]) {
    for (index, anomaly) in plan(model, chunk) {
        match anomaly {
            Anomaly::Missing(field) => rows[index].missing = Some(field),
            Anomaly::Repeats(earlier) => rows[index] = rows[earlier],
            Anomaly::WrongTime(choice) => rows[index].time += wrong_day(choice, chunk.day_start) - chunk.day_start,
            Anomaly::UnknownType(kind) => rows[index].kind = kind,
            Anomaly::NegativePrice => {
                let row = &mut rows[index];
                let list_price = model.products.product(row.product).price_won as i32;
                row.price_won = Some(-row.price_won.unwrap_or(list_price));
            }
        }
    }
}

/// The number of rows of a chunk with each anomaly.
pub(crate) fn count(model: &ShopModel, chunk: &Chunk) -> DirtyCounts {
    let mut counts = DirtyCounts::default();
    for (_, anomaly) in plan(model, chunk) {
        *match anomaly {
            Anomaly::Missing(_) => &mut counts.missing_fields,
            Anomaly::Repeats(_) => &mut counts.repeated,
            Anomaly::WrongTime(_) => &mut counts.wrong_times,
            Anomaly::UnknownType(_) => &mut counts.unknown_types,
            Anomaly::NegativePrice => &mut counts.negative_prices,
        } += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ShopParams;

    fn counts(dirty: f64) -> DirtyCounts {
        let model = ShopModel::new(ShopParams { dirty, products: 100, users: 100, days: 7, ..Default::default() });
        let chunks = (0..7).flat_map(|day| (0..model.event_chunks(day)).map(move |number| (day, number)));
        chunks.fold(DirtyCounts::default(), |mut all, (day, number)| {
            all += count(&model, &model.event_chunk(day, number));
            all
        })
    }

    #[test]
    fn every_kind_has_its_share() {
        let counts = counts(0.05);
        let near = |n: u64, expected: f64| (n as f64 / expected - 1.0).abs() < 0.05;
        assert!(near(counts.total(), 50_000.0), "{counts:?}");
        let DirtyCounts { missing_fields, repeated, wrong_times, unknown_types, negative_prices } = counts;
        for kind in [missing_fields, repeated, wrong_times, unknown_types, negative_prices] {
            assert!(near(kind, 10_000.0), "{counts:?}");
        }
    }

    #[test]
    fn the_ends_are_none_and_all() {
        assert_eq!(counts(0.0), DirtyCounts::default());
        let all = counts(1.0);
        assert_eq!((all.total(), all.repeated), (1_000_000, 0), "there is no valid row to repeat");
    }

    #[test]
    fn repeated_rows_follow_a_valid_one() {
        let model = ShopModel::new(ShopParams { dirty: 0.5, products: 100, users: 100, ..Default::default() });
        let plan = plan(&model, &model.event_chunk(0, 0));
        for (index, anomaly) in &plan {
            if let Anomaly::Repeats(earlier) = anomaly {
                assert!(earlier < index && plan.binary_search_by_key(earlier, |(index, _)| *index).is_err());
            }
        }
    }
}
