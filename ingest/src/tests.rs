//! Tests of whole loads, from files to rows and messages.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use crate::{BATCH_ROWS, Error, Format, Opened, Source, open};

/// Files of one test; messages have their names without the folder.
struct Files {
    dir: TempDir,
    source: Source,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), source: Source::default() }
    }

    fn of(name: &str, text: impl AsRef<[u8]>) -> Self {
        Self::new().with(name, text)
    }

    fn with(mut self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self.source.files.push(self.path(name));
        self
    }

    fn with_parquet(self, name: &str, batch: &RecordBatch) -> Self {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        self.with(name, bytes)
    }

    fn into_table(mut self, fields: Vec<Field>) -> Self {
        self.source.schema = Some(Arc::new(Schema::new(fields)));
        self
    }

    fn rejecting(mut self) -> Self {
        self.source.reject_to = Some(self.path("rejects.csv"));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn read(&self) -> Result<(SchemaRef, Vec<RecordBatch>, Opened), Error> {
        let mut opened = open(self.source.clone()).await?;
        let mut batches = Vec::new();
        while let Some(batch) = opened.batches.next().await {
            batches.push(batch?);
        }
        Ok((Arc::clone(&opened.schema), batches, opened))
    }

    async fn error(&self) -> String {
        let error = self.read().await.map(|(_, batches, _)| batches).expect_err("an error");
        error.to_string().replace(&format!("{}/", self.dir.path().display()), "")
    }

    async fn rows(&self) -> String {
        let (schema, batches, _) = self.read().await.unwrap_or_else(|e| panic!("{e}"));
        let all = concat_batches(&schema, &batches).unwrap();
        pretty_format_batches(&[all]).unwrap().to_string()
    }

    fn rejects(&self) -> String {
        let text = String::from_utf8(std::fs::read(self.path("rejects.csv")).unwrap()).unwrap();
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

fn column(name: &str, ty: DataType) -> Field {
    Field::new(name, ty, true)
}

fn types(schema: &Schema) -> String {
    schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
}

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn micros_utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Checks the message of a load that must fail.
async fn refused(files: Files, expected: &str) {
    assert_eq!(files.error().await, expected);
}

#[tokio::test]
async fn columns_of_csv_are_inferred_from_all_lines() {
    let files = Files::of(
        "shop.csv",
        "\u{feff}timestamp,user_id,event_type,price,quantity,day,member,zip,empty,at\r\n\
         2026-02-14 09:00:15,101,view,299.99,1,2026-02-14,true,01234,,2026-02-14T09:00:00Z\r\n\
         2026-02-14,102,\"a, \"\"b\"\"\",5,,2026-02-15,FALSE,99999,,2026-02-14T09:00:00+01:00\r\n",
    );
    let (schema, batches, opened) = files.read().await.unwrap();
    assert_eq!(
        types(&schema),
        "timestamp: Timestamp(µs), user_id: Int64, event_type: Utf8, price: Float64, quantity: Int64, day: Date32, \
         member: Boolean, zip: Utf8, empty: Utf8, at: Timestamp(µs, \"UTC\")"
    );
    assert_eq!(
        pretty_format_batches(&batches).unwrap().to_string(),
        "\
+---------------------+---------+------------+--------+----------+------------+--------+-------+-------+----------------------+
| timestamp           | user_id | event_type | price  | quantity | day        | member | zip   | empty | at                   |
+---------------------+---------+------------+--------+----------+------------+--------+-------+-------+----------------------+
| 2026-02-14T09:00:15 | 101     | view       | 299.99 | 1        | 2026-02-14 | true   | 01234 |       | 2026-02-14T09:00:00Z |
| 2026-02-14T00:00:00 | 102     | a, \"b\"     | 5.0    |          | 2026-02-15 | false  | 99999 |       | 2026-02-14T08:00:00Z |
+---------------------+---------+------------+--------+----------+------------+--------+-------+-------+----------------------+"
    );
    let progress = opened.progress;
    assert_eq!((progress.rows(), progress.rejected()), (2, 0));
    assert_eq!(progress.bytes_read(), progress.bytes_total());
}

#[tokio::test]
async fn a_late_line_widens_the_type() {
    let mut text = "n\n".to_owned() + &"1\n".repeat(20_000);
    text.push_str("1.5\n");
    let (schema, batches, _) = Files::of("n.csv", text).read().await.unwrap();
    assert_eq!(types(&schema), "n: Float64");
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [BATCH_ROWS, BATCH_ROWS, 3617]);
}

#[tokio::test]
async fn csv_fits_the_table() {
    let files = Files::of("a.csv", "when,price,n,small,name\n2026-02-14T09:00:15Z,19.90, 7 ,2.5,\"\"\n")
        .with("b.tsv", "name\tprice\nx,y\t5\n")
        .into_table(vec![
            column("name", DataType::Utf8),
            column("when", micros_utc()),
            column("n", DataType::Int32),
            column("price", DataType::Decimal128(10, 2)),
            column("small", DataType::Float32),
            column("tags", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))),
        ]);
    assert_eq!(
        files.rows().await,
        "\
+------+----------------------+---+-------+-------+------+
| name | when                 | n | price | small | tags |
+------+----------------------+---+-------+-------+------+
|      | 2026-02-14T09:00:15Z | 7 | 19.90 | 2.5   |      |
| x,y  |                      |   | 5.00  |       |      |
+------+----------------------+---+-------+-------+------+"
    );
    let (_, batches, _) = files.read().await.unwrap();
    assert!(!batches[0].column(0).is_null(0), "an empty text in quotes is not null");
}

