//! The catalog of Postgres, as far as clients need it: the tables and functions of `pg_catalog` over the tables that
//! the client's user may see.
//!
//! Such queries run in a context of their own that has nothing else.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int16Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::config::Dialect;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{
    ColumnarValue, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::client::Client;
use super::oid;
use crate::backend::{Backend, TableInfo};
use crate::error::{Error, ErrorKind, Result};

/// The first oid of namespaces, and of tables. Postgres has its own below.
const FIRST_NAMESPACE: i32 = 16_384;
const FIRST_TABLE: i32 = 1_000_000;
const PG_CATALOG_OID: i32 = 11;
const OWNER: i32 = 10;
const DATABASE: i32 = 1;

/// Tables that are empty here, with the columns that clients name.
const EMPTY: [(&str, &[&str], &[&str]); 14] = [
    ("pg_attrdef", &["oid", "adrelid", "adnum"], &["adbin"]),
    ("pg_collation", &["oid", "collnamespace"], &["collname", "collcollate", "collctype"]),
    (
        "pg_constraint",
        &["oid", "conrelid", "connamespace", "confrelid", "conindid", "contypid"],
        &["conname", "contype"],
    ),
    ("pg_description", &["objoid", "classoid", "objsubid"], &["description"]),
    ("pg_enum", &["oid", "enumtypid"], &["enumlabel"]),
    ("pg_index", &["indexrelid", "indrelid"], &["indkey"]),
    ("pg_inherits", &["inhrelid", "inhparent", "inhseqno"], &[]),
    ("pg_matviews", &[], &["schemaname", "matviewname"]),
    ("pg_proc", &["oid", "pronamespace"], &["proname"]),
    ("pg_range", &["rngtypid", "rngsubtype"], &[]),
    ("pg_sequence", &["seqrelid"], &[]),
    ("pg_settings", &[], &["name", "setting"]),
    ("pg_shdescription", &["objoid", "classoid"], &["description"]),
    ("pg_stat_activity", &["pid", "datid"], &["usename", "state", "query"]),
];

/// The rows of a query on the catalog.
pub(super) async fn rows(
    sql: &str,
    parameters: Option<RecordBatch>,
    client: &Client,
    backend: &dyn Backend,
) -> Result<SendableRecordBatchStream> {
    let context = context(client, backend).await?;
    let mut plan = plan(sql, &context).await?;
    if let Some(values) = parameters {
        let values = values.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
        plan = plan.with_param_values(values.collect::<Result<Vec<_>, _>>()?)?;
    }
    Ok(context.execute_logical_plan(plan).await?.execute_stream().await?)
}

/// The types of a query's parameters, and the schema of its rows.
pub(super) async fn describe(
    sql: &str,
    client: &Client,
    backend: &dyn Backend,
) -> Result<(Vec<u32>, Option<SchemaRef>)> {
    let plan = plan(sql, &context(client, backend).await?).await?;
    let types = plan.get_parameter_types()?;
    let count = types.keys().filter_map(|name| name.strip_prefix('$')?.parse::<usize>().ok()).max().unwrap_or(0);
    let of = |n| types.get(&format!("${n}")).cloned().flatten().map_or(oid::TEXT, |of| oid::of(&of));
    Ok(((1..=count).map(of).collect(), Some(Arc::clone(plan.schema().inner()))))
}

async fn plan(sql: &str, context: &SessionContext) -> Result<LogicalPlan> {
    let plan = context.state().create_logical_plan(&in_datafusion(sql)?).await?;
    let only_queries = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_queries.verify_plan(&plan)?;
    Ok(plan)
}

