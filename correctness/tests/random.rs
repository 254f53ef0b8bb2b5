//! Random queries, in the scheduler, whole on one executor and in stages on two, from seeds that are always the same.
//!
//! `correctness/run` asks more of them, of new seeds, in every shape, and DuckDB too, which decides where plain
//! DataFusion is alone.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::time::Duration;

use bergmill_correctness::random::{Settings, run};
use bergmill_correctness::{Report, Shape};

const QUERIES: u64 = 150;
/// On a slow machine fewer queries are asked.
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
    assert_eq!(summary.undecided, 0, "seed {seed}: the generator makes queries of which the answer is left to chance");
    let refused: usize = summary.refused.values().sum();
    assert!(refused * 5 <= summary.answered, "seed {seed}: plain DataFusion refuses {:?}", summary.refused);
    assert!(summary.answered > 0, "seed {seed}: no query was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_have_one_answer() {
    for seed in [12, 5] {
        check(seed).await;
    }
}
