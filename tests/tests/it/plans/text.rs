//! Plans as text that is the same in every run: without figures, the names and sizes of files, and the order in which
//! stages came about.

use std::collections::BTreeMap;

/// A plan as `EXPLAIN` shows it.
pub fn whole(plan: &str) -> String {
    lines(plan)
}

/// The stages of an `EXPLAIN ANALYZE`, each after those that it reads.
pub fn staged(plan: &str) -> String {
    let Some(stages) = Stage::all(plan) else {
        // A plan that has run shows values that it met, and which of them it was still to meet when a file was opened.
        return "not in stages: one executor runs it whole\n".to_string();
    };
    let mut numbers = BTreeMap::new();
    let is_read = |number: usize| stages.iter().any(|stage| stage.reads().contains(&number));
    for last in stages.iter().filter(|stage| !is_read(stage.number)) {
        last.count(&stages, &mut numbers);
    }
    let mut ordered: Vec<&Stage> = stages.iter().collect();
    ordered.sort_by_key(|stage| numbers[&stage.number]);
    ordered.iter().map(|stage| stage.text(&numbers)).collect::<Vec<_>>().join("\n")
}

const READS: &str = "upstream_stage: ";

struct Stage {
    number: usize,
    /// What stands after the number: `(4 partitions)`.
    title: String,
    operators: String,
}

impl Stage {
    /// The stages of a text, if it has any.
    fn all(plan: &str) -> Option<Vec<Self>> {
        let mut stages: Vec<Self> = Vec::new();
        for line in plan.lines().filter(|line| !line.is_empty()) {
            if let Some(title) = line.strip_prefix("stage ") {
                let (number, title) = title.split_once(' ')?;
                stages.push(Self { number: number.parse().ok()?, title: title.to_string(), operators: String::new() });
            } else {
                stages.last_mut()?.operators.push_str(&lines(line));
            }
        }
        Some(stages)
    }

    /// The stages that it reads, in the order of its operators.
    fn reads(&self) -> Vec<usize> {
        self.operators.split(READS).skip(1).map(|rest| leading_number(rest).0).collect()
    }

    /// Counts the stages that this one reads, and then itself.
    fn count(&self, stages: &[Self], numbers: &mut BTreeMap<usize, usize>) {
        for read in self.reads() {
            let read = stages.iter().find(|stage| stage.number == read).expect("a stage that ran");
            if !numbers.contains_key(&read.number) {
                read.count(stages, numbers);
            }
        }
        numbers.insert(self.number, numbers.len());
    }

    fn text(&self, numbers: &BTreeMap<usize, usize>) -> String {
        let mut parts = self.operators.split(READS);
        let mut text = format!("stage {} {}\n", numbers[&self.number], self.title);
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (number, rest) = leading_number(part);
            text.push_str(&format!("{READS}{}{rest}", numbers[&number]));
        }
        text
    }
}

fn leading_number(text: &str) -> (usize, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().expect("a stage's number"), &text[end..])
}

fn lines(plan: &str) -> String {
    let line = |line: &str| {
        let operator = line.split_once(", metrics=[").map_or(line, |(operator, _)| operator);
        format!("{}\n", without_files(operator.trim_end()))
    };
    plan.lines().map(line).collect()
}

/// `file_groups={2 groups: [[...], [...]]}` with the table in place of its files.
fn without_files(line: &str) -> String {
    const BEGINNING: &str = "file_groups={";
    let Some(files) = line.find(BEGINNING).map(|at| at + BEGINNING.len()) else { return line.to_string() };
    let end = files + line[files..].find('}').expect("the end of the files");
    let (groups, paths) = line[files..end].split_once(": ").expect("a number of groups, and files");
    let first = paths.trim_start_matches('[').split([',', ']']).next().expect("a file");
    let folder = first.split_once("/data/").expect("a table's folder of data files").0;
    let mut names = folder.rsplit('/');
    let (table, namespace) = (names.next().expect("a table"), names.next().expect("a namespace"));
    format!("{}{groups}: {namespace}.{table}{}", &line[..files], &line[end..])
}

#[cfg(test)]
mod tests {
    use super::{staged, whole};

    #[test]
    fn files_are_their_table() {
        let plan = "A\n  DataSourceExec: file_groups={2 groups: [[tmp/x/raw/t/data/a.parquet:0..9], [tmp/x/raw/t/data/k=1/b.parquet]]}, \
                    projection=[n]\n";
        assert_eq!(whole(plan), "A\n  DataSourceExec: file_groups={2 groups: raw.t}, projection=[n]\n");
    }

    #[test]
    fn stages_are_counted_from_what_they_read() {
        let plan = "\
stage 0 (4 partitions)
  ShuffleWriterExec: b, metrics=[rows=1]

stage 1 (4 partitions)
  ShuffleWriterExec: a, metrics=[rows=1]

stage 4 (1 partitions)
  ShuffleWriterExec: c, metrics=[]
    ShuffleReaderExec: upstream_stage: 1, x, metrics=[]
    ShuffleReaderExec: upstream_stage: 0, metrics=[]
";
        let expected = "\
stage 0 (4 partitions)
  ShuffleWriterExec: a

stage 1 (4 partitions)
  ShuffleWriterExec: b

stage 2 (1 partitions)
  ShuffleWriterExec: c
    ShuffleReaderExec: upstream_stage: 0, x
    ShuffleReaderExec: upstream_stage: 1
";
        assert_eq!(staged(plan), expected);
        assert_eq!(staged("FilterExec: a\n"), "not in stages: one executor runs it whole\n");
    }
}
