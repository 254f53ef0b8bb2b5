use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::*;
use crate::describe;

fn optional(id: i32, name: &str, ty: PrimitiveType) -> NestedFieldRef {
    NestedField::optional(id, name, Type::Primitive(ty)).into()
}

/// `id` (required), `n`, `price`, `address` (struct), `lines` (list of structs), `prices` and `stock` (maps).
fn schema() -> Schema {
    use PrimitiveType as P;
    let address = StructType::new(vec![optional(7, "city", P::String), optional(8, "zip", P::Int)]);
    let line = Type::Struct(StructType::new(vec![optional(10, "sku", P::String), optional(11, "quantity", P::Int)]));
    let lines = ListType::new(NestedField::list_element(9, line, false).into());
    let prices = MapType::optional(12, Type::Primitive(P::String), 13, Type::Primitive(P::Float));
    let stock = Type::Struct(StructType::new(vec![optional(17, "n", P::Int)]));
    let stock = MapType::optional(15, Type::Primitive(P::String), 16, stock);
    let fields = vec![
        NestedField::required(1, "id", Type::Primitive(P::Long)).into(),
        optional(2, "n", P::Int),
        optional(3, "price", P::Decimal { precision: 9, scale: 2 }),
        NestedField::optional(4, "address", Type::Struct(address)).into(),
        NestedField::optional(5, "lines", Type::List(lines)).into(),
        NestedField::optional(6, "prices", Type::Map(prices)).into(),
        NestedField::optional(14, "stock", Type::Map(stock)).into(),
    ];
    Schema::builder().with_fields(fields).with_identifier_field_ids([1]).build().unwrap()
}

fn path(name: &str) -> ColumnPath {
    ColumnPath(name.split('.').map(ToString::to_string).collect())
}

/// The type as a statement names it.
fn named(ty: DataType) -> datafusion::sql::sqlparser::ast::DataType {
    let ty = bridge::iceberg_field(&Field::new("c", ty, true), &mut 0).unwrap().field_type;
    let sql = describe::sql_type(&ty);
    Parser::new(&GenericDialect {}).try_with_sql(&sql).unwrap().parse_data_type().unwrap()
}

fn add(name: &str, ty: DataType, position: Option<ColumnPosition>) -> SchemaChange {
    SchemaChange::Add { column: path(name), ty: named(ty), required: false, doc: None, position, if_not_exists: false }
}

fn drop_column(name: &str) -> SchemaChange {
    SchemaChange::Drop { column: path(name), if_exists: false }
}

fn rename(name: &str, to: &str) -> SchemaChange {
    SchemaChange::Rename { column: path(name), to: to.to_string() }
}

fn widen(name: &str, ty: DataType) -> SchemaChange {
    SchemaChange::Widen { column: path(name), ty: named(ty) }
}

fn move_column(name: &str, position: ColumnPosition) -> SchemaChange {
    SchemaChange::Move { column: path(name), position }
}

fn after(name: &str) -> ColumnPosition {
    ColumnPosition::After(name.to_string())
}

/// Every column with its id and type, in order.
fn columns(schema: &Schema) -> String {
    fn list(fields: Vec<&NestedFieldRef>) -> String {
        let one = |f: &&NestedFieldRef| match f.field_type.as_ref() {
            Type::Primitive(p) => format!("{}:{} {p}", f.id, f.name),
            nested => format!("{}:{}({})", f.id, f.name, list(children(nested))),
        };
        fields.iter().map(one).collect::<Vec<_>>().join(", ")
    }
    list(schema.as_struct().fields().iter().collect())
}

