//! The mistakes reported for a wrong definition, and the order derived from a right one.

use super::*;

fn load(definition: &str) -> Result<Pipeline, String> {
    let sql = [
        ("one.sql", "SELECT {{ date }} AS date FROM raw.events e"),
        ("two.sql", "SELECT {{ date }} AS date FROM aggregated.one"),
        ("three.sql", "SELECT {{ date }} AS date FROM aggregated.two JOIN raw.events e ON TRUE"),
        (
            "versions.sql",
            "SELECT {{ date }} AS date FROM aggregated.one TIMESTAMP AS OF {{ start }} o, table_changes('aggregated.two', 'q1')",
        ),
        ("broken.sql", "SELECT\n  {{ lookback }}"),
        ("no_sql.sql", "SELEC 1"),
    ];
    let mut files: Files = sql.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    files.insert(DEFINITION.to_owned(), definition.to_owned());
    read(&files).map_err(|mistakes| mistakes.to_string())
}

const HEAD: &str = "name = \"p\"\ndescription = \"d\"\ninputs = [\"raw.events\"]\n";

fn step(name: &str, after: &str, outputs: &[(&str, &str)]) -> String {
    let mut text = format!("[[step]]\nname = \"{name}\"\nafter = [{after}]\n");
    for (table, sql) in outputs {
        text += &format!(
            "[[step.output]]\ntable = \"aggregated.{table}\"\nsql = \"{sql}.sql\"\ncolumns = [\"date DATE\"]\n"
        );
    }
    text
}

fn check_order(steps: &[String], expected: &[&[usize]]) {
    let pipeline = load(&format!("{HEAD}{}", steps.concat())).unwrap();
    let needs: Vec<Vec<usize>> = pipeline.steps.iter().map(|step| step.depends_on.iter().copied().collect()).collect();
    assert_eq!(needs, expected);
}

fn check_refused(steps: &[String], expected: &[&str]) {
    let error = load(&format!("{HEAD}{}", steps.concat())).unwrap_err();
    let mistakes: Vec<&str> = error.lines().map(str::trim).collect();
    assert_eq!(mistakes, expected);
}

#[test]
fn order_follows_from_tables_and_after() {
    let three = step("c", "", &[("three", "three")]);
    let two = step("b", "", &[("two", "two")]);
    let one = step("a", "", &[("one", "one")]);
    check_order(&[three.clone(), two.clone(), one.clone()], &[&[1], &[2], &[]]);
    check_order(&[step("d", "", &[("versions", "versions")]), two, one], &[&[1, 2], &[2], &[]]);
    check_order(&[step("a", "", &[("one", "one")]), step("x", "\"a\"", &[("y", "one")])], &[&[], &[0]]);
}

#[test]
fn outputs_of_a_step_come_in_waves() {
    let steps = step("a", "", &[("three", "three"), ("two", "two"), ("one", "one"), ("other", "one")]);
    let pipeline = load(&format!("{HEAD}{steps}")).unwrap();
    let table = |output: &Output| output.table.table().to_owned();
    let waves: Vec<Vec<String>> =
        pipeline.steps[0].outputs.iter().map(|wave| wave.iter().map(table).collect()).collect();
    assert_eq!(waves, [vec!["one", "other"], vec!["two"], vec!["three"]]);
}

#[test]
fn order_mistakes() {
    check_refused(
        &[step("a", "\"b\"", &[("one", "one")]), step("b", "", &[("two", "two")])],
        &["pipeline.toml:4: steps wait for each other: a waits for b waits for a"],
    );
    check_refused(
        &[step("a", "\"a\"", &[("one", "one")])],
        &["pipeline.toml:4: steps wait for each other: a waits for a"],
    );
    check_refused(
        &[step("load", "", &[("one", "one")]), step("b", "\"laod\"", &[("two", "two")])],
        &["pipeline.toml:13: after: there is no step laod; did you mean load?"],
    );
    check_refused(
        &[step("a", "", &[("one", "one")]), step("b", "", &[("one", "one")])],
        &["pipeline.toml:11: table aggregated.one is written twice, by a and b"],
    );
    check_refused(
        &[step("a", "", &[("one", "two"), ("two", "one")]), step("a", "", &[("x", "two")])],
        &["pipeline.toml:15: there are two steps called a"],
    );
    check_refused(
        &[step("a", "", &[("one", "three"), ("two", "two")])],
        &["pipeline.toml:4: step a: tables read each other: aggregated.one reads aggregated.two reads aggregated.one"],
    );
    check_refused(
        &[step("b", "", &[("x", "two")])],
        &["pipeline.toml:4: step b reads aggregated.one, which is neither an input nor an output"],
    );
}

#[test]
fn all_mistakes_are_reported_together() {
    let definition = "\
name = \"P 1\"
descripton = \"d\"
[parameters]
date = 1
[[step]]
name = \"a\"
[[step.output]]
table = \"One\"
sql = \"broken.sql\"
columns = [\"day DATE\"]
[[step.output]]
table = \"aggregated.two\"
sql = \"no_sql.sql\"
columns = [\"date\"]
[[step.audit]]
name = \"x\"
table = \"aggregated.other\"
expect = \"level <\"
when = \"sometimes\"
[[step]]
name = \"b\"
outptu = 1
[[step.output]]
table = \"aggregated.b\"
sql = \"on.sql\"
columns = []
";
    let expected = "  \
  pipeline.toml:2: pipeline: unknown key descripton; did you mean description?
  pipeline.toml:1: pipeline: description is missing
  pipeline.toml:1: name \"P 1\" should be a lower-case identifier
  pipeline.toml:1: parameter or data name \"date\" is taken or no lower-case identifier
";
    let error = load(definition).unwrap_err();
    assert!(error.starts_with(expected), "{error}");
    let reported = [
        "pipeline.toml:8: \"One\" is not a table's name: write namespace.table in lower case",
        "broken.sql:2: undefined value",
        "columns need `date DATE`, whose partition a run replaces",
        "no_sql.sql: SQL: Expected: ",
        "pipeline.toml:17: step a: audit x: aggregated.other is not an output of this step",
        "step a: audit x: when is before_commit or after_commit",
        "step b: unknown key outptu; did you mean output?",
        "there is no file on.sql; did you mean one.sql?",
    ];
    for part in reported {
        assert!(error.contains(part), "{part} is not in\n{error}");
    }
    assert_eq!(error.lines().count(), 4 + reported.len() + 2, "one mistake, one line:\n{error}");
}

#[test]
fn broken_syntax_is_reported_with_its_line() {
    let error = load("name = \"p\"\ndescription = \n").unwrap_err();
    assert!(error.trim().starts_with("pipeline.toml:2: "), "{error}");
    let error = read(&Files::new()).unwrap_err().to_string();
    assert_eq!(error, "  pipeline.toml: the file is missing");
}