/// The text without what DataFusion does not know: qualified functions and operators, collations, and types of oids.
fn in_datafusion(sql: &str) -> Result<String> {
    let wrong = |e| Error::new(ErrorKind::InvalidInput, format!("{e}"));
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().map_err(wrong)?;
    let tokens: Vec<Token> = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => Some(word.value.to_lowercase()),
        _ => None,
    };
    let is = |at: usize, token: &Token| tokens.get(at) == Some(token);
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let in_catalog = word(at).as_deref() == Some("pg_catalog") && is(at + 1, &Token::Period);
        match word(at).as_deref() {
            Some("operator") if is(at + 1, &Token::LParen) => {
                // OPERATOR(pg_catalog.~)
                at += if is(at + 3, &Token::Period) { 4 } else { 2 };
                kept.extend(tokens.get(at).map(ToString::to_string));
                at += 2;
            }
            Some("like" | "ilike") if let Some((end, escape)) = escaped(&tokens, at + 1) => {
                // DataFusion only knows the backslash.
                let pattern: Vec<String> = tokens[at + 1..end].iter().map(ToString::to_string).collect();
                kept.push(format!("{} replace({}, {escape}, '\\')", tokens[at], pattern.join(" ")));
                at = end + 2;
            }
            Some("collate") => at += if is(at + 2, &Token::Period) { 4 } else { 2 },
            _ if in_catalog && is(at + 3, &Token::LParen) => at += 2,
            _ if is(at, &Token::DoubleColon) => {
                let name = if word(at + 1).as_deref() == Some("pg_catalog") { at + 3 } else { at + 1 };
                match word(name).as_deref() {
                    Some(reg) if reg.starts_with("reg") => {}
                    Some("oid") => kept.push(":: INT".to_owned()),
                    Some("name" | "char" | "text") => kept.push(":: TEXT".to_owned()),
                    _ => {
                        kept.push("::".to_owned());
                        at = name;
                        continue;
                    }
                }
                at = name + 1;
            }
            _ => {
                kept.push(tokens[at].to_string());
                at += 1;
            }
        }
    }
    Ok(kept.join(" ").replace(" . ", "."))
}

/// Where `ESCAPE` stands after the pattern that begins at `from`, and the character.
fn escaped(tokens: &[Token], from: usize) -> Option<(usize, &Token)> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            Token::Word(word) if depth == 0 => match word.value.to_lowercase().as_str() {
                "escape" => return Some((at, tokens.get(at + 1)?)),
                "and" | "or" | "order" | "group" | "limit" => return None,
                _ => {}
            },
            _ => {}
        }
    }
    None
}

async fn context(client: &Client, backend: &dyn Backend) -> Result<SessionContext> {
    let database = backend.catalog_name();
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(database, "pg_catalog")
        .with_create_default_catalog_and_schema(true)
        .with_target_partitions(1);
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    let context = SessionContext::new_with_config(config);
    let caller = client.sender.caller.as_ref();
    let namespaces = backend.namespaces(caller).await?;
    let tables = backend.tables(caller).await?;
    for (name, batch) in [
        ("pg_namespace", pg_namespace(&namespaces)?),
        ("pg_class", pg_class(&namespaces, &tables)?),
        ("pg_attribute", pg_attribute(&tables)?),
        ("pg_type", pg_type()?),
        ("pg_database", pg_database(database)?),
        ("pg_roles", pg_roles(client)?),
    ] {
        context.register_batch(name, batch)?;
    }
    for (name, numbers, texts) in EMPTY {
        let numbers = numbers.iter().map(|name| (*name, Arc::new(Int32Array::from(Vec::<i32>::new())) as ArrayRef));
        let texts = texts.iter().map(|name| (*name, Arc::new(StringArray::from(Vec::<String>::new())) as ArrayRef));
        context.register_batch(
            name,
            RecordBatch::try_from_iter_with_nullable(numbers.chain(texts).map(|(name, column)| (name, column, true)))?,
        )?;
    }
    let schema = client.session.options().remove("schema").unwrap_or_else(|| backend.default_namespace().to_owned());
    for function in functions(database, &schema, client.sender.user().unwrap_or("nobody")) {
        context.register_udf(ScalarUDF::from(function));
    }
    Ok(context)
}

