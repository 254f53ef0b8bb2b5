//! Pruning does not change results: random statements have the same results over a table that is partitioned, changed
//! and repartitioned, and over a twin of it that cannot be pruned.
//!
//! `BERGMILL_PRUNING_SEED` and `BERGMILL_PRUNING_CASES` repeat a failure or run more cases; both are printed.

mod condition;
mod kind;
mod random;
mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;

use self::condition::condition;
use self::random::Random;
use self::table::{Draft, Step, TABLE};
use crate::observed::Door;

const SEED: u64 = 20_260;
const CASES: u64 = 8;

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_with_and_without_pruning_agree() {
    let (seed, cases) = (env("BERGMILL_PRUNING_SEED").unwrap_or(SEED), env("BERGMILL_PRUNING_CASES").unwrap_or(CASES));
    println!("BERGMILL_PRUNING_SEED={seed} BERGMILL_PRUNING_CASES={cases}");
    let door = Door::open().await;
    door.update("CREATE SCHEMA raw").await;
    let (mut tally, mut differences) = (Tally::default(), Vec::new());
    for seed in seed..seed + cases {
        let mut case = Case::new(&door, seed);
        if let Err(difference) = case.run(&mut tally).await {
            let script = case.script.join(";\n");
            differences.push(format!("BERGMILL_PRUNING_SEED={seed} BERGMILL_PRUNING_CASES=1\n{script};\n{difference}"));
        }
    }
    println!("{tally:?}");
    let count = differences.len();
    assert!(differences.is_empty(), "{count} differences\n{}", differences.join("\n\n"));
    // A single repeated case need not contain everything.
    if cases < CASES {
        return;
    }
    assert!(tally.pruned * 3 > tally.explained, "little was pruned: {tally:?}");
    assert!(tally.refused * 5 < tally.conditions, "few conditions succeeded: {tally:?}");
    assert!(tally.changed_rows > tally.changes, "little was changed: {tally:?}");
}

/// Totals over all cases: a test in which nothing is pruned proves nothing.
#[derive(Debug, Default)]
struct Tally {
    conditions: usize,
    /// Conditions whose pruned files were looked up.
    explained: usize,
    /// Conditions that pruned files.
    pruned: usize,
    files: usize,
    pruned_files: usize,
    /// Conditions that fail for some row, as casts and sums may.
    refused: usize,
    changes: usize,
    changed_rows: usize,
}

type Ids = BTreeSet<i64>;

struct Case<'a> {
    door: &'a Door,
    random: Random,
    table: String,
    twin: String,
    /// The statements so far, to reproduce a difference.
    script: Vec<String>,
}

impl<'a> Case<'a> {
    fn new(door: &'a Door, seed: u64) -> Self {
        let [table, twin] = ["pruned", "twin"].map(|name| format!("raw.{name}_{seed}"));
        Self { door, random: Random::new(seed), table, twin, script: Vec::new() }
    }

    async fn run(&mut self, tally: &mut Tally) -> Result<(), String> {
        let mut draft = Draft::new(&mut self.random);
        let [table, twin] = draft.create(&mut self.random);
        self.update(&self.table.clone(), &table).await?;
        self.update(&self.twin.clone(), &twin).await?;
        for _ in 0..2 + self.random.below(4) {
            let insert = draft.insert(&mut self.random);
            self.step(insert).await?;
            for _ in 0..self.random.below(3) {
                if let Some(step) = draft.alter(&mut self.random) {
                    self.step(step).await?;
                }
            }
        }
        self.check(&draft, 10, tally).await?;
        for _ in 0..3 {
            self.change(&draft, tally).await?;
            self.check(&draft, 4, tally).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Both(sql) => {
                self.update(&self.table.clone(), &sql).await?;
                self.update(&self.twin.clone(), &sql).await?;
            }
            Step::Partitioned(sql) => drop(self.update(&self.table.clone(), &sql).await?),
        }
        Ok(())
    }

    async fn update(&mut self, table: &str, sql: &str) -> Result<u64, String> {
        let sql = sql.replace(TABLE, table);
        self.script.push(sql.clone());
        self.door.client.update(&sql, None).await.map_err(|e| format!("{sql}: {e}"))
    }

