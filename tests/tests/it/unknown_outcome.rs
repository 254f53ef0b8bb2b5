//! Commits of unknown state: the catalog has performed them but does not answer.

use std::collections::BTreeMap;

use bergmill_gateway::{CommitTag, ErrorKind};
use futures::TryStreamExt;

use crate::observed::Door;

impl Door {
    async fn count(&self, sql: &str) -> usize {
        let batches: Vec<_> = self.client.query(sql).await.unwrap().try_collect().await.unwrap();
        batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_commit_state_is_reported_and_can_be_looked_up() {
    let door = Door::open().await;
    door.update("CREATE TABLE t (a INT)").await;
    door.catalog.fall_silent();
    let insert = "INSERT INTO t VALUES (1), (2)";
    let e = door.client.update(insert, None).await.unwrap_err();
    // Not a kind on which drivers send the statement again.
    assert_eq!(e.kind(), ErrorKind::OutcomeUnknown, "{e}");
    door.catalog.answer_again();

    // The message contains a statement that finds the commit.
    let text = e.to_string();
    let (_, look) = text.split_once("it did if ").expect("a way to look");
    let (look, rest) = look.split_once(" returns a row").expect("a statement");
    assert_eq!(door.count(look).await, 1, "{look}");
    assert_eq!(door.count("SELECT * FROM t").await, 2, "no file of a commit that may have happened was removed");

    // Under the key of the message the same statement changes nothing.
    let (_, key) = rest.split_once("bergmill.commit-key=").expect("a key");
    let key = key.split(';').next().unwrap().to_string();
    let tag = CommitTag { key, summary: BTreeMap::new() };
    assert_eq!(door.client.update(insert, Some(&tag)).await.unwrap(), 0);
    assert_eq!(door.count("SELECT * FROM t").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_may_have_an_unknown_commit_state_too() {
    for sql in ["ALTER TABLE t ADD COLUMN b INT", "CREATE TABLE u (a INT)", "CREATE TABLE u AS SELECT 1 AS a"] {
        let door = Door::open().await;
        door.update("CREATE TABLE t (a INT)").await;
        door.catalog.fall_silent();
        let e = door.client.update(sql, None).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::OutcomeUnknown, "{sql}: {e}");
        assert!(e.to_string().contains("it is unknown whether"), "{sql}: {e}");
    }
}
