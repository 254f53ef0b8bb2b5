//! Rows per second that one core generates as Arrow batches.

use bergmill_generator::{Shop, ShopParams};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn shop(dirty: f64) -> Shop {
    let params = ShopParams {
        events: 400_000,
        reviews: 40_000,
        days: 1,
        products: 20_000,
        users: 200_000,
        dirty,
        ..ShopParams::default()
    };
    Shop::new(params).expect("valid parameters")
}

fn tables(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shop");
    group.sample_size(10);
    let (clean, dirty) = (shop(0.0), shop(0.02));
    group.throughput(Throughput::Elements(clean.event_rows(0)));
    group.bench_function("events", |bencher| bencher.iter(|| clean.events(0).for_each(|batch| drop(black_box(batch)))));
    group.bench_function("dirty events", |bencher| {
        bencher.iter(|| dirty.events(0).for_each(|batch| drop(black_box(batch))));
    });
    group.throughput(Throughput::Elements(clean.review_rows(0)));
    group.bench_function("reviews", |bencher| {
        bencher.iter(|| clean.reviews(0).for_each(|batch| drop(black_box(batch))));
    });
    group.finish();
}

criterion_group!(benches, tables);
criterion_main!(benches);
