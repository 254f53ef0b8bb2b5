use super::*;
use iceberg::spec::{ListType, PrimitiveType, StructType};

use crate::bridge::plain_arrow_schema;

fn field(id: i32, name: &str, ty: Type) -> NestedFieldRef {
    NestedField::optional(id, name, ty).into()
}

fn int(id: i32, name: &str) -> NestedFieldRef {
    field(id, name, Type::Primitive(PrimitiveType::Int))
}

/// `a`, `s (x, y)`, `l [(z)]`.
fn columns() -> Columns {
    let s = Type::Struct(StructType::new(vec![int(11, "x"), int(12, "y")]));
    let element = Type::Struct(StructType::new(vec![int(21, "z")]));
    let l = Type::List(ListType::new(NestedField::list_element(20, element, false).into()));
    Columns::builder().with_fields([int(1, "a"), field(2, "s", s), field(3, "l", l)]).build().unwrap()
}

fn names(of: &[(i32, &str)], others: &[&str]) -> Names {
    let by_id: BTreeMap<_, _> = of.iter().map(|(id, name)| (*id, (*name).to_string())).collect();
    let all = by_id.values().cloned().chain(others.iter().map(ToString::to_string)).collect();
    Names { by_id, all, maps: BTreeMap::new() }
}

fn read_as(names: &Names) -> Result<String> {
    let schema = plain_arrow_schema(&columns()).unwrap();
    let fields = names.fields(columns().as_struct().fields(), schema.fields())?;
    fn list(fields: &Fields) -> String {
        let one = |f: &FieldRef| match f.data_type() {
            DataType::Struct(inner) => format!("{}({})", f.name(), list(inner)),
            DataType::List(element) => format!("{}[{}]", f.name(), list(&vec![Arc::clone(element)].into())),
            _ => f.name().clone(),
        };
        fields.iter().map(one).collect::<Vec<_>>().join(" ")
    }
    Ok(list(&fields))
}

#[test]
fn columns_are_read_under_the_names_that_they_have_in_the_file() {
    let all = [(1, "a"), (2, "s"), (11, "x"), (12, "y"), (3, "l"), (20, "element"), (21, "z")];
    let check = |changes: &[(i32, Option<&str>)], others: &[&str], expected: &str| {
        let mut of: BTreeMap<i32, &str> = all.into_iter().collect();
        for (id, name) in changes {
            match name {
                Some(name) => drop(of.insert(*id, name)),
                None => drop(of.remove(id)),
            }
        }
        let of: Vec<_> = of.into_iter().collect();
        assert_eq!(read_as(&names(&of, others)).unwrap(), expected, "{changes:?} {others:?}");
    };
    check(&[], &[], "a s(x y) l[item(z)]");
    check(&[(1, Some("b")), (12, Some("w")), (21, Some("v"))], &[], "b s(x w) l[item(v)]");
    // A column that is not in the file gets a name that is not in the file either.
    check(&[(1, None)], &[], "a s(x y) l[item(z)]");
    check(&[(1, None)], &["a"], "a' s(x y) l[item(z)]");
    check(&[(1, None)], &["a", "a'"], "a'' s(x y) l[item(z)]");
    check(&[(12, None)], &["y"], "a s(x y') l[item(z)]");
    check(&[(2, None), (11, None), (12, None)], &["s"], "a s'(x y) l[item(z)]");
    // Swapped names.
    check(&[(11, Some("y")), (12, Some("x"))], &[], "a s(y x) l[item(z)]");
}

#[test]
fn a_struct_without_any_of_its_fields_is_refused() {
    let e = read_as(&names(&[(1, "a"), (2, "s"), (3, "l"), (20, "element"), (21, "z")], &["old"])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().starts_with("s: none of the fields"), "{e}");
}

#[test]
fn a_map_is_read_with_the_type_in_the_file_when_its_values_have_other_fields() {
    let map = |value: &[NestedFieldRef]| {
        let value = Type::Struct(StructType::new(value.to_vec()));
        let ty = iceberg::spec::MapType::optional(31, Type::Primitive(PrimitiveType::String), 32, value);
        let columns = Columns::builder().with_fields([field(3, "m", Type::Map(ty))]).build().unwrap();
        let schema = plain_arrow_schema(&columns).unwrap();
        (columns, schema)
    };
    // `expected`: whether the types are those of the file, and whether they are the table's under the file's names.
    let check = |written: &[NestedFieldRef], now: &[NestedFieldRef], expected: (bool, bool)| {
        let (columns_then, as_written) = map(written);
        let by_id = columns_then.field_id_to_fields().iter().map(|(id, f)| (*id, f.name.clone())).collect();
        let maps = BTreeMap::from([(31, as_written.field(0).data_type().clone())]);
        let names = Names { by_id, all: HashSet::new(), maps };
        let (columns, schema) = map(now);
        let named = names.fields(columns.as_struct().fields(), schema.fields()).unwrap();
        let read = names.read_as(columns.as_struct().fields(), &named);
        assert_eq!((read == *as_written.fields(), read == named), expected, "{written:?} {now:?}");
    };
    let long = field(41, "x", Type::Primitive(PrimitiveType::Long));
    check(&[int(41, "x")], &[int(41, "x")], (true, true));
    check(&[int(41, "x")], &[int(41, "x"), int(42, "y")], (true, false));
    check(&[int(41, "x"), int(42, "y")], &[int(42, "y"), int(41, "x")], (true, false));
    check(&[int(41, "x"), int(42, "y")], &[int(41, "x")], (true, false));
    // A new name is applied afterwards, a new type by a cast.
    check(&[int(41, "x")], &[int(41, "z")], (true, true));
    check(&[int(41, "x")], &[long], (false, true));
}
