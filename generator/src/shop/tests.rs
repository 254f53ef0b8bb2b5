use super::*;
use crate::fingerprint::fingerprint;
use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Decimal128Type, Int32Type, TimestampMicrosecondType};
use std::collections::{HashMap, HashSet};

const DAY_MICROS: i64 = 86_400_000_000;
const START: i64 = 1_717_200_000_000_000;

fn shop(change: impl FnOnce(&mut ShopParams)) -> Shop {
    let mut params =
        ShopParams { events: 60_000, reviews: 3_000, days: 3, products: 2_000, users: 1_500, ..Default::default() };
    change(&mut params);
    Shop::new(params).expect("valid parameters")
}

fn all_events(shop: &Shop) -> RecordBatch {
    let batches: Vec<RecordBatch> = (0..shop.days()).flat_map(|day| shop.events(day)).collect();
    concat_batches(&crate::events_schema(), &batches).expect("one schema")
}

#[test]
fn the_number_of_rows_is_exact() {
    for events in [0, 1, 2, 8_192, 8_193, 50_001] {
        let shop = shop(|p| (p.events, p.reviews) = (events, events / 7));
        let rows = |batches: Vec<RecordBatch>| batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        for day in 0..3 {
            assert_eq!(rows(shop.events(day).collect()), shop.event_rows(day));
            assert_eq!(rows(shop.reviews(day).collect()), shop.review_rows(day));
        }
        assert_eq!((0..3).map(|day| shop.event_rows(day)).sum::<u64>(), events);
        assert_eq!((0..3).map(|day| shop.review_rows(day)).sum::<u64>(), events / 7);
    }
    let shop = shop(|_| ());
    assert_eq!(shop.events(3).len() + shop.reviews(3).len(), 0, "no day after the last");
    assert_eq!(shop.products().map(|batch| batch.num_rows()).sum::<usize>(), 2_000);
    assert_eq!(shop.users().map(|batch| batch.num_rows()).sum::<usize>(), 1_500);
}

#[test]
fn the_same_parameters_give_the_same_rows_in_any_order() {
    let (one, other) = (shop(|p| p.dirty = 0.05), shop(|p| p.dirty = 0.05));
    let forwards: Vec<RecordBatch> = one.events(1).collect();
    let backwards = (0..other.event_chunk_count(1)).rev().flat_map(|chunk| other.event_chunks(1, chunk..chunk + 1));
    let mut backwards: Vec<RecordBatch> = backwards.collect();
    backwards.reverse();
    assert!(forwards.len() > 2);
    assert_eq!(forwards, backwards);

    let threads: Vec<_> = (0..3)
        .map(|day| {
            std::thread::spawn({
                let shop = one.clone();
                move || shop.reviews(day).collect::<Vec<_>>()
            })
        })
        .collect();
    for (day, thread) in (0..3).zip(threads) {
        assert_eq!(thread.join().expect("no panic"), other.reviews(day).collect::<Vec<_>>());
    }
    assert_ne!(all_events(&one), all_events(&shop(|p| (p.dirty, p.seed) = (0.05, 43))));
}

/// If this fails without an intended change of the rows, a machine or compiler computes differently, and tables
/// generated on two machines would differ.
#[test]
fn the_rows_are_the_same_on_every_machine() {
    let shop = shop(|p| p.dirty = 0.02);
    let first = |mut batches: Box<dyn Iterator<Item = RecordBatch>>| fingerprint(&batches.next().expect("a batch"));
    let prints = [
        ("events", first(Box::new(shop.events(0)))),
        ("reviews", first(Box::new(shop.reviews(0)))),
        ("products", first(Box::new(shop.products()))),
        ("users", first(Box::new(shop.users()))),
        ("categories", fingerprint(&shop.categories())),
        ("brands", fingerprint(&shop.brands())),
    ];
    let text: Vec<String> = prints.iter().map(|(table, print)| format!("{table} {print:016x}")).collect();
    assert_eq!(text.join("\n"), GOLDEN);
}

const GOLDEN: &str = "\
events 3bd37a66bfbadeb6
reviews ab731e987ab68ce9
products 9bb52b17f7add5de
users 4145f96c16aff168
categories 3abe6f5568d4f64a
brands a2c45b3323e95fd6";

