use std::collections::HashMap;

use sqlparser::ast::{ArrayElemTypeDef, DataType, ExactNumberInfo, TimezoneInfo};

use super::*;
use crate::alter_table::{ColumnPosition, PartitionChange, SchemaChange};
use crate::parse::{self, Statement};
use crate::show::Show;
use crate::terms::{Term, Transform};
use crate::views::ViewColumn;

fn parse(sql: &str) -> Ddl {
    match parse::parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}")) {
        Statement::Ddl(ddl) => *ddl,
        other => panic!("{sql}: {other:?}"),
    }
}

fn show(sql: &str) -> Show {
    match parse::parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}")) {
        Statement::Show(show) => show,
        other => panic!("{sql}: {other:?}"),
    }
}

fn table(parts: &[&str]) -> TableName {
    TableName::of_parts(parts.iter().map(ToString::to_string).collect()).unwrap()
}

fn alteration(sql: &str) -> Alteration {
    match parse(&format!("ALTER TABLE raw.t {sql}")) {
        Ddl::AlterTable { alteration, .. } => alteration,
        other => panic!("{sql}: {other:?}"),
    }
}

fn path(name: &str) -> ColumnPath {
    ColumnPath(name.split('.').map(ToString::to_string).collect())
}

#[test]
fn columns_are_changed() {
    let check = |sql: &str, expected: SchemaChange| {
        assert_eq!(alteration(sql), Alteration::Columns(vec![expected]), "{sql}");
    };
    let add = |name: &str, ty| SchemaChange::Add {
        column: path(name),
        ty,
        required: false,
        doc: None,
        position: None,
        if_not_exists: false,
    };
    check("ADD COLUMN c BIGINT", add("c", DataType::BigInt(None)));
    check(
        "ADD COLUMNS (a.element.c TIMESTAMP(6))",
        add("a.element.c", DataType::Timestamp(Some(6), TimezoneInfo::None)),
    );
    check(
        "ADD COLUMN c STRING[];",
        add("c", DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::String(None)), None))),
    );
    let placed = SchemaChange::Add {
        column: path("Kind.x"),
        ty: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(10, 2)),
        required: true,
        doc: Some("it's".to_string()),
        position: Some(ColumnPosition::After("y".to_string())),
        if_not_exists: true,
    };
    check(r#"ADD COLUMN IF NOT EXISTS "Kind".x DECIMAL(10, 2) NOT NULL COMMENT 'it''s' AFTER "Kind".y"#, placed);
    check("DROP COLUMN IF EXISTS a.b", SchemaChange::Drop { column: path("a.b"), if_exists: true });
    check("RENAME COLUMN a.b TO C", SchemaChange::Rename { column: path("a.b"), to: "c".to_string() });
    check(
        "ALTER COLUMN a TYPE DOUBLE",
        SchemaChange::Widen { column: path("a"), ty: DataType::Double(ExactNumberInfo::None) },
    );
    check("ALTER a SET DATA TYPE BIGINT", SchemaChange::Widen { column: path("a"), ty: DataType::BigInt(None) });
    let moved = |position| SchemaChange::Move { column: path("a"), position };
    check("CHANGE COLUMN a FIRST", moved(ColumnPosition::First));
    check("ALTER COLUMN a AFTER b", moved(ColumnPosition::After("b".to_string())));
    check("ALTER COLUMN a COMMENT 'x'", SchemaChange::Comment { column: path("a"), doc: Some("x".to_string()) });
    check("ALTER COLUMN a DROP NOT NULL", SchemaChange::DropNotNull(path("a")));
    check("ALTER COLUMN a SET NOT NULL", SchemaChange::SetNotNull(path("a")));
    check("SET IDENTIFIER FIELDS a, b", SchemaChange::Identify(vec![path("a"), path("b")]));
    let two = Alteration::Columns(vec![add("a", DataType::Int(None)), add("b", DataType::Text)]);
    assert_eq!(alteration("ADD COLUMNS (a INT, b TEXT)"), two);
    assert_eq!(alteration("ADD COLUMN a INT, b TEXT"), two);
}

#[test]
fn partitioning_order_and_properties_are_changed() {
    let term = |column: &str, transform| Term { column: column.to_string(), transform };
    let check = |sql: &str, expected: PartitionChange| {
        assert_eq!(alteration(sql), Alteration::Partitioning(expected), "{sql}");
    };
    let bucket = term("id", Transform::Bucket(16));
    check("ADD PARTITION FIELD bucket(16, id)", PartitionChange::Add { term: bucket.clone(), name: None });
    check(
        "ADD PARTITION FIELD bucket(16, id) AS shard",
        PartitionChange::Add { term: bucket.clone(), name: Some("shard".to_string()) },
    );
    check("DROP PARTITION FIELD shard", PartitionChange::Drop(term("shard", Transform::Identity)));
    check(
        "REPLACE PARTITION FIELD shard WITH days(a.ts) AS d",
        PartitionChange::Replace {
            old: term("shard", Transform::Identity),
            new: term("a.ts", Transform::Day),
            name: Some("d".to_string()),
        },
    );
    assert_eq!(alteration("WRITE UNORDERED"), Alteration::SortOrder(vec![]));
    for sql in ["WRITE ORDERED BY bucket(16, id), kind DESC", "SORTED BY (bucket(16, id), kind DESC)"] {
        let Alteration::SortOrder(terms) = alteration(sql) else { panic!("{sql}") };
        assert_eq!(terms.iter().map(|t| &t.term).collect::<Vec<_>>(), [&bucket, &term("kind", Transform::Identity)]);
    }
    let properties = HashMap::from([("a".to_string(), "1".to_string()), ("b".to_string(), "2".to_string())]);
    assert_eq!(alteration("SET TBLPROPERTIES ('a' = '1', 'b' = '2')"), Alteration::SetProperties(properties));
    let unset = Alteration::UnsetProperties { names: vec!["a".to_string()], if_exists: true };
    assert_eq!(alteration("UNSET TBLPROPERTIES IF EXISTS ('a')"), unset);
}

