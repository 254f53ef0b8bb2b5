//! Random tables, the same for the same seed: no, one, few and some thousand rows, different shares of nulls, few and
//! many keys, partitioned or not.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::dice::Dice;
use super::value::{Cell, MICROS_A_DAY, Ty, quoted};

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnDef {
    pub name: String,
    pub ty: Ty,
    /// The approximate number of distinct values.
    pub distinct: usize,
}

/// A table and its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub name: String,
    pub columns: Vec<ColumnDef>,
    pub rows: Vec<Vec<Option<Cell>>>,
    /// The terms of PARTITIONED BY.
    pub partitioning: Option<String>,
    /// The number of commits that write it, each of one or more data files.
    pub pieces: usize,
}

/// Words with common prefixes, and ones that are easily mistaken for something else.
const WORDS: [&str; 24] = [
    "가방",
    "가방끈",
    "가나다",
    "가",
    "사과",
    "사과나무",
    "바나나",
    "한글",
    "서울특별시",
    "서울",
    "",
    " ",
    "a",
    "ab",
    "abc",
    "B",
    "Apple",
    "🍎",
    "🍎사과",
    "가%",
    "x_y",
    "null",
    "O'Brien",
    "10",
];

/// The smallest and largest number of rows of each size.
const SIZES: [(i64, i64); 6] = [(0, 0), (1, 1), (2, 7), (8, 40), (60, 300), (800, 3000)];

/// Days that tables' dates and times start from: around 1970, and around a turn of the year.
const FIRST_DAYS: [i64; 3] = [-4, 20_450, 18_320];

/// The tables of a seed, one of each size.
pub(crate) fn tables(seed: u64) -> Vec<Table> {
    let mut dice = Dice::new(seed, 0);
    SIZES.iter().enumerate().map(|(n, size)| table(&mut dice, format!("t{n}"), *size)).collect()
}

fn table(dice: &mut Dice, name: String, (fewest, most): (i64, i64)) -> Table {
    let count = dice.between(fewest, most) as usize;
    let mut columns = vec![ColumnDef { name: "id".into(), ty: Ty::BigInt, distinct: count.max(1) }];
    let mut values: Vec<Vec<Option<Cell>>> = vec![(0..count).map(|n| Some(Cell::Int(n as i64))).collect()];
    // Keys that all tables have, so that there is something to join.
    let mut types = vec![Ty::Int, Ty::Text];
    for _ in 0..dice.between(3, 7) {
        types.push(any_type(dice));
    }
    for (n, ty) in types.into_iter().enumerate() {
        let distinct = dice.weighted(&[(2, 1), (4, 3), (6, 12), (3, 100), (3, 100_000)]);
        let nulls = dice.weighted(&[(4, 0), (4, 10), (2, 50), (1, 100)]);
        let first_day = *dice.pick(&FIRST_DAYS);
        let mut cell = || (!dice.percent(nulls)).then(|| value(dice, ty, distinct, first_day));
        values.push((0..count).map(|_| cell()).collect());
        columns.push(ColumnDef { name: column_name(n, ty), ty, distinct: distinct.min(count).max(1) });
    }
    let rows = (0..count).map(|row| values.iter().map(|v| v[row].clone()).collect()).collect();
    let partitioning = dice.percent(35).then(|| partitioning(dice, &columns)).flatten();
    let pieces = if count < 2 { 1 } else { dice.between(1, 3) as usize };
    Table { name, columns, rows, partitioning, pieces }
}

fn any_type(dice: &mut Dice) -> Ty {
    let decimals = [(9, 2), (18, 4), (5, 0), (12, 6), (25, 3)];
    let (precision, scale) = *dice.pick(&decimals);
    dice.weighted(&[
        (3, Ty::Int),
        (3, Ty::BigInt),
        (2, Ty::Double),
        (4, Ty::Decimal(precision, scale)),
        (2, Ty::Bool),
        (3, Ty::Text),
        (2, Ty::Date),
        (2, Ty::Time),
        (2, Ty::Zoned),
    ])
}

/// Some names need quotes.
fn column_name(n: usize, ty: Ty) -> String {
    match (n % 4, ty) {
        (2, Ty::Text) => format!("이름{n}"),
        (3, Ty::Int | Ty::BigInt) => format!("Qty{n}"),
        (_, Ty::Int) => format!("i{n}"),
        (_, Ty::BigInt) => format!("b{n}"),
        (_, Ty::Double) => format!("f{n}"),
        (_, Ty::Decimal(..)) => format!("d{n}"),
        (_, Ty::Bool) => format!("l{n}"),
        (_, Ty::Text) => format!("s{n}"),
        (_, Ty::Date) => format!("day{n}"),
        (_, Ty::Time) => format!("ts{n}"),
        (_, Ty::Zoned) => format!("tz{n}"),
    }
}

