//! The synthetic shop of Bergmill: what an online shop of any size would have logged.
//!
//! A [`Shop`] is made of a seed and a few wishes ([`ShopParams`]) and gives Arrow record batches: `shopping_events` and
//! `reviews` day by day, and the tables `products`, `users`, `categories` and `brands` that they refer to. Users
//! arrive along the [`TrafficCurve`], walk down the funnel, prefer popular things, and complain when parcels are late.
//! A share of the events can be dirty, as real ones are; [`DirtyCounts`] tells what a data quality job should find.
//!
//! Promises:
//! - The same parameters give the same rows on every machine and in every run, however days and chunks are shared
//!   among threads. Only exact arithmetic decides a row; tests hold fingerprints of the rows.
//! - The numbers of rows are exact, and ids are unique (but for rows that dirt repeats).
//! - Memory does not grow with the number of events: a batch is made when it is asked for.
//!
//! Nothing here reads a clock or writes anything. Files, tables and Kafka are left to whoever takes the batches.

mod alias_table;
mod anomalies;
mod calendar;
mod chunk;
mod dimensions;
mod error;
mod events;
#[cfg(test)]
mod fingerprint;
mod ids;
mod lexicon;
mod money;
mod params;
mod products;
mod random;
mod reviews;
mod sessions;
mod shop;
mod shop_model;
mod tables;
mod text_column;
mod traffic;
mod users;

pub use anomalies::DirtyCounts;
pub use chunk::CHUNK_ROWS;
pub use dimensions::{brands_schema, categories_schema, products_schema, users_schema};
pub use error::Error;
pub use events::events_schema;
pub use params::ShopParams;
pub use reviews::reviews_schema;
pub use shop::Shop;
pub use tables::{ShopTable, TABLES};
pub use traffic::TrafficCurve;
