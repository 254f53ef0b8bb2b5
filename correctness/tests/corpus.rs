//! A sample of DataFusion's corpus, whole on one executor and in stages on two: all results are equal, except for known
//! differences.
//!
//! `correctness/run` runs all of it, in every shape.

use std::time::{Duration, Instant};

use bergmill_correctness::corpus::{Package, run_file};
use bergmill_correctness::{Clusters, KNOWN, Report, Shape};

/// Features that stages can get wrong: joins of all kinds, set operations, windows, subqueries, groupings.
const SAMPLE: [&str; 6] = [
    "joins.slt",
    "lateral_join.slt",
    "null_aware_anti_join.slt",
    "pg_compat/pg_compat_window.slt",
    "union.slt",
    "union_by_name.slt",
];
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_the_corpus_is_equal() {
    let package = Package::find().unwrap();
    let mut clusters = Clusters::start(&Shape::named("whole,2x1").unwrap(), TIMEOUT).await.unwrap();
    let mut report = Report::new(None, "sample").unwrap();
    for file in SAMPLE {
        let started = Instant::now();
        run_file(&package, file, &mut clusters, TIMEOUT, &mut report).await.unwrap();
        eprintln!("{file}: {:.0} s", started.elapsed().as_secs_f64());
    }
    eprintln!("{}", report.tables());
    assert_eq!(report.unknown(), 0, "{}", report.list());
    // A file that cannot be read has no differences either.
    assert!(report.equal() > 700, "only {} equal results", report.equal());
    let is_stale = |query: &str| {
        SAMPLE.iter().any(|file| query.starts_with(file)) && !report.found().iter().any(|f| f.query == query)
    };
    let stale: Vec<_> = KNOWN.iter().filter(|(query, _)| is_stale(query)).collect();
    assert!(stale.is_empty(), "these do not differ any more, remove them from KNOWN: {stale:?}");
}
