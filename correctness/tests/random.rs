//! Random queries, in the scheduler, whole on one executor and in stages on two, from fixed seeds.
//!
//! `correctness/run` runs more of them, from new seeds, in every shape, and on DuckDB too, which decides if only plain
//! DataFusion differs.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::time::Duration;

use bergmill_correctness::random::{Settings, run};
use bergmill_correctness::{Report, Shape};

const QUERIES: u64 = 150;
/// On a slow machine fewer queries are run.
const TIME: Duration = Duration::from_secs(30);

async fn check(seed: u64) {
    let settings = Settings {
        seed,
        first: 0,
        queries: QUERIES,
        shapes: Shape::named("local,whole,2x1").unwrap(),
        python: None,
        out: None,
        timeout: Duration::from_secs(60),
        shrink_time: Duration::from_secs(60),
        time: Some(TIME),
    };
    let mut report = Report::new(None, "random").unwrap();
    let summary = run(&settings, &mut report).await.unwrap();
    assert!(summary.cases.is_empty(), "seed {seed}\n{}", summary.cases.join("\n"));
    assert_eq!(summary.undecided, 0, "seed {seed}: the generator produces queries with more than one valid result");
    let refused: usize = summary.refused.values().sum();
    assert!(refused * 5 <= summary.answered, "seed {seed}: plain DataFusion rejects {:?}", summary.refused);
    assert!(summary.answered > 0, "seed {seed}: no query was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_have_one_result() {
    for seed in [12, 5] {
        check(seed).await;
    }
}