#[test]
fn columns_change_and_ids_do_not() {
    let before = columns(&schema());
    let check = |changes: &[SchemaChange], from: &str, to: &str| {
        let changed = change(&schema(), 20, changes, &[]).unwrap_or_else(|e| panic!("{changes:?}: {e}"));
        assert!(from.is_empty() || before.contains(from), "{from} is not in {before}");
        let expected = if from.is_empty() { format!("{before}{to}") } else { before.replacen(from, to, 1) };
        assert_eq!(columns(&changed), expected, "{changes:?}");
        assert_eq!(changed.identifier_field_ids().collect::<Vec<_>>(), [1]);
    };
    // New ids follow the highest id ever used, although the schema's own highest is 17.
    check(&[add("x", DataType::Int64, None)], "", ", 21:x long");
    check(&[add("x", DataType::Utf8, Some(ColumnPosition::First))], "1:id", "21:x string, 1:id");
    check(&[add("x", DataType::Utf8, Some(after("n")))], "2:n int", "2:n int, 21:x string");
    check(&[add("address.x", DataType::Date32, Some(after("city")))], "7:city string", "7:city string, 21:x date");
    check(&[add("lines.element.x", DataType::Int32, None)], "11:quantity int", "11:quantity int, 21:x int");
    check(&[add("lines.x", DataType::Int32, None)], "11:quantity int", "11:quantity int, 21:x int");
    let point =
        DataType::Struct(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Int32, true)].into());
    check(&[add("p", point, None), add("q", DataType::Int32, None)], "", ", 21:p(22:a int, 23:b int), 24:q int");
    // The name is reused, the id is not.
    check(&[drop_column("n"), add("n", DataType::Int32, Some(after("id")))], "2:n int", "21:n int");
    check(&[drop_column("address.zip")], ", 8:zip int", "");
    check(&[drop_column("lines.element.sku")], "10:sku string, ", "");
    check(&[rename("n", "number")], "2:n int", "2:number int");
    check(&[rename("address.city", "town")], "7:city", "7:town");
    check(&[rename("n", "m"), rename("price", "n")], "2:n int, 3:price", "2:m int, 3:n");
    check(&[rename("n", "n")], "2:n", "2:n");
    check(&[widen("n", DataType::Int64)], "2:n int", "2:n long");
    check(&[widen("n", DataType::Int32)], "2:n int", "2:n int");
    check(&[widen("price", DataType::Decimal128(20, 2))], "decimal(9, 2)", "decimal(20, 2)");
    check(&[widen("lines.element.quantity", DataType::Int64)], "11:quantity int", "11:quantity long");
    check(&[widen("prices.value", DataType::Float64)], "13:value float", "13:value double");
    check(&[rename("stock.value.n", "m")], "17:n int", "17:m int");
    check(&[widen("stock.value.n", DataType::Int64)], "17:n int", "17:n long");
    check(&[add("stock.value.x", DataType::Int32, Some(ColumnPosition::First))], "17:n int", "21:x int, 17:n int");
    check(&[add("stock.x", DataType::Int32, None)], "17:n int", "17:n int, 21:x int");
    check(&[add("stock.value.x", DataType::Int32, None), drop_column("stock.value.n")], "17:n int", "21:x int");
    check(&[move_column("address.zip", ColumnPosition::First)], "7:city string, 8:zip int", "8:zip int, 7:city string");
    check(&[move_column("id", after("n"))], "1:id long, 2:n int", "2:n int, 1:id long");
    check(&[SchemaChange::Drop { column: path("nothing"), if_exists: true }], "n", "n");
}

