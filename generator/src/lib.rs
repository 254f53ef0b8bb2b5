//! The synthetic shop of Bergmill: generates the data of an online shop of any size.
//!
//! A [`Shop`] is created from a seed and a few other parameters ([`ShopParams`]) and returns Arrow record batches:
//! `shopping_events` and `reviews` day by day, and the tables `products`, `users`, `categories` and `brands` that they
//! refer to. Users arrive along the [`TrafficCurve`], go through the funnel, prefer popular products, and complain
//! about late deliveries. A share of the events can be dirty, like real ones; [`DirtyCounts`] has the counts that a
//! data quality job should find.
//!
//! Guarantees:
//! - The same parameters produce the same rows on every machine and in every run, however days and chunks are divided
//!   among threads. Rows depend only on exact arithmetic; tests check fingerprints of the rows.
//! - The numbers of rows are exact, and ids are unique (except for repeated dirty rows).
//! - Memory does not grow with the number of events: a batch is generated on demand.
//!
//! This crate reads no clock and writes nothing. Writing to files, tables or Kafka is up to the caller.
//!
//! ```
//! use bergmill_generator::{Shop, ShopParams};
//!
//! let params = ShopParams { seed: 7, events: 2_000, days: 1, dirty: 0.1, ..ShopParams::default() };
//! let shop = Shop::new(params.clone())?;
//! assert_eq!(shop.events(0).map(|batch| batch.num_rows()).sum::<usize>(), 2_000);
//! assert!(shop.events(0).eq(Shop::new(params)?.events(0)));
//!
//! let flaws = shop.dirty_counts(0);
//! assert_eq!((flaws.total(), flaws.negative_prices > 0), (216, true));
//! # Ok::<(), bergmill_generator::Error>(())
//! ```

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