#[tokio::test]
async fn a_wrong_value_stops_the_load_with_its_location() {
    let check = async |text: &str, expected: &str| {
        let table = vec![
            column("id", DataType::Int32).with_nullable(false),
            column("price", DataType::Float64),
            column("amount", DataType::Decimal128(10, 2)),
            column("at", MICROS),
        ];
        let files = Files::of("orders.csv", format!("id,price,amount,at\n{text}")).into_table(table);
        refused(files, expected).await;
    };
    check("1,abc,,\n", "orders.csv line 2, column price: \"abc\" is not a DOUBLE").await;
    check("1,,,\n2.5,,,\n", "orders.csv line 3, column id: \"2.5\" is not an INTEGER").await;
    check("3000000000,,,\n", "orders.csv line 2, column id: \"3000000000\" is not an INTEGER").await;
    check("1,,19.999,\n", "orders.csv line 2, column amount: \"19.999\" is not a DECIMAL(10,2)").await;
    check("1,,,14.2.2026\n", "orders.csv line 2, column at: \"14.2.2026\" is not a TIMESTAMP").await;
    check(
        "1,,,2026-02-14T09:00:00+01:00\n",
        "orders.csv line 2, column at: \"2026-02-14T09:00:00+01:00\" is not a TIMESTAMP",
    )
    .await;
    check("1,,,\n\n,1,1,\n", "orders.csv line 4, column id: null in a NOT NULL column").await;
    check("1,2\n", "orders.csv line 2: 2 fields, but the header has 4").await;
    check("1,2,3,,5\n", "orders.csv line 2: 5 fields, but the header has 4").await;
    check("1,,,\n2,\"3,,\n4,,,\n", "orders.csv line 3: a quote is opened and never closed").await;
    check("1,\"3\"x,,\n", "orders.csv line 2: \"x,,\" follows a closing quote").await;
    let long = "x".repeat(100);
    let clipped = "x".repeat(80);
    check(&format!("1,{long},,\n"), &format!("orders.csv line 2, column price: \"{clipped}…\" is not a DOUBLE")).await;
}

#[tokio::test]
async fn lines_are_counted_as_an_editor_does() {
    let text = "id,note\n1,\"one\ntwo\n\nfour\"\n\n2,\"a\r\nb\"\nx,\n";
    let table = || vec![column("id", DataType::Int64), column("note", DataType::Utf8)];
    let files = Files::of("notes.csv", text).into_table(table());
    refused(files, "notes.csv line 9, column id: \"x\" is not a BIGINT").await;

    let files = Files::of("notes.csv", text).into_table(table()).rejecting();
    let (_, batches, _) = files.read().await.unwrap();
    let notes = batches[0].column(1).as_any().downcast_ref::<StringArray>().unwrap().clone();
    assert_eq!(notes.iter().flatten().collect::<Vec<_>>(), ["one\ntwo\n\nfour", "a\r\nb"]);
}

