//! The unit of work: a day's rows divided into chunks of equal size along the traffic curve.
//!
//! A chunk has its own random stream and the index of its first row among all rows, so it can be generated
//! independently, in any order and in parallel, with the same result. One chunk becomes one record batch, which bounds
//! the memory.

use crate::calendar::Calendar;
use crate::random::Random;
use crate::traffic::TrafficCurve;

/// Rows of a full chunk. Larger ones exceed the second-level cache, smaller ones add overhead per batch.
pub const CHUNK_ROWS: usize = 8192;

/// A part of a day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    /// Day of the period; negative before it.
    pub(crate) day: i64,
    pub(crate) number: u32,
    /// Rows of the table before this chunk, over all days.
    pub(crate) first: u64,
    pub(crate) rows: usize,
    /// Start of the day in microseconds since 1970.
    pub(crate) day_start: i64,
    pub(crate) is_sale: bool,
    /// Shares of the day's traffic before and until the end of this chunk.
    share: (f64, f64),
}

/// The number of chunks of a day.
pub(crate) fn chunks(rows_on_day: u64) -> u32 {
    u32::try_from(rows_on_day.div_ceil(CHUNK_ROWS as u64)).expect("rows are limited by the parameters")
}

impl Chunk {
    /// `before` and `on` are the table's rows before and on the day; `number` is below `chunks(on)`.
    pub(crate) fn new(calendar: &Calendar, day: i64, number: u32, before: u64, on: u64) -> Self {
        let start = u64::from(number) * CHUNK_ROWS as u64;
        assert!(start < on, "chunk {number} of day {day} does not exist");
        let end = on.min(start + CHUNK_ROWS as u64);
        Self {
            day,
            number,
            first: before + start,
            rows: (end - start) as usize,
            day_start: calendar.start_micros(day),
            is_sale: calendar.is_sale(day),
            share: (start as f64 / on as f64, end as f64 / on as f64),
        }
    }

    /// A random time within the chunk's part of the day, in microseconds since 1970.
    pub(crate) fn time(&self, curve: &TrafficCurve, random: &mut Random) -> i64 {
        let (from, to) = self.share;
        self.day_start + curve.sample(from + (to - from) * random.unit()) as i64
    }
}