#[test]
fn clean_events_are_complete_and_unique() {
    let shop = shop(|_| ());
    let events = all_events(&shop);
    let text = |column: &str| events[column].as_string::<i32>().clone();
    let ids: HashSet<String> = text("event_id").iter().flatten().map(str::to_string).collect();
    assert_eq!(ids.len(), 60_000);
    for required in ["event_id", "event_type", "user_id", "category", "timestamp", "session_id", "device", "context"] {
        assert_eq!(events[required].null_count(), 0, "{required}");
    }
    let types = text("event_type");
    for row in 0..events.num_rows() {
        let (is_search, is_bought) = match types.value(row) {
            "search" => (true, false),
            "view" => (false, false),
            "add_cart" | "purchase" => (false, true),
            other => panic!("{other} in a clean shop"),
        };
        assert_eq!(events["search_query"].is_valid(row), is_search);
        assert_eq!(events["product_id"].is_null(row), is_search);
        assert_eq!(events["price"].is_null(row), is_search);
        assert_eq!(events["quantity"].is_valid(row), is_bought);
    }
    let quantities = events["quantity"].as_primitive::<Int32Type>();
    assert!(quantities.iter().flatten().all(|quantity| quantity >= 1));
    let campaigns = events["context"].as_struct().column(1);
    assert!((0.5..0.75).contains(&(campaigns.null_count() as f64 / 60_000.0)));
}

#[test]
fn clean_events_are_within_their_day() {
    let shop = shop(|_| ());
    for day in 0..3 {
        let range = START + i64::from(day) * DAY_MICROS..START + i64::from(day + 1) * DAY_MICROS;
        for (batch, column) in
            shop.events(day).map(|b| (b, "timestamp")).chain(shop.reviews(day).map(|b| (b, "created_at")))
        {
            let times = batch[column].as_primitive::<TimestampMicrosecondType>();
            assert!(times.values().is_sorted());
            assert!(times.values().iter().all(|time| range.contains(time)));
        }
    }
}

#[test]
fn events_refer_to_products_and_users() {
    let shop = shop(|_| ());
    let events = all_events(&shop);
    let mut products = HashMap::new();
    for batch in shop.products() {
        let (ids, categories) = (batch["product_id"].as_string::<i32>(), batch["category"].as_string::<i32>());
        products.extend(ids.iter().flatten().map(str::to_string).zip(categories.iter().flatten().map(str::to_string)));
    }
    let users: HashSet<String> = shop
        .users()
        .flat_map(|batch| batch["user_id"].as_string::<i32>().iter().flatten().map(str::to_string).collect::<Vec<_>>())
        .collect();
    let column = |name: &str| events[name].as_string::<i32>();
    for row in 0..events.num_rows() {
        assert!(users.contains(column("user_id").value(row)));
        if column("product_id").is_valid(row) {
            assert_eq!(products[column("product_id").value(row)], column("category").value(row));
        }
    }
}

#[test]
fn dirty_rows_match_their_counts() {
    let shop = shop(|p| p.dirty = 0.1);
    let mut counted = DirtyCounts::default();
    (0..3).for_each(|day| counted += shop.dirty_counts(day));
    assert!((5_600..6_400).contains(&counted.total()), "{counted:?}");

    let events = all_events(&shop);
    let fields = ["event_id", "user_id", "category", "session_id"];
    let ids: HashSet<&str> = events["event_id"].as_string::<i32>().iter().flatten().collect();
    let times = events["timestamp"].as_primitive::<TimestampMicrosecondType>();
    // Determined by the batch's day, since a wrong timestamp of one day may be a right one of the next.
    let wrong_times: usize = (0..3)
        .flat_map(|day| shop.events(day).map(move |batch| (day, batch)))
        .map(|(day, batch)| {
            let times = batch["timestamp"].as_primitive::<TimestampMicrosecondType>().clone();
            times.values().iter().filter(|&&time| (time - START).div_euclid(DAY_MICROS) != i64::from(day)).count()
        })
        .sum();
    let known = ["search", "view", "add_cart", "purchase"];
    let unknown = events["event_type"].as_string::<i32>().iter().flatten().filter(|kind| !known.contains(kind)).count();
    let prices = events["price"].as_primitive::<Decimal128Type>();
    let found = DirtyCounts {
        missing_fields: fields.map(|field| events[field].null_count() as u64).iter().sum(),
        repeated: (events.num_rows() - events["event_id"].null_count() - ids.len()) as u64,
        wrong_times: wrong_times as u64,
        unknown_types: unknown as u64,
        negative_prices: prices.iter().flatten().filter(|price| *price < 0).count() as u64,
    };
    assert_eq!(found, counted);
    assert_eq!(times.null_count(), 0);
}

#[test]
fn a_sale_day_is_ten_times_as_busy() {
    let plain = shop(|p| p.days = 14);
    let sale = shop(|p| (p.days, p.sale_days) = (14, vec![p.start + Days::new(4)]));
    assert_eq!(sale.traffic(4, 20 * 3600), 10.0 * plain.traffic(4, 20 * 3600));
    assert_eq!(sale.traffic(5, 0), plain.traffic(5, 0));
    let ratio = sale.event_rows(4) as f64 / sale.event_rows(3) as f64;
    assert!((ratio - 10.0).abs() < 0.05, "{ratio}");
    let date = sale.date(4).expect("a day of the period");
    assert_eq!((sale.day_of(date), sale.day_of(date + Days::new(10))), (Some(4), None));
    assert_eq!((sale.date(14), sale.date(u32::MAX)), (None, None));
}