#[tokio::test]
async fn bad_lines_are_kept_unchanged() {
    let files = Files::of(
        "a.csv",
        "id,note\n1,good\nx,\"say \"\"no\"\"\"\r\n2,\"lost\n3,good\n4\n5,\"two\nlines\",6\n7,good\n",
    )
    .with("b.csv", "note,id\ngood,8\n,\n")
    .into_table(vec![column("id", DataType::Int64).with_nullable(false), column("note", DataType::Utf8)])
    .rejecting();
    assert_eq!(
        files.rows().await,
        "\
+----+------+
| id | note |
+----+------+
| 1  | good |
| 3  | good |
| 7  | good |
| 8  | good |
+----+------+"
    );
    assert_eq!(
        files.rejects(),
        r#"file,line,reason,text
"a.csv",3,"column id: ""x"" is not a BIGINT","x,""say """"no"""""""
"a.csv",4,"""two"" follows a closing quote","2,""lost"
"a.csv",6,"1 field, but the header has 2","4"
"a.csv",7,"3 fields, but the header has 2","5,""two
lines"",6"
"b.csv",3,"column id: null in a NOT NULL column",","
"#
    );
    let (.., opened) = files.read().await.unwrap();
    assert_eq!(opened.progress.rejected(), 5);
}

#[tokio::test]
async fn inference_skips_lines_that_will_be_rejected() {
    let text = "id,price\n1,2\n1,2,3\n4,5\n";
    refused(Files::of("a.csv", text), "a.csv line 3: 3 fields, but the header has 2").await;
    let files = Files::of("a.csv", text).rejecting();
    let (schema, _, opened) = files.read().await.unwrap();
    assert_eq!(types(&schema), "id: Int64, price: Int64");
    assert_eq!((opened.progress.rows(), opened.progress.rejected()), (2, 1));
}

#[tokio::test]
async fn invalid_utf8_is_reported_and_kept_unchanged() {
    let text = b"id,name\n1,M\xFCller\n";
    refused(Files::of("a.csv", text), "a.csv line 2, column name: \"M\u{fffd}ller\" is not valid UTF-8").await;
    refused(Files::of("a.jsonl", b"{\"a\":\"M\xFC\"}\n"), "a.jsonl line 1: not valid UTF-8").await;
    let files = Files::of("a.csv", text).rejecting();
    files.read().await.unwrap();
    let kept = std::fs::read(files.path("rejects.csv")).unwrap();
    assert!(kept.ends_with(b"\"1,M\xFCller\"\n"));
    refused(Files::of("a.csv", b"\xFF\xFEi\0d\0"), "a.csv is UTF-16 text; save it as UTF-8").await;
}

#[tokio::test]
async fn unusable_files_are_reported_immediately() {
    let files = |paths: &[&str]| {
        let mut files = Files::new();
        files.source.files = paths.iter().map(|name| files.path(name)).collect();
        files
    };
    refused(Files::new(), "no file to load").await;
    refused(files(&["none.csv"]), "none.csv not found").await;
    let dir = files(&["folder.csv"]);
    std::fs::create_dir(dir.path("folder.csv")).unwrap();
    refused(dir, "folder.csv is a directory").await;
    refused(Files::of("a.csv", ""), "a.csv is empty: a CSV file begins with a header line").await;
    refused(Files::of("a.jsonl", "\n"), "a.jsonl is empty: there is no line to infer columns from").await;
    refused(
        Files::of("a.xlsx", "x"),
        "a.xlsx has none of the extensions .csv, .tsv, .json, .jsonl, .ndjson and .parquet; specify its format",
    )
    .await;
    refused(Files::of("a.csv", "id,name,id\n"), "a.csv has the name id twice in its header, columns 1 and 3").await;
    refused(Files::of("a.csv", "id,,x\n"), "a.csv has no name for column 2 in its header").await;
    refused(Files::of("a.csv", "\"id\n"), "a.csv has no readable header line: a quote is opened and never closed")
        .await;
    refused(
        Files::of("a.csv", "id\n1\n").with("a.csv", "id\n1\n"),
        "a.csv is given twice: its rows would be loaded twice",
    )
    .await;
    let mut same = Files::of("a.csv", "id\n1\n");
    same.source.reject_to = Some(same.path("a.csv"));
    refused(same, "a.csv is an input and cannot be the reject file").await;
    let mut nowhere = Files::of("a.csv", "id\n1\n");
    nowhere.source.reject_to = Some(nowhere.path("no/rejects.csv"));
    refused(nowhere, "cannot write the reject file no/rejects.csv: No such file or directory (os error 2)").await;
}

