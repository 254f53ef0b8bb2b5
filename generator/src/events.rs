//! The table `shopping_events`: the events of the shop.

use crate::anomalies;
use crate::chunk::Chunk;
use crate::ids;
use crate::lexicon::{CAMPAIGNS, CATEGORIES, DEVICES, EVENT_TYPES, REFERRERS};
use crate::money;
use crate::sessions::{Missing, Row, Session, Walk};
use crate::shop_model::ShopModel;
use crate::text_column::{optional_texts, texts};
use arrow::array::{ArrayRef, Int32Array, NullBufferBuilder, RecordBatch, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::{Arc, LazyLock};

static CAMPAIGN: LazyLock<Fields> = LazyLock::new(|| Fields::from(vec![text("id"), text("name")]));
static CONTEXT: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![text("referrer"), Field::new("campaign", DataType::Struct(CAMPAIGN.clone()), true)])
});
static DEVICE: LazyLock<Fields> = LazyLock::new(|| Fields::from(vec![text("type"), text("os"), text("app_version")]));
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        text("event_id"),
        text("event_type"),
        text("user_id"),
        text("product_id"),
        text("category"),
        Field::new("price", money::TYPE, true),
        Field::new("quantity", DataType::Int32, true),
        Field::new("timestamp", timestamp_type(), true),
        text("session_id"),
        Field::new("device", DataType::Struct(DEVICE.clone()), true),
        Field::new("context", DataType::Struct(CONTEXT.clone()), true),
        text("search_query"),
    ]))
});

/// Columns of `shopping_events`.
///
/// | column | type | |
/// |---|---|---|
/// | event_id | Utf8 | 36 characters, unique |
/// | event_type | Utf8 | search, view, add_cart, purchase |
/// | user_id | Utf8 | `u_` and seven digits |
/// | product_id | Utf8 | `pd_` and six digits; null in searches |
/// | category | Utf8 | key of `categories` |
/// | price | Decimal128(10, 2) | won per piece, after discount; null in searches |
/// | quantity | Int32 | pieces; null in searches and views |
/// | timestamp | Timestamp(us, UTC) | |
/// | session_id | Utf8 | `sess_` and sixteen hexadecimal digits |
/// | device | Struct | type, os, app_version (null in browsers) |
/// | context | Struct | referrer, campaign (id, name; null without one) |
/// | search_query | Utf8 | null except in searches |
///
/// All columns are nullable, because the table has rows as received: dirty rows lack required fields.
pub fn events_schema() -> SchemaRef {
    SCHEMA.clone()
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

/// The type of all times of the shop: microseconds in UTC.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(crate) fn timestamps(micros: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

/// The rows of a chunk.
pub(crate) fn batch(model: &ShopModel, chunk: &Chunk) -> RecordBatch {
    let mut walk = Walk::new(model, chunk).in_time_order(chunk);
    anomalies::spoil(model, chunk, &mut walk.rows);
    let rows = &walk.rows;
    let has = |row: &Row, field: Missing| row.missing != Some(field);
    let category = |row: &Row| CATEGORIES[usize::from(model.products.product(row.product).category)].key;
    let columns: Vec<ArrayRef> = vec![
        optional_texts(36, rows.iter().map(|row| has(row, Missing::EventId).then(|| model.event_ids.uuid(row.number)))),
        texts(8, rows.iter().map(|row| EVENT_TYPES[usize::from(row.kind)])),
        optional_texts(9, rows.iter().map(|row| has(row, Missing::UserId).then(|| ids::user(walk.session(row).user)))),
        optional_texts(9, rows.iter().map(|row| row.query.is_none().then(|| ids::product(row.product)))),
        optional_texts(8, rows.iter().map(|row| has(row, Missing::Category).then(|| category(row)))),
        money::won_column(rows.iter().map(|row| row.price_won)),
        quantities(rows),
        timestamps(rows.iter().map(|row| row.time)),
        optional_texts(21, rows.iter().map(|row| has(row, Missing::SessionId).then(|| session_id(model, &walk, row)))),
        devices(rows.iter().map(|row| walk.session(row))),
        contexts(rows.iter().map(|row| walk.session(row))),
        optional_texts(8, rows.iter().map(|row| row.query.map(|query| model.queries.text(query)))),
    ];
    RecordBatch::try_new(events_schema(), columns).expect("columns follow the schema")
}

fn quantities(rows: &[Row]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| (row.quantity > 0).then_some(i32::from(row.quantity))).collect::<Int32Array>())
}

fn session_id(model: &ShopModel, walk: &Walk, row: &Row) -> [u8; 21] {
    model.session_ids.session(walk.session(row).number)
}

fn devices<'a>(sessions: impl ExactSizeIterator<Item = &'a Session> + Clone) -> ArrayRef {
    let devices = sessions.map(|session| &DEVICES[usize::from(session.device)]);
    let columns = vec![
        texts(7, devices.clone().map(|device| device.0)),
        texts(7, devices.clone().map(|device| device.1)),
        optional_texts(5, devices.map(|device| device.2)),
    ];
    Arc::new(StructArray::new(DEVICE.clone(), columns, None))
}

fn contexts<'a>(sessions: impl ExactSizeIterator<Item = &'a Session> + Clone) -> ArrayRef {
    let referrers = sessions.clone().map(|session| REFERRERS[usize::from(session.referrer)].0);
    let mut present = NullBufferBuilder::new(sessions.len());
    sessions.clone().for_each(|session| present.append(session.campaign.is_some()));
    let campaigns = sessions.map(|session| session.campaign.map(|campaign| &CAMPAIGNS[usize::from(campaign)]));
    let columns = vec![
        optional_texts(8, campaigns.clone().map(|campaign| campaign.map(|campaign| campaign.id))),
        optional_texts(12, campaigns.map(|campaign| campaign.map(|campaign| campaign.name))),
    ];
    let campaigns = StructArray::new(CAMPAIGN.clone(), columns, present.finish());
    Arc::new(StructArray::new(CONTEXT.clone(), vec![texts(10, referrers), Arc::new(campaigns)], None))
}