    async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        let with_sql = |e: &dyn std::fmt::Display| format!("{sql}: {e}");
        let rows = self.door.client.query(sql).await.map_err(|e| with_sql(&e))?;
        rows.try_collect().await.map_err(|e| with_sql(&e))
    }

    /// The rows for which each of the conditions holds, computed as columns of the twin: expressions that are not
    /// filters prune nothing.
    async fn right(&self, conditions: &[String]) -> Result<Vec<Ids>, String> {
        let columns: Vec<String> = conditions.iter().enumerate().map(|(n, c)| format!("({c}) AS k{n}")).collect();
        let rows = self.rows(&format!("SELECT id, {} FROM {}", columns.join(", "), self.twin)).await?;
        let mut right = vec![Ids::new(); conditions.len()];
        for batch in &rows {
            let ids = numbers(batch);
            for (n, right) in right.iter_mut().enumerate() {
                let holds = cast(batch.column(n + 1), &DataType::Boolean).map_err(|e| e.to_string())?;
                let holds = holds.as_boolean().iter().map(|h| h == Some(true));
                right.extend(ids.iter().zip(holds).filter(|(_, holds)| *holds).map(|(id, _)| *id));
            }
        }
        Ok(right)
    }

    async fn ids(&self, table: &str, condition: &str) -> Result<Ids, String> {
        let rows = self.rows(&format!("SELECT id FROM {table} WHERE {condition}")).await?;
        Ok(rows.iter().flat_map(numbers).collect())
    }

    async fn number(&self, sql: &str) -> Result<i64, String> {
        self.rows(sql).await.map(|rows| rows.iter().flat_map(numbers).sum())
    }

    /// Compares queries with random conditions.
    async fn check(&mut self, draft: &Draft, count: usize, tally: &mut Tally) -> Result<(), String> {
        let conditions: Vec<String> = (0..count).map(|_| condition(&draft.columns, &mut self.random, 2)).collect();
        let right = match self.right(&conditions).await {
            Ok(right) => right.into_iter().map(Some).collect(),
            Err(_) => {
                let mut right = Vec::new();
                for condition in &conditions {
                    right.push(self.right(std::slice::from_ref(condition)).await.ok().and_then(|mut ids| ids.pop()));
                }
                right
            }
        };
        for (condition, right) in conditions.iter().zip(right) {
            tally.conditions += 1;
            let Some(right) = right else {
                tally.refused += 1;
                continue;
            };
            let table = self.table.clone();
            let found = self.ids(&table, condition).await?;
            if found != right {
                let twin = self.ids(&self.twin, condition).await;
                return Err(format!(
                    "SELECT id FROM {table} WHERE {condition}\nfound {found:?}\nright {right:?}\ntwin's filter {twin:?}"
                ));
            }
            if self.random.one_in(2) {
                self.count(condition, right.len()).await?;
                continue;
            }
            let [planned, pruned] = self.files(&table, condition).await?;
            tally.explained += 1;
            tally.pruned += usize::from(pruned > 0);
            tally.files += planned + pruned;
            tally.pruned_files += pruned;
        }
        // The twin's files are never pruned.
        let [_, pruned] = self.files(&self.twin, "id < 0").await?;
        if pruned > 0 {
            return Err(format!("{pruned} files of the twin are pruned"));
        }
        Ok(())
    }

    /// Counts all rows for which the condition holds, or the first of them.
    async fn count(&mut self, condition: &str, right: usize) -> Result<(), String> {
        let (table, limit) = (&self.table, 1 + self.random.below(4));
        let (right, of_which) = match self.random.one_in(2) {
            true => (right, format!("SELECT count(*) FROM {table} WHERE {condition}")),
            false => {
                let few = format!("SELECT id FROM {table} WHERE {condition} LIMIT {limit}");
                (right.min(limit), format!("SELECT count(*) FROM ({few})"))
            }
        };
        match self.number(&of_which).await? {
            count if usize::try_from(count) == Ok(right) => Ok(()),
            count => Err(format!("{of_which}\nfound {count}\nright {right}")),
        }
    }

    /// How many files a query opens, and how many are pruned.
    async fn files(&self, table: &str, condition: &str) -> Result<[usize; 2], String> {
        let rows = self.rows(&format!("EXPLAIN ANALYZE SELECT id FROM {table} WHERE {condition}")).await?;
        let text: String = rows.iter().map(text).collect();
        let sum = |what: &str| {
            let numbers = text.split(what).skip(1).map(|rest| rest.split([',', '\n']).next().unwrap_or_default());
            numbers.filter_map(|n| n.trim().parse::<usize>().ok()).sum()
        };
        Ok([sum("files_planned="), sum("files_pruned=")])
    }

    /// Changes rows of both tables in the same way.
    async fn change(&mut self, draft: &Draft, tally: &mut Tally) -> Result<(), String> {
        let condition = condition(&draft.columns, &mut self.random, 1);
        let (column, is_update) = (&draft.columns[self.random.below(draft.columns.len())], self.random.one_in(3));
        let change = match is_update {
            true => {
                let value = column.kind.value(&mut self.random);
                format!("UPDATE {TABLE} SET {} = {value} WHERE {condition}", column.name)
            }
            false => format!("DELETE FROM {TABLE} WHERE {condition}"),
        };
        let Ok(right) = self.right(std::slice::from_ref(&condition)).await else { return Ok(()) };
        let right = right[0].len();
        let changed = self.update(&self.table.clone(), &change).await?;
        let of_twin = self.update(&self.twin.clone(), &change).await?;
        if usize::try_from(changed) != Ok(right) || of_twin != changed {
            return Err(format!("changed {changed}, of the twin {of_twin}, right {right}"));
        }
        tally.changes += 1;
        tally.changed_rows += right;
        let [left, of_twin] = [&self.table, &self.twin].map(|table| format!("SELECT * FROM {table} ORDER BY id"));
        let [left, of_twin] = [self.rows(&left).await?, self.rows(&of_twin).await?];
        let [left, of_twin] = [left, of_twin].map(|rows| rows.iter().map(text).collect::<String>());
        if left != of_twin { Err(format!("left\n{left}of the twin\n{of_twin}")) } else { Ok(()) }
    }
}

/// The numbers in the first column.
fn numbers(batch: &RecordBatch) -> Vec<i64> {
    let numbers = cast(batch.column(0), &DataType::Int64).unwrap();
    numbers.as_primitive::<Int64Type>().values().to_vec()
}

fn text(batch: &RecordBatch) -> String {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        let cells: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
        let _ = writeln!(text, "{}", cells.join(" | "));
    }
    text
}