#[tokio::test]
async fn a_format_can_be_specified() {
    let mut files = Files::of("export.txt", "a\tb\n1\t2\n");
    files.source.format = Some(Format::Tsv);
    assert_eq!(types(&files.read().await.unwrap().0), "a: Int64, b: Int64");
}

#[tokio::test]
async fn columns_must_be_those_of_the_table() {
    let table = || {
        vec![
            column("id", DataType::Int64).with_nullable(false),
            column("price", DataType::Float64),
            column("tags", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))),
            column("key", DataType::Binary),
        ]
    };
    let check = async |text: &str, expected: &str| {
        refused(Files::of("good.csv", "id\n1\n").with("a.csv", text).into_table(table()), expected).await;
    };
    check("id,prise\n", "a.csv: unknown column prise; did you mean price?").await;
    check("id,colour\n", "a.csv: unknown column colour").await;
    check("price\n", "a.csv: no column id, which is NOT NULL").await;
    check("id,tags\n", "a.csv: column tags is a LIST, which CSV cannot hold").await;
    check("id,key\n", "a.csv: column key is a BINARY, which CSV cannot hold").await;
    let json = Files::of("a.jsonl", r#"{"id": 1, "key": "00"}"#).into_table(table());
    refused(json, "a.jsonl line 1, column key: \"00\" cannot be read as a BINARY").await;
}

#[tokio::test]
async fn json_lines_with_nested_values() {
    let address =
        Fields::from(vec![column("city", DataType::Utf8), column("zip", DataType::Int32).with_nullable(false)]);
    let pair = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Decimal128(38, 10), true),
    ]);
    let files = Files::of(
        "a.jsonl",
        concat!(
            r#"{"at": "2026-02-14T09:00:15.25Z", "address": {"zip": 8001, "city": "Z\u00fcrich"}, "tags": ["a", null], "#,
            r#""rates": {"x": 12345678901234567890.0123456789, "y": "2.5"}, "ok": true}"#,
            "\n\n",
            r#"{"address": null, "tags": []}"#,
            "\n{}",
        ),
    )
    .into_table(vec![
        column("at", micros_utc()),
        column("address", DataType::Struct(address)),
        column("tags", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))),
        column("rates", DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair), false)), false)),
        column("ok", DataType::Boolean),
    ]);
    assert_eq!(
        files.rows().await,
        "\
+--------------------------+---------------------------+-------+-------------------------------------------------------+------+
| at                       | address                   | tags  | rates                                                 | ok   |
+--------------------------+---------------------------+-------+-------------------------------------------------------+------+
| 2026-02-14T09:00:15.250Z | {city: Zürich, zip: 8001} | [a, ] | {x: 12345678901234567890.0123456789, y: 2.5000000000} | true |
|                          |                           | []    |                                                       |      |
|                          |                           |       |                                                       |      |
+--------------------------+---------------------------+-------+-------------------------------------------------------+------+"
    );
}