/// One of approximately this number of values.
pub(crate) fn value(dice: &mut Dice, ty: Ty, distinct: usize, first_day: i64) -> Cell {
    let n = dice.below(distinct) as i64;
    // Negative numbers too, but the same numbers for every table, so that keys match.
    let signed = if n % 3 == 2 { -n } else { n };
    match ty {
        Ty::Int => Cell::Int(signed % 10_000),
        Ty::BigInt => Cell::Int(if distinct > 1000 { signed * 9_973 } else { signed }),
        // Quarters are exact, and so are their sums.
        Ty::Double => Cell::Double((signed % 10_000) as f64 / 4.0 + 0.0),
        Ty::Decimal(precision, scale) => {
            let limit = 10_i128.pow(u32::from(precision.min(9)));
            let step = if scale == 0 { 1 } else { 10_i128.pow(u32::from(scale)) / 4 };
            Cell::Decimal(i128::from(signed) * step.max(1) % limit)
        }
        Ty::Bool => Cell::Bool(n % 2 == 0),
        Ty::Text => {
            let word = WORDS[n as usize % WORDS.len()];
            let round = n as usize / WORDS.len();
            Cell::Text(if round == 0 { word.into() } else { format!("{word}{round}") })
        }
        Ty::Date => Cell::Date((first_day + n % 500) as i32),
        Ty::Time | Ty::Zoned => {
            let parts = [0, 500_000, 400, 3_600_000_000, 86_399_999_999, 43_200_000_000];
            Cell::Time((first_day + n / 3 % 500) * MICROS_A_DAY + parts[n as usize % parts.len()])
        }
    }
}

fn partitioning(dice: &mut Dice, columns: &[ColumnDef]) -> Option<String> {
    let ColumnDef { name, ty, distinct } = dice.pick(columns);
    let name = identifier(name);
    let identity = (*distinct <= 12).then(|| name.clone());
    match ty {
        Ty::Int if dice.percent(50) => identity.or(Some(format!("truncate(1000, {name})"))),
        Ty::Int | Ty::BigInt => Some(format!("bucket(3, {name})")),
        Ty::Text => identity.or(Some(format!("bucket(4, {name})"))),
        Ty::Date | Ty::Time | Ty::Zoned if *distinct <= 100 => Some(format!("day({name})")),
        Ty::Date | Ty::Time | Ty::Zoned => Some(format!("month({name})")),
        Ty::Bool | Ty::Decimal(..) => identity,
        Ty::Double => None,
    }
}

/// The name, quoted if necessary.
pub(crate) fn identifier(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_string() } else { format!("\"{name}\"") }
}

impl Table {
    pub(crate) fn schema(&self) -> SchemaRef {
        let field = |c: &ColumnDef| Field::new(&c.name, c.ty.arrow(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// All rows.
    pub(crate) fn batch(&self) -> Result<RecordBatch> {
        let column = |(n, c): (usize, &ColumnDef)| {
            let cells: Vec<_> = self.rows.iter().map(|row| row[n].as_ref()).collect();
            c.ty.array(&cells)
        };
        let columns = self.columns.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    /// The statement that creates the table, for Bergmill or without the clauses of Iceberg.
    pub(crate) fn create(&self, is_partitioned: bool) -> String {
        let column = |c: &ColumnDef| format!("{} {}", identifier(&c.name), c.ty.sql());
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        let by = self.partitioning.as_ref().filter(|_| is_partitioned);
        let by = by.map(|p| format!(" PARTITIONED BY ({p})")).unwrap_or_default();
        format!("CREATE TABLE {} ({}){by}", self.name, columns.join(", "))
    }

    /// The statements that fill it.
    pub(crate) fn inserts(&self) -> Vec<String> {
        let value = |(cell, column): (&Option<Cell>, &ColumnDef)| {
            cell.as_ref().map_or_else(|| "NULL".to_string(), |c| c.sql(column.ty))
        };
        let row = |row: &Vec<Option<Cell>>| {
            let values: Vec<_> = row.iter().zip(&self.columns).map(value).collect();
            format!("  ({})", values.join(", "))
        };
        let piece = |rows: &[Vec<Option<Cell>>]| {
            let rows: Vec<_> = rows.iter().map(row).collect();
            format!("INSERT INTO {} VALUES\n{}", self.name, rows.join(",\n"))
        };
        self.rows.chunks(self.piece()).map(piece).collect()
    }

    /// The number of rows per commit.
    pub(crate) fn piece(&self) -> usize {
        self.rows.len().div_ceil(self.pieces.max(1)).max(1)
    }
}

/// A prefix, suffix or infix of the words, as SQL for LIKE.
pub(crate) fn pattern(dice: &mut Dice) -> String {
    let word: Vec<char> = dice.pick(&WORDS).chars().filter(|c| *c != '%' && *c != '_').collect();
    let part: String = word.iter().take(1 + dice.below(2)).collect();
    let text = match dice.below(5) {
        0 | 1 => format!("{part}%"),
        2 => format!("%{part}%"),
        3 => format!("%{part}"),
        _ => format!("{part}_%"),
    };
    quoted(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_tables() {
        let text = |seed: u64| {
            let tables = tables(seed);
            let all: Vec<_> = tables.iter().map(|t| format!("{};{}", t.create(true), t.inserts().join(";"))).collect();
            all.join(";")
        };
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn every_size_makes_a_batch() {
        for seed in 0..20 {
            for (table, (fewest, most)) in tables(seed).iter().zip(SIZES) {
                let rows = table.batch().unwrap().num_rows() as i64;
                assert!((fewest..=most).contains(&rows), "{} has {rows} rows", table.name);
            }
        }
    }
}
