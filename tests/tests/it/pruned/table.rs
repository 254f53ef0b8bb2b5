//! Random tables: statements that create and change one, for a table with partitioning and metrics and for its twin
//! without.

use super::kind::{KINDS, Kind};
use super::random::Random;

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
}

/// The state of a table while statements for it are generated.
pub struct Draft {
    pub columns: Vec<Column>,
    /// Terms of the current partition spec: the column, and the transform.
    terms: Vec<(usize, &'static str)>,
    names: usize,
    rows: usize,
}

/// A statement for both tables, or only for the one that is partitioned.
pub enum Step {
    Both(String),
    Partitioned(String),
}

/// Stands for the table's name.
pub const TABLE: &str = "$table";

const METRICS: [&str; 5] = ["none", "counts", "truncate(2)", "truncate(16)", "full"];

impl Draft {
    pub fn new(random: &mut Random) -> Self {
        let mut draft = Self { columns: Vec::new(), terms: Vec::new(), names: 0, rows: 0 };
        for _ in 0..2 + random.below(4) {
            draft.add_column(random);
        }
        for _ in 0..random.below(4) {
            // Names of partition fields are derived from the function without its arguments.
            let is_new = |(column, transform): &(usize, &str)| {
                let function = |t: &str| t.split('(').next().map(str::to_string);
                !draft.terms.iter().any(|(c, t)| c == column && function(t) == function(transform))
            };
            draft.terms.extend(draft.new_term(random).filter(is_new));
        }
        draft
    }

    fn add_column(&mut self, random: &mut Random) {
        let name = self.new_name();
        self.columns.push(Column { name, kind: random.of(&KINDS) });
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    /// A term that is compatible with the existing ones.
    fn new_term(&self, random: &mut Random) -> Option<(usize, &'static str)> {
        let column = random.below(self.columns.len());
        let transform = random.of(self.columns[column].kind.transforms());
        let is_part_of_time = |t: &str| t.starts_with(['y', 'm', 'd', 'h']);
        let is_compatible = |(c, t): &(usize, &str)| {
            *c != column || !(is_part_of_time(t) && is_part_of_time(transform) || *t == transform)
        };
        self.terms.iter().all(is_compatible).then_some((column, transform))
    }

    fn term(&self, (column, transform): (usize, &str)) -> String {
        transform.replace("{}", &self.columns[column].name)
    }

    /// The statements that create the table and its twin.
    pub fn create(&self, random: &mut Random) -> [String; 2] {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("{} {}", c.name, c.kind.sql())).collect();
        let create = format!("CREATE TABLE {TABLE} (id INT, {})", columns.join(", "));
        let terms: Vec<String> = self.terms.iter().map(|term| self.term(*term)).collect();
        let partitioned =
            if terms.is_empty() { String::new() } else { format!(" PARTITIONED BY ({})", terms.join(", ")) };
        let with = |metrics: &str| format!("TBLPROPERTIES ('write.metadata.metrics.default' = '{metrics}')");
        [format!("{create}{partitioned} {}", with(random.of(&METRICS))), format!("{create} {}", with("none"))]
    }

    pub fn insert(&mut self, random: &mut Random) -> Step {
        let nulls = random.of(&[1, 3, 100]);
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let mut rows = Vec::new();
        for _ in 0..1 + random.below(9) {
            self.rows += 1;
            let mut row = vec![self.rows.to_string()];
            for column in &self.columns {
                let is_null = nulls < 100 && random.one_in(4 * nulls) || nulls == 1 && random.one_in(2);
                row.push(if is_null { "NULL".to_string() } else { column.kind.value(random) });
            }
            rows.push(format!("({})", row.join(", ")));
        }
        Step::Both(format!("INSERT INTO {TABLE} (id, {}) VALUES {}", names.join(", "), rows.join(", ")))
    }

    /// A change of the columns or of the partitioning.
    pub fn alter(&mut self, random: &mut Random) -> Option<Step> {
        let alter = |what: String| format!("ALTER TABLE {TABLE} {what}");
        Some(match random.below(10) {
            0 => {
                let at = random.below(self.columns.len());
                let new = self.new_name();
                let old = std::mem::replace(&mut self.columns[at].name, new.clone());
                Step::Both(alter(format!("RENAME COLUMN {old} TO {new}")))
            }
            1 => {
                self.add_column(random);
                let Column { name, kind } = self.columns.last()?;
                Step::Both(alter(format!("ADD COLUMN {name} {}", kind.sql())))
            }
            2 | 3 => {
                let at = random.position(&self.columns, |c| c.kind.wider().is_some())?;
                let column = &mut self.columns[at];
                column.kind = column.kind.wider()?;
                Step::Both(alter(format!("ALTER COLUMN {} TYPE {}", column.name, column.kind.sql())))
            }
            4..=6 => {
                let term = self.new_term(random)?;
                self.terms.push(term);
                Step::Partitioned(alter(format!("ADD PARTITION FIELD {}", self.term(term))))
            }
            7 if self.terms.len() > 1 => {
                let at = random.below(self.terms.len());
                let term = self.terms.remove(at);
                Step::Partitioned(alter(format!("DROP PARTITION FIELD {}", self.term(term))))
            }
            8 if !self.terms.is_empty() => {
                let at = random.below(self.terms.len());
                let old = self.terms.remove(at);
                let Some(new) = self.new_term(random).filter(|new| *new != old) else {
                    self.terms.insert(at, old);
                    return None;
                };
                self.terms.push(new);
                let [old, new] = [old, new].map(|term| self.term(term));
                Step::Partitioned(alter(format!("REPLACE PARTITION FIELD {old} WITH {new}")))
            }
            _ => {
                let metrics = random.of(&METRICS);
                Step::Partitioned(alter(format!("SET TBLPROPERTIES ('write.metadata.metrics.default' = '{metrics}')")))
            }
        })
    }
}