fn int(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn short(values: impl IntoIterator<Item = i16>) -> ArrayRef {
    Arc::new(Int16Array::from_iter_values(values))
}

fn text<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn flag(value: bool, count: usize) -> ArrayRef {
    Arc::new(BooleanArray::from(vec![value; count]))
}

/// The oid of the item at an index.
fn nth(first: i32, index: usize) -> i32 {
    first.saturating_add(i32::try_from(index).unwrap_or(i32::MAX))
}

fn pg_namespace(namespaces: &[String]) -> Result<RecordBatch> {
    let count = namespaces.len() + 1;
    let names = namespaces.iter().map(String::as_str).chain(["pg_catalog"]);
    let oids = (0..namespaces.len()).map(|n| nth(FIRST_NAMESPACE, n)).chain([PG_CATALOG_OID]);
    Ok(RecordBatch::try_from_iter([
        ("oid", int(oids)),
        ("nspname", text(names)),
        ("nspowner", int(vec![OWNER; count])),
    ])?)
}

fn pg_class(namespaces: &[String], tables: &[TableInfo]) -> Result<RecordBatch> {
    let count = tables.len();
    let namespace = |table: &TableInfo| {
        namespaces.iter().position(|name| *name == table.namespace).map_or(0, |at| nth(FIRST_NAMESPACE, at))
    };
    let zeros = || int(vec![0; count]);
    Ok(RecordBatch::try_from_iter([
        ("oid", int((0..count).map(|n| nth(FIRST_TABLE, n)))),
        ("relname", text(tables.iter().map(|table| table.name.as_str()))),
        ("relnamespace", int(tables.iter().map(namespace))),
        ("reltype", zeros()),
        ("reloftype", zeros()),
        ("relowner", int(vec![OWNER; count])),
        ("relam", zeros()),
        ("reltablespace", zeros()),
        ("reltoastrelid", zeros()),
        ("relkind", text(tables.iter().map(|table| if table.kind == "VIEW" { "v" } else { "r" }))),
        ("relpersistence", text(vec!["p"; count])),
        ("relreplident", text(vec!["d"; count])),
        ("relnatts", short(tables.iter().map(|t| i16::try_from(t.schema.fields().len()).unwrap_or(i16::MAX)))),
        ("relchecks", short(vec![0; count])),
        ("relhasindex", flag(false, count)),
        ("relhasrules", flag(false, count)),
        ("relhastriggers", flag(false, count)),
        ("relrowsecurity", flag(false, count)),
        ("relforcerowsecurity", flag(false, count)),
        ("relispartition", flag(false, count)),
        ("relispopulated", flag(true, count)),
        ("reltuples", Arc::new(arrow::array::Float32Array::from(vec![-1.0; count])) as ArrayRef),
    ])?)
}

fn pg_attribute(tables: &[TableInfo]) -> Result<RecordBatch> {
    let columns: Vec<(i32, i16, &str, u32, bool)> = tables
        .iter()
        .enumerate()
        .flat_map(|(table, info)| {
            info.schema.fields().iter().zip(1_i16..).map(move |(field, number)| {
                let of = oid::of(field.data_type());
                (nth(FIRST_TABLE, table), number, field.name().as_str(), of, !field.is_nullable())
            })
        })
        .collect();
    let count = columns.len();
    Ok(RecordBatch::try_from_iter([
        ("attrelid", int(columns.iter().map(|c| c.0))),
        ("attname", text(columns.iter().map(|c| c.2))),
        ("atttypid", int(columns.iter().map(|c| c.3.cast_signed()))),
        ("attlen", short(vec![-1; count])),
        ("attnum", short(columns.iter().map(|c| c.1))),
        ("attndims", int(vec![0; count])),
        ("atttypmod", int(vec![-1; count])),
        ("attnotnull", Arc::new(BooleanArray::from_iter(columns.iter().map(|c| Some(c.4)))) as ArrayRef),
        ("atthasdef", flag(false, count)),
        ("attidentity", text(vec![""; count])),
        ("attgenerated", text(vec![""; count])),
        ("attisdropped", flag(false, count)),
        ("attcollation", int(vec![0; count])),
    ])?)
}

fn pg_type() -> Result<RecordBatch> {
    let count = oid::TYPES.len();
    Ok(RecordBatch::try_from_iter([
        ("oid", int(oid::TYPES.iter().map(|of| of.0.cast_signed()))),
        ("typname", text(oid::TYPES.iter().map(|of| of.1))),
        ("typnamespace", int(vec![PG_CATALOG_OID; count])),
        ("typowner", int(vec![OWNER; count])),
        ("typlen", short(oid::TYPES.iter().map(|of| of.3))),
        ("typtype", text(vec!["b"; count])),
        ("typcategory", text(vec!["U"; count])),
        ("typdelim", text(vec![","; count])),
        ("typrelid", int(vec![0; count])),
        ("typelem", int(vec![0; count])),
        ("typarray", int(vec![0; count])),
        ("typbasetype", int(vec![0; count])),
        ("typtypmod", int(vec![-1; count])),
        ("typcollation", int(vec![0; count])),
        ("typnotnull", flag(false, count)),
        ("typinput", text(oid::TYPES.iter().map(|of| format!("{}in", of.1)))),
    ])?)
}

fn pg_database(name: &str) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter([
        ("oid", int([DATABASE])),
        ("datname", text([name])),
        ("datdba", int([OWNER])),
        ("encoding", int([6])),
        ("datcollate", text(["C"])),
        ("datctype", text(["C"])),
        ("datistemplate", flag(false, 1)),
        ("datallowconn", flag(true, 1)),
    ])?)
}

