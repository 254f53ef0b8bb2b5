//! A day of a very small shop, written by hand so that every result can be computed by hand.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::DateTime;

use crate::small_cluster::SmallCluster;

/// An event; `None` is NULL.
#[derive(Clone)]
pub struct Event {
    pub id: Option<&'static str>,
    pub kind: &'static str,
    pub user: &'static str,
    pub product: Option<&'static str>,
    pub category: Option<&'static str>,
    pub cents: Option<i128>,
    pub quantity: Option<i32>,
    pub at: &'static str,
    pub session: &'static str,
}

fn event(
    (id, at, session, user): (&'static str, &'static str, &'static str, &'static str),
    (kind, product, category): (&'static str, &'static str, &'static str),
    (cents, quantity): (Option<i128>, Option<i32>),
) -> Event {
    let product = Some(product).filter(|product| !product.is_empty());
    let category = Some(category).filter(|category| !category.is_empty());
    Event { id: Some(id), kind, user, product, category, cents, quantity, at, session }
}

/// Eleven events on 2026-02-14 in three sessions, one purchase two weeks before it, one fifty days before.
pub fn events() -> Vec<Event> {
    let (s1, s2, s3) = ("s1", "s2", "s3");
    vec![
        event(("e01", "2026-02-14T00:00:00Z", s1, "ann"), ("search", "", ""), (None, None)),
        event(("e02", "2026-02-14T09:01:00Z", s1, "ann"), ("view", "p1", "books"), (Some(1000), None)),
        event(("e03", "2026-02-14T09:02:00Z", s1, "ann"), ("view", "p2", "home"), (Some(2050), None)),
        event(("e04", "2026-02-14T09:03:00Z", s1, "ann"), ("add_cart", "p1", "books"), (Some(1000), Some(2))),
        event(("e05", "2026-02-14T09:04:00Z", s1, "ann"), ("purchase", "p1", "books"), (Some(1000), Some(2))),
        event(("e06", "2026-02-14T09:30:00Z", s2, "bob"), ("view", "p1", "books"), (Some(1000), None)),
        event(("e07", "2026-02-14T10:00:00Z", s2, "bob"), ("add_cart", "p1", "books"), (Some(1000), Some(1))),
        event(("e08", "2026-02-14T23:00:00Z", s3, "bob"), ("purchase", "p2", "home"), (Some(2050), Some(1))),
        event(("e09", "2026-02-14T23:59:59Z", s3, "bob"), ("purchase", "p1", "books"), (Some(999), Some(1))),
        event(("e10", "2026-02-14T23:10:00Z", s2, "bob"), ("view", "p3", "home"), (Some(5), None)),
        event(("e11", "2026-02-14T23:11:00Z", s2, "bob"), ("search", "", ""), (None, None)),
        event(("f01", "2026-02-15T00:00:00Z", "s9", "cyd"), ("purchase", "p1", "books"), (Some(1000), Some(9))),
        event(("f02", "2026-01-31T12:00:00Z", "s0", "ann"), ("purchase", "p1", "books"), (Some(1000), Some(1))),
        event(("f03", "2025-12-26T12:00:00Z", "s0", "bob"), ("purchase", "p1", "books"), (Some(1000), Some(1))),
        event(("f04", "2026-02-01T12:00:00Z", "s0", "dan"), ("purchase", "p1", "books"), (Some(1000), Some(1))),
    ]
}

/// Fills `raw.shopping_events`.
pub fn fill_events(cluster: &SmallCluster, events: &[Event]) {
    let texts = |value: fn(&Event) -> Option<&'static str>| -> ArrayRef {
        Arc::new(events.iter().map(value).collect::<StringArray>())
    };
    let cents: Decimal128Array = events.iter().map(|event| event.cents).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_id", texts(|event| event.id)),
        ("event_type", texts(|event| Some(event.kind))),
        ("user_id", texts(|event| Some(event.user))),
        ("product_id", texts(|event| event.product)),
        ("category", texts(|event| event.category)),
        ("price", Arc::new(cents.with_precision_and_scale(10, 2).unwrap())),
        ("quantity", Arc::new(events.iter().map(|event| event.quantity).collect::<Int32Array>())),
        ("timestamp", timestamps(events.iter().map(|event| event.at))),
        ("session_id", texts(|event| Some(event.session))),
    ];
    cluster.fill("raw.shopping_events", RecordBatch::try_from_iter(columns).unwrap());
}

/// Fills `raw.reviews`: rating, text, product.
pub fn fill_reviews(cluster: &SmallCluster, reviews: &[(i32, Option<&str>, &str)]) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("product_id", Arc::new(reviews.iter().map(|review| Some(review.2)).collect::<StringArray>())),
        ("rating", Arc::new(reviews.iter().map(|review| Some(review.0)).collect::<Int32Array>())),
        ("text", Arc::new(reviews.iter().map(|review| review.1).collect::<StringArray>())),
        ("created_at", timestamps(reviews.iter().map(|_| "2026-02-14T12:00:00Z"))),
    ];
    cluster.fill("raw.reviews", RecordBatch::try_from_iter(columns).unwrap());
}

/// Five reviews, one of them without text, that mention three of the topics.
pub const REVIEWS: [(i32, Option<&str>, &str); 5] = [
    (5, Some("배송 정말 빨라요. 품질 좋아요"), "p1"),
    (4, Some("배송 만족해요, 추천 합니다"), "p1"),
    (1, Some("품질 별로예요. 추천 안해요"), "p1"),
    (2, Some("포장 엉망, 불만족"), "p2"),
    (5, None, "p2"),
];

fn timestamps<'t>(texts: impl Iterator<Item = &'t str>) -> ArrayRef {
    let micros = texts.map(|text| {
        let at = DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Some(at.timestamp_micros())
    });
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