#[test]
fn changes_of_the_meaning_of_rows_are_refused() {
    let uses = [(2, "partition field n is derived from it; drop that field first".to_string())];
    let check = |changes: SchemaChange, kind: ErrorKind, expected: &str| {
        let e = change(&schema(), 13, std::slice::from_ref(&changes), &uses).expect_err(&format!("{changes:?}"));
        assert_eq!((e.kind(), e.to_string().as_str()), (kind, expected), "{changes:?}");
    };
    use ErrorKind::{AlreadyExists, Invalid, NotFound};
    check(add("n", DataType::Int32, None), AlreadyExists, "column n already exists");
    check(add("address.city", DataType::Int32, None), AlreadyExists, "column address.city already exists");
    check(add("n.x", DataType::Int32, None), Invalid, "column n.x: n is a int, not a struct");
    check(add("adress.x", DataType::Int32, None), NotFound, "column adress not found; did you mean address?");
    check(add("x", DataType::Int32, Some(after("prize"))), NotFound, "column prize not found; did you mean price?");
    check(
        add("prices.value.x", DataType::Int32, None),
        Invalid,
        "column prices.value.x: prices.value is a float, not a struct",
    );
    check(drop_column("stock.value.n"), Invalid, "column stock.value.n cannot be dropped: it is the only one");
    check(drop_column("stock.value"), Invalid, "column stock.value: stock is a map, not a struct");
    check(add("stock.key.x", DataType::Int32, None), Invalid, "column stock.key: the keys of a map cannot be changed");
    check(widen("stock.key", DataType::Utf8), Invalid, "column stock.key: the keys of a map cannot be changed");
    check(rename("stock.value.m", "n"), NotFound, "column stock.value.m not found; did you mean stock.value.n?");
    let required = match add("x", DataType::Int32, None) {
        SchemaChange::Add { column, ty, doc, position, if_not_exists, .. } => {
            SchemaChange::Add { column, ty, required: true, doc, position, if_not_exists }
        }
        other => other,
    };
    check(required, Invalid, "column x cannot be NOT NULL: rows already written have no value for it");
    check(drop_column("nn"), NotFound, "column nn not found; did you mean n?");
    check(drop_column("address.town"), NotFound, "column address.town not found; there are address.city, address.zip");
    check(
        drop_column("n"),
        Invalid,
        "column n cannot be dropped: partition field n is derived from it; drop that field first",
    );
    check(drop_column("id"), Invalid, "column id cannot be dropped: it is one of the table's identifier fields");
    check(drop_column("lines.element"), Invalid, "column lines.element: lines is a list, not a struct");
    check(rename("n", "id"), AlreadyExists, "column id already exists");
    check(rename("n", ""), Invalid, "column n cannot have an empty name");
    check(widen("n", DataType::Utf8), Invalid, "column n cannot become a string: an int can become a BIGINT");
    check(widen("id", DataType::Int32), Invalid, "column id cannot become a int: a long keeps its type");
    check(
        widen("price", DataType::Decimal128(8, 2)),
        Invalid,
        "column price cannot become a decimal(8, 2): a decimal(9, 2) can get more digits before the point, with the same 2 \
         after it",
    );
    check(
        widen("price", DataType::Decimal128(12, 3)),
        Invalid,
        "column price cannot become a decimal(12, 3): a decimal(9, 2) can get more digits before the point, with the same 2 \
         after it",
    );
    check(widen("address", DataType::Utf8), Invalid, "column address cannot become a string: a struct keeps its type");
    check(move_column("n", after("n")), Invalid, "column n cannot be moved after itself");
    let only_one = Schema::builder().with_fields([optional(1, "a", PrimitiveType::Int)]).build().unwrap();
    let e = change(&only_one, 1, &[drop_column("a")], &[]).unwrap_err();
    assert_eq!(e.to_string(), "column a cannot be dropped: it is the only one");
}

#[test]
fn not_null_can_only_be_dropped() {
    let relaxed = change(&schema(), 13, &[SchemaChange::Identify(vec![]), SchemaChange::DropNotNull(path("id"))], &[]);
    assert!(!relaxed.unwrap().field_by_name("id").unwrap().required);
    let message = |change: SchemaChange| super::change(&schema(), 13, &[change], &[]).unwrap_err().to_string();
    assert!(message(SchemaChange::DropNotNull(path("id"))).contains("identifier fields"));
    assert!(message(SchemaChange::SetNotNull(path("n"))).contains("rows already written may hold NULL"));
    assert!(message(SchemaChange::Identify(vec![path("n")])).contains("cannot identify rows"));
    assert!(change(&schema(), 13, &[SchemaChange::SetNotNull(path("id"))], &[]).is_ok());
}

#[test]
fn comments_are_kept_and_removed() {
    let comment = |doc: Option<&str>| SchemaChange::Comment { column: path("address.city"), doc: doc.map(Into::into) };
    let with = change(&schema(), 13, &[comment(Some("where")), rename("address.city", "town")], &[]).unwrap();
    assert_eq!(with.field_by_name("address.town").unwrap().doc.as_deref(), Some("where"));
    let without = change(&schema(), 13, &[comment(Some("where")), comment(None)], &[]).unwrap();
    assert_eq!(without.field_by_name("address.city").unwrap().doc, None);
}