#[test]
fn other_definitions_are_parsed() {
    let t = || table(&["raw", "t"]);
    let renamed = Ddl::RenameTable { table: t(), if_exists: true, to: table(&["u"]) };
    assert_eq!(parse("ALTER TABLE IF EXISTS raw.t RENAME TO u"), renamed);
    let commented = Ddl::Comment { table: t(), is_view: false, text: Some("x".to_string()) };
    assert_eq!(parse("COMMENT ON TABLE raw.t IS 'x'"), commented);
    for (sql, table, column) in [
        ("t.c", table(&["t"]), "c"),
        ("raw.t.c", t(), "c"),
        ("bergmill.raw.t.s.c", table(&["bergmill", "raw", "t"]), "s.c"),
    ] {
        let change = SchemaChange::Comment { column: path(column), doc: None };
        let alteration = Alteration::Columns(vec![change]);
        let expected = Ddl::AlterTable { table, if_exists: false, alteration };
        assert_eq!(parse(&format!("COMMENT ON COLUMN {sql} IS NULL")), expected, "{sql}");
    }
    assert_eq!(show("SHOW TABLES IN bergmill.raw"), Show::Tables(Some("raw".to_string())));
    assert_eq!(show("show schemas;"), Show::Namespaces);
    assert_eq!(show("DESC TABLE EXTENDED raw.t"), Show::Describe { table: t(), extended: true });
    for sql in ["DESCRIBE SELECT 1", "SHOW ALL", "SELECT 1", "CREATE TABLE t (a INT)", "ALTER TABLE t ADD UNIQUE (a)"] {
        assert!(matches!(parse::parse(sql), Ok(Statement::Sql(_))), "{sql}");
    }
    assert!(matches!(parse::parse("ALTER TABLE t CREATE BRANCH b"), Ok(Statement::References(_))));
}

#[test]
fn a_view_keeps_the_text_of_its_query() {
    let sql = "CREATE OR REPLACE VIEW raw.\"V\" (a COMMENT 'erste', b)\n  COMMENT '보기' AS\n  SELECT '각', -- 두\n    x\n  FROM t ;\n";
    let Ddl::CreateView(view) = parse(sql) else { panic!("no view") };
    assert_eq!(view.query, "SELECT '각', -- 두\n    x\n  FROM t");
    assert_eq!(view.sql(), format!("SELECT * FROM ({}) AS \"V\" (\"a\", \"b\")", view.query));
    assert_eq!(view.columns[0], ViewColumn { name: "a".to_string(), doc: Some("erste".to_string()) });
    assert_eq!((view.comment.as_deref(), view.or_replace, view.if_not_exists), (Some("보기"), true, false));
    let Ddl::CreateView(view) = parse("CREATE VIEW IF NOT EXISTS v AS SELECT 1") else { panic!("no view") };
    assert_eq!((view.sql().as_str(), view.if_not_exists), ("SELECT 1", true));
}

#[test]
fn errors_say_what_is_wrong() {
    let check = |sql: &str, expected: &str| {
        let e = parse::parse(sql).expect_err(sql);
        assert!(e.to_string().contains(expected), "{sql}: {e}");
    };
    check("ALTER TABLE t ADD COLUMN", "expected a name, but the statement ends");
    check("ALTER TABLE t ADD COLUMN c", "ADD COLUMN");
    check("ALTER TABLE t ADD COLUMN c INT DEFAULT 3", "DEFAULT needs format version 3");
    check("ALTER TABLE t ADD COLUMN c INT x", "unexpected `x`");
    check("ALTER TABLE t ADD COLUMNS (c INT", "expected `,` or `)`");
    check("ALTER TABLE t ALTER COLUMN c", "expected TYPE, COMMENT, FIRST");
    check("ALTER TABLE t RENAME COLUMN c", "expected TO");
    check("ALTER TABLE t ADD PARTITION FIELD week(c)", "use a column, year(c)");
    check("ALTER TABLE a.b.c.d RENAME TO e", "is not a table name");
    check("COMMENT ON COLUMN c IS 'x'", "takes a table and a column");
    check("COMMENT ON TABLE c IS x", "expected a quoted string");
    check("CREATE VIEW v AS", "expected a query");
    check("CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1", "not both");
}