fn pg_roles(client: &Client) -> Result<RecordBatch> {
    let is_admin = client.sender.caller.as_ref().is_none_or(|caller| caller.is_admin);
    Ok(RecordBatch::try_from_iter([
        ("oid", int([OWNER])),
        ("rolname", text([client.sender.user().unwrap_or("nobody")])),
        ("rolsuper", flag(is_admin, 1)),
        ("rolcanlogin", flag(true, 1)),
    ])?)
}

/// The functions that clients call.
fn functions(database: &str, schema: &str, user: &str) -> Vec<Function> {
    let (text, null) = (|value: &str| ScalarValue::from(value), ScalarValue::Utf8(None));
    let (yes, zero) = (ScalarValue::from(true), ScalarValue::from(0_i64));
    let version = format!("PostgreSQL 16.6 (Bergmill {})", env!("CARGO_PKG_VERSION"));
    let constant = |name: &'static str, value: ScalarValue| Function::new(name, Returns::Constant(value));
    let mut all = vec![
        constant("version", text(&version)),
        constant("current_database", text(database)),
        constant("current_catalog", text(database)),
        constant("current_schema", text(schema)),
        constant("session_user", text(user)),
        constant("pg_get_userbyid", text(user)),
        constant("pg_encoding_to_char", text("UTF8")),
        constant("pg_backend_pid", zero.clone()),
        constant("set_config", text("")),
        Function::new("format_type", Returns::TypeName),
    ];
    for name in ["pg_table_is_visible", "pg_type_is_visible", "pg_function_is_visible"] {
        all.push(constant(name, yes.clone()));
    }
    for name in ["has_table_privilege", "has_schema_privilege", "has_database_privilege", "has_column_privilege"] {
        all.push(constant(name, yes.clone()));
    }
    for name in ["pg_relation_size", "pg_total_relation_size", "pg_table_size"] {
        all.push(constant(name, zero.clone()));
    }
    for name in [
        "pg_get_expr",
        "obj_description",
        "col_description",
        "shobj_description",
        "pg_get_constraintdef",
        "pg_get_indexdef",
        "pg_get_viewdef",
        "pg_get_serial_sequence",
        "pg_get_partkeydef",
        "to_regtype",
        "to_regclass",
    ] {
        all.push(constant(name, null.clone()));
    }
    all
}

/// A function that takes whatever it is called with.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    signature: Signature,
    returns: Returns,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Returns {
    Constant(ScalarValue),
    /// The name of the type whose oid is the first argument.
    TypeName,
}

impl Function {
    fn new(name: &'static str, returns: Returns) -> Self {
        let any = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::VariadicAny,
            ],
            Volatility::Stable,
        );
        Self { name, signature: any, returns }
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::error::Result<DataType> {
        Ok(match &self.returns {
            Returns::Constant(value) => value.data_type(),
            Returns::TypeName => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::error::Result<ColumnarValue> {
        let oids = match (&self.returns, args.args.first()) {
            (Returns::Constant(value), _) => return Ok(ColumnarValue::Scalar(value.clone())),
            (Returns::TypeName, Some(oids)) => oids.to_array(args.number_rows)?,
            (Returns::TypeName, None) => return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None))),
        };
        let oids = arrow::compute::cast(&oids, &DataType::Int64)?;
        let oids = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&oids);
        let name = |oid: Option<i64>| {
            let oid = u32::try_from(oid?).ok()?;
            oid::TYPES.iter().find(|(known, ..)| *known == oid).map(|(_, _, name, _)| *name)
        };
        Ok(ColumnarValue::Array(Arc::new(oids.iter().map(name).collect::<StringArray>())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_postgres_has_is_left_out() {
        for (sql, expected) in [
            ("SELECT pg_catalog.version()", "SELECT version ( )"),
            (
                "SELECT a.oid::regclass::text FROM pg_catalog.pg_class a",
                "SELECT a.oid :: TEXT FROM pg_catalog.pg_class a",
            ),
            ("WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default", "WHERE c.relname ~ '^(t)$'"),
            ("SELECT 1::pg_catalog.int4", "SELECT 1 :: int4"),
            (
                "WHERE (n NOT LIKE $1 || '%' ESCAPE '/') AND a",
                "WHERE ( n NOT LIKE replace($1 || '%', '/', '\\') ) AND a",
            ),
        ] {
            assert_eq!(in_datafusion(sql).unwrap(), expected, "{sql}");
        }
    }
}