#[tokio::test]
async fn a_wrong_json_line_stops_the_load_with_its_location() {
    let check = async |line: &str, expected: &str| {
        let address = Fields::from(vec![column("city", DataType::Utf8), column("zip", DataType::Int32)]);
        let table = vec![
            column("id", DataType::Int64).with_nullable(false),
            column("price", DataType::Float64),
            column("address", DataType::Struct(address)),
            column("tags", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))),
        ];
        let files = Files::of("e.jsonl", format!("{{\"id\": 1}}\n{line}\n")).into_table(table);
        refused(files, &format!("e.jsonl line 2{expected}")).await;
    };
    check(r#"{"id": "7"}"#, ", column id: \"7\" is not a BIGINT").await;
    check(r#"{"id": 7.5}"#, ", column id: 7.5 is not a BIGINT").await;
    check(r#"{"id": true}"#, ", column id: true is not a BIGINT").await;
    check(r#"{"id": 1, "price": {"a": 1}}"#, ", column price: {\"a\": 1} is not a DOUBLE").await;
    check(r#"{"id": null}"#, ", column id: null in a NOT NULL column").await;
    check(r#"{"price": 1}"#, ", column id: null in a NOT NULL column").await;
    check(r#"{"id": 1, "prise": 1}"#, ": unknown key \"prise\"; did you mean price?").await;
    check(r#"{"id": 1, "id": 1}"#, ", column id: duplicate key").await;
    check(r#"{"id": 1, "address": {"zip": "x"}}"#, ", column address.zip: \"x\" is not an INTEGER").await;
    check(r#"{"id": 1, "address": {"zap": 1}}"#, ", column address: unknown key \"zap\"; did you mean zip?").await;
    check(r#"{"id": 1, "tags": ["a", 2]}"#, ", column tags.element: 2 is not a TEXT").await;
    check(r#"{"id": 1,}"#, ": invalid JSON, trailing comma at byte 10").await;
    check(r#"{"id": 1} x"#, ": invalid JSON, trailing characters at byte 11").await;
    check(r#"{"id": 1"#, ": invalid JSON, EOF while parsing an object at byte 8").await;
    check(r#"[{"id": 1}]"#, ": an array; each line must be one JSON object: [{\"id\": 1}]").await;
    check("id=1", ": not a JSON object: id=1").await;
}

#[tokio::test]
async fn no_value_of_a_rejected_json_line_remains() {
    let files = Files::of(
        "e.jsonl",
        concat!(
            r#"{"id": 1, "tags": ["a"], "who": {"name": "x", "age": 1}}"#,
            "\n",
            r#"{"tags": ["b", "c"], "who": {"name": "yy", "age": "old"}, "id": 2}"#,
            "\n",
            r#"{"tags": ["d", 5], "id": 3}"#,
            "\n",
            r#"{"id": 4, "tags": ["e"], "who": {"age": 4}}"#,
            "\n",
        ),
    )
    .into_table(vec![
        column("id", DataType::Int64),
        column("tags", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))),
        column("who", DataType::Struct(vec![column("name", DataType::Utf8), column("age", DataType::Int64)].into())),
    ])
    .rejecting();
    assert_eq!(
        files.rows().await,
        "\
+----+------+-------------------+
| id | tags | who               |
+----+------+-------------------+
| 1  | [a]  | {name: x, age: 1} |
| 4  | [e]  | {name: , age: 4}  |
+----+------+-------------------+"
    );
    assert_eq!(
        files.rejects(),
        r#"file,line,reason,text
"e.jsonl",2,"column who.age: ""old"" is not a BIGINT","{""tags"": [""b"", ""c""], ""who"": {""name"": ""yy"", ""age"": ""old""}, ""id"": 2}"
"e.jsonl",3,"column tags.element: 5 is not a TEXT","{""tags"": [""d"", 5], ""id"": 3}"
"#
    );
}

#[tokio::test]
async fn columns_of_json_are_inferred_in_their_order() {
    let files = Files::of(
        "e.ndjson",
        concat!(
            r#"{"z": 1, "at": "2026-02-14T09:00:15Z", "day": "2026-02-14", "who": {"age": null, "name": "x"}}"#,
            "\n",
            r#"{"z": 2.5, "code": "17", "tags": [], "who": {"age": 3}}"#,
            "\n",
            r#"{"tags": [1], "ok": false, "big": 12345678901234567890}"#,
            "\n",
        ),
    );
    let (schema, ..) = files.read().await.unwrap();
    let at = schema.field_with_name("at").unwrap();
    assert_eq!(at.data_type(), &micros_utc());
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["z", "at", "day", "who", "code", "tags", "ok", "big"]);
    let ty = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
    assert_eq!((ty("z"), ty("day"), ty("code")), (DataType::Float64, DataType::Date32, DataType::Utf8));
    assert_eq!((ty("ok"), ty("big")), (DataType::Boolean, DataType::Decimal128(38, 0)));
    assert_eq!(ty("tags"), DataType::List(Arc::new(column("element", DataType::Int64))));
    assert_eq!(
        ty("who"),
        DataType::Struct(vec![column("age", DataType::Int64), column("name", DataType::Utf8)].into())
    );
    refused(
        Files::of("e.jsonl", "{\"a\": {\"b\": 1}}\n{\"a\": {\"b\": \"x\"}}\n"),
        "e.jsonl line 2, column a.b: \"x\" is not a BIGINT, as in the lines before; to choose the type, create the \
         table first",
    )
    .await;
    refused(Files::of("e.jsonl", "{\"a\": {}}\n"), "e.jsonl: column a is an object without keys in every line").await;
}

fn two_columns(ids: ArrayRef, names: Vec<Option<&str>>) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(names));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap()
}

#[tokio::test]
async fn parquet_is_widened_to_the_table() {
    let batch = two_columns(Arc::new(Int32Array::from(vec![1, 2])), vec![Some("x"), None]);
    let files = Files::new().with_parquet("a.parquet", &batch).into_table(vec![
        column("name", DataType::Utf8),
        column("id", DataType::Int64).with_nullable(false),
        column("price", DataType::Float64),
    ]);
    assert_eq!(
        files.rows().await,
        "\
+------+----+-------+
| name | id | price |
+------+----+-------+
| x    | 1  |       |
|      | 2  |       |
+------+----+-------+"
    );
    let inferred = Files::new().with_parquet("a.parquet", &batch);
    let (schema, _, opened) = inferred.read().await.unwrap();
    assert_eq!(types(&schema), "id: Int32, name: Utf8");
    assert_eq!(opened.progress.bytes_read(), opened.progress.bytes_total());
}

#[tokio::test]
async fn parquet_that_does_not_fit_is_refused() {
    let check = async |batch: RecordBatch, table: Vec<Field>, expected: &str| {
        refused(Files::new().with_parquet("a.parquet", &batch).into_table(table), expected).await;
    };
    let id = |ty| column("id", ty);
    let name = || column("name", DataType::Utf8);
    let batch = || two_columns(Arc::new(Int64Array::from(vec![Some(1), Some(3_000_000_000)])), vec![None, Some("x")]);
    check(
        batch(),
        vec![id(DataType::Int32), name()],
        "a.parquet: rows 1 to 2, column id: a value is not an INTEGER: Cast error: Can't cast value 3000000000 to type \
         Int32",
    )
    .await;
    check(batch(), vec![id(DataType::Utf8), name()], "a.parquet: column id is a BIGINT, but a TEXT in the table").await;
    check(
        batch(),
        vec![id(DataType::Int64), name().with_nullable(false)],
        "a.parquet: row 1, column name: null in a NOT NULL column",
    )
    .await;
    check(batch(), vec![id(DataType::Int64)], "a.parquet: unknown column name").await;
    check(
        batch(),
        vec![id(DataType::Int64), name(), column("day", DataType::Date32).with_nullable(false)],
        "a.parquet: no column day, which is NOT NULL",
    )
    .await;
}

#[tokio::test]
async fn damaged_parquet_is_reported() {
    let error = Files::of("a.parquet", "PAR1 and no more").error().await;
    assert!(error.starts_with("a.parquet is not a whole Parquet file: "), "{error}");

    let batch = two_columns(Arc::new(Int64Array::from_iter_values(0..5000)), vec![Some("x"); 5000]);
    let files = Files::new().with_parquet("a.parquet", &batch);
    let mut bytes = std::fs::read(files.path("a.parquet")).unwrap();
    bytes[4..400].fill(0xFF);
    std::fs::write(files.path("a.parquet"), bytes).unwrap();
    let error = files.error().await;
    assert!(error.starts_with("a.parquet is not a whole Parquet file: "), "{error}");
}

#[tokio::test]
async fn files_without_a_table_agree_on_their_columns() {
    let batch = two_columns(Arc::new(Int64Array::from(vec![3])), vec![Some("c")]);
    let files =
        Files::of("a.csv", "id,price\n1,2\n").with("b.csv", "id,price,x\n2,2.5,9\n").with_parquet("c.parquet", &batch);
    assert_eq!(
        files.rows().await,
        "\
+----+-------+---+------+
| id | price | x | name |
+----+-------+---+------+
| 1  | 2.0   |   |      |
| 2  | 2.5   | 9 |      |
| 3  |       |   | c    |
+----+-------+---+------+"
    );
    let batch = two_columns(Arc::new(Int32Array::from(vec![3])), vec![Some("c")]);
    let error = Files::of("a.csv", "id\n1\n").with_parquet("c.parquet", &batch).error().await;
    assert!(error.starts_with("c.parquet: column id is an INTEGER, but BIGINT in "), "{error}");
}

#[tokio::test]
async fn a_dropped_stream_stops_reading() {
    let files = Files::of("n.csv", "n\n".to_owned() + &"1\n".repeat(200_000));
    let mut opened = open(files.source.clone()).await.unwrap();
    let progress = opened.progress.clone();
    opened.batches.next().await.unwrap().unwrap();
    drop(opened);
    let mut before = progress.rows();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let now = progress.rows();
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before < 200_000, "{before} rows were read without a consumer");
}

#[tokio::test]
async fn a_line_without_end_does_not_fill_the_memory() {
    let text = format!("n\n{}\n", "1".repeat(crate::MAX_LINE_BYTES));
    refused(Files::of("n.csv", text).rejecting(), "n.csv line 2: longer than 16 MiB").await;
    let many_lines = "x\n".repeat(crate::MAX_LINE_BYTES / 2 + 1);
    let text = format!("n\n\"{many_lines}");
    refused(Files::of("n.csv", text), "n.csv line 2: a quote is opened and not closed within 16 MiB").await;
}

#[tokio::test]
async fn the_delimiter_is_detected() {
    for (delimiter, name) in [(";", ";"), ("\t", "tab"), ("|", "|")] {
        let text = "id;n;note\n1;2,5;\"a;b\"\n2;3;c\n".replace(';', delimiter);
        let (schema, batches, opened) = Files::of("a.csv", text).read().await.unwrap();
        assert_eq!(types(&schema), "id: Int64, n: Utf8, note: Utf8");
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
        assert_eq!(opened.delimiters.iter().map(|(_, d)| d.as_str()).collect::<Vec<_>>(), [name]);
    }
    let (_, _, opened) = Files::of("a.csv", "id,n\n1,2\n").read().await.unwrap();
    assert_eq!(opened.delimiters, []);
    let unsure = "id;n\n1;2\n3\n";
    let what = "a.csv may have fields separated by \";\", but 1 of its first 2 lines do not have as \
                many as the header; specify the delimiter";
    refused(Files::of("a.csv", unsure), what).await;
    let mut specified = Files::of("a.csv", unsure).rejecting();
    specified.source.delimiter = Some(b';');
    assert_eq!(specified.read().await.unwrap().2.progress.rejected(), 1);
}

#[tokio::test]
async fn no_digit_of_an_integer_is_lost() {
    let inferred = async |name: &str, text: &str| match Files::of(name, text).read().await {
        Ok((schema, batches, _)) => {
            let all = concat_batches(&schema, &batches).unwrap();
            let text = |row| arrow::util::display::array_value_to_string(all.column(0), row).unwrap();
            let rows: Vec<String> = (0..all.num_rows()).map(text).collect();
            format!("{}: {}", all.column(0).data_type(), rows.join(" "))
        }
        Err(e) => e.to_string().rsplit("n: ").next().unwrap().to_string(),
    };
    let check = async |values: &[&str], json: &str, csv: &str| {
        let lines: String = values.iter().map(|v| format!("{{\"n\": {v}}}\n")).collect();
        assert!(inferred("a.jsonl", &lines).await.contains(json), "{values:?}: {}", inferred("a.jsonl", &lines).await);
        assert_eq!(inferred("a.csv", &format!("n\n{}\n", values.join("\n"))).await, csv, "{values:?}");
    };
    let (most, more) = ("9223372036854775807", "9223372036854775808");
    check(&["1", most], &format!("Int64: 1 {most}"), &format!("Int64: 1 {most}")).await;
    check(&[more, "-7"], &format!("Decimal128(38, 0): {more} -7"), &format!("Utf8: {more} -7")).await;
    check(&[most, &format!("-{more}9")], &format!("{most} -{more}9"), &format!("Utf8: {most} -{more}9")).await;
    check(&["1", "2.5"], "Float64: 1.0 2.5", "Float64: 1.0 2.5").await;
    let lost = "digits would be lost in a DOUBLE";
    check(&[more, "2.5"], lost, &format!("Utf8: {more} 2.5")).await;
    check(&["2.5", "9007199254740993"], lost, "Utf8: 2.5 9007199254740993").await;
    let forty = "1".repeat(40);
    check(&[&forty], lost, &format!("Utf8: {forty}")).await;
}
