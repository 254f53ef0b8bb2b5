//! The shop: parameters in, record batches out.

use crate::anomalies::{self, DirtyCounts};
use crate::error::Error;
use crate::params::ShopParams;
use crate::shop_model::ShopModel;
use crate::traffic::TrafficCurve;
use crate::{dimensions, events, reviews};
use arrow::array::RecordBatch;
use chrono::{Days, NaiveDate};
use std::ops::Range;
use std::sync::Arc;

const DIMENSION_BATCH_ROWS: u32 = 65_536;

/// A shop whose rows are determined, but generated on demand. Cloning is cheap, and clones may generate rows of
/// different days at the same time.
///
/// Days are numbered from 0, the first of the period. A day outside the period has no rows.
///
/// ```
/// use bergmill_generator::{Shop, ShopParams};
///
/// let shop = Shop::new(ShopParams { events: 10_000, days: 7, ..ShopParams::default() })?;
/// let rows: usize = (0..shop.days()).flat_map(|day| shop.events(day)).map(|batch| batch.num_rows()).sum();
/// assert_eq!(rows, 10_000);
/// # Ok::<(), bergmill_generator::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Shop(Arc<ShopModel>);

impl Shop {
    /// Checks the parameters and builds the state that all days share. Memory and time are proportional to products and
    /// users only.
    pub fn new(params: ShopParams) -> Result<Self, Error> {
        params.validate()?;
        Ok(Self(Arc::new(ShopModel::new(params))))
    }

    /// The parameters of the shop.
    pub fn params(&self) -> &ShopParams {
        &self.0.params
    }

    /// Days of the period.
    pub fn days(&self) -> u32 {
        self.0.calendar.days()
    }

    /// The date of a day, if it is in the period.
    pub fn date(&self, day: u32) -> Option<NaiveDate> {
        (day < self.days()).then(|| self.0.calendar.start() + Days::new(u64::from(day)))
    }

    /// The day of a date, if it is in the period.
    pub fn day_of(&self, date: NaiveDate) -> Option<u32> {
        let day = u32::try_from((date - self.0.calendar.start()).num_days()).ok()?;
        (day < self.days()).then_some(day)
    }

    /// Rows of `shopping_events` on a day. The days add up to `ShopParams::events`.
    pub fn event_rows(&self, day: u32) -> u64 {
        self.0.calendar.events_on(i64::from(day))
    }

    /// Rows of `reviews` on a day. The days add up to `ShopParams::reviews`.
    pub fn review_rows(&self, day: u32) -> u64 {
        self.0.calendar.reviews_on(i64::from(day))
    }

    /// Traffic at a second of a day, relative to the peak of a Monday: the curve of the day times the factors of
    /// weekday and sale. 0 outside the period.
    pub fn traffic(&self, day: u32, second_of_day: u32) -> f64 {
        self.0.calendar.factor(day) * self.curve().weight(second_of_day)
    }

    /// The curve of a day.
    pub fn curve(&self) -> &TrafficCurve {
        &self.0.curve
    }

    /// `shopping_events` of a day, see [`events_schema`](crate::events_schema). Batches have
    /// [`CHUNK_ROWS`](crate::CHUNK_ROWS) rows except the last. Rows are in order of time within a batch, and nearly so
    /// across batches: a session that starts in one may extend into the time of the next. Wrong timestamps of dirty
    /// rows violate this order; all other timestamps are within the day.
    pub fn events(&self, day: u32) -> impl ExactSizeIterator<Item = RecordBatch> + Send + use<> {
        self.event_chunks(day, 0..self.event_chunk_count(day))
    }

    /// The number of batches of [`events`](Self::events) for a day.
    pub fn event_chunk_count(&self, day: u32) -> u32 {
        self.0.event_chunks(i64::from(day))
    }

    /// Some of the batches of [`events`](Self::events), to divide a day among threads or to resume. Each is generated
    /// independently; numbers past the last are ignored.
    pub fn event_chunks(
        &self,
        day: u32,
        chunks: Range<u32>,
    ) -> impl ExactSizeIterator<Item = RecordBatch> + Send + use<> {
        let model = self.0.clone();
        let chunks = chunks.start..chunks.end.min(self.event_chunk_count(day));
        chunks.map(move |number| events::batch(&model, &model.event_chunk(i64::from(day), number)))
    }

    /// `reviews` of a day, see [`reviews_schema`](crate::reviews_schema), in order of time.
    pub fn reviews(&self, day: u32) -> impl ExactSizeIterator<Item = RecordBatch> + Send + use<> {
        let model = self.0.clone();
        let chunks = 0..model.review_chunks(i64::from(day));
        chunks.map(move |number| reviews::batch(&model, &model.review_chunk(i64::from(day), number)))
    }

    /// All `products`, see [`products_schema`](crate::products_schema), by id.
    pub fn products(&self) -> impl ExactSizeIterator<Item = RecordBatch> + Send + use<> {
        let model = self.0.clone();
        ranges(model.products.len()).map(move |numbers| dimensions::products(&model, numbers))
    }

    /// All `users`, see [`users_schema`](crate::users_schema), by id.
    pub fn users(&self) -> impl ExactSizeIterator<Item = RecordBatch> + Send + use<> {
        let model = self.0.clone();
        ranges(model.users.len()).map(move |numbers| dimensions::users(&model, numbers))
    }

    /// All `categories`, see [`categories_schema`](crate::categories_schema). They are the same in every shop.
    pub fn categories(&self) -> RecordBatch {
        dimensions::categories()
    }

    /// All `brands`, see [`brands_schema`](crate::brands_schema).
    pub fn brands(&self) -> RecordBatch {
        dimensions::brands(self.0.params.seed)
    }

    /// The number of dirty events of a day by kind, without generating them.
    pub fn dirty_counts(&self, day: u32) -> DirtyCounts {
        let mut counts = DirtyCounts::default();
        for number in 0..self.event_chunk_count(day) {
            counts += anomalies::count(&self.0, &self.0.event_chunk(i64::from(day), number));
        }
        counts
    }
}

/// `0..n` in ranges of one batch.
fn ranges(n: u32) -> impl ExactSizeIterator<Item = Range<u32>> + Send + use<> {
    let pieces = n.div_ceil(DIMENSION_BATCH_ROWS);
    (0..pieces).map(move |piece| piece * DIMENSION_BATCH_ROWS..n.min((piece + 1) * DIMENSION_BATCH_ROWS))
}

#[cfg(test)]
mod tests;
