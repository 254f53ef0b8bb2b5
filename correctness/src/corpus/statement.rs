//! How a statement of the corpus is handled: a query is compared, a change of tables is carried out, others are skipped
//! for a reason.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    ColumnOption, Expr, ObjectName, ObjectType, SetExpr, Statement as Ast, TableConstraint, TableObject,
    visit_expressions, visit_relations,
};

/// Why a statement is not compared. No reason depends on a result of Bergmill.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The file expects an error, or plain DataFusion fails with these settings.
    Refused,
    /// `random()`, `now()` and similar functions.
    Volatile(String),
    /// `EXPLAIN`: plans differ intentionally.
    Explain,
    /// `SET`, `RESET`: DataFusion's options are not options of a session.
    Setting,
    /// `SHOW`, `DESCRIBE`, `information_schema`: each engine describes itself.
    Catalog,
    /// `COPY`: the front door writes no files.
    Copy,
    /// `PREPARE` and `EXECUTE` in SQL: clients use the protocol to prepare.
    Prepared,
    /// `CREATE FUNCTION` and functions that only DataFusion's tests register.
    Function,
    /// Names in a catalog or schema that only DataFusion has.
    OtherCatalog,
    /// Other statements that are not queries.
    NoQuery,
    /// A required table has a column of a type that Iceberg does not have.
    Type(String),
    /// `PRIMARY KEY`, `UNIQUE`: Iceberg cannot enforce them.
    Key,
    /// A required table is in a file that no package contains.
    File,
    /// A required table is missing for another reason.
    Table(String),
    /// Plain DataFusion returns other rows when its input is in another order or in other partitions.
    Undecided,
    /// Plain DataFusion did not end in time.
    Slow,
}

impl Reason {
    /// The kind of reason, as counted in reports.
    pub fn kind(&self) -> String {
        let words = match self {
            Self::Refused => "plain DataFusion returns an error",
            Self::Volatile(_) => "volatile: random(), now(), uuid() and similar",
            Self::Explain => "EXPLAIN: plans differ intentionally",
            Self::Setting => "SET and RESET of DataFusion's options",
            Self::Catalog => "SHOW, DESCRIBE, information_schema: each engine describes itself",
            Self::Copy => "COPY: the front door writes no files",
            Self::Prepared => "PREPARE and EXECUTE in SQL: clients use the protocol to prepare",
            Self::Function => "functions that are defined in the session",
            Self::OtherCatalog => "names of catalogs and schemas that only DataFusion has",
            Self::NoQuery => "changes of catalogs, roles, transactions",
            Self::Type(ty) => return format!("a table with a column that Iceberg does not support: {ty}"),
            Self::Key => "PRIMARY KEY and UNIQUE, which Iceberg cannot enforce; the table is loaded without them",
            Self::File => "a table in a file that no package contains",
            Self::Table(_) => "a table that could not be created",
            Self::Undecided => {
                "plain DataFusion returns other rows when its input is in another order or in other partitions"
            }
            Self::Slow => "plain DataFusion did not end in time",
        };
        words.to_string()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volatile(what) | Self::Table(what) => write!(f, "{}: {what}", self.kind()),
            _ => f.write_str(&self.kind()),
        }
    }
}

/// How a statement is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Compared; it reads these tables.
    Query(BTreeSet<String>),
    /// Carried out everywhere; it changes these tables or views.
    Change(BTreeSet<String>),
    /// `CREATE EXTERNAL TABLE`: carried out by DataFusion, and loaded.
    External(String),
    /// Carried out everywhere; it drops these tables or views.
    Drop(Vec<String>),
    /// Run by DataFusion only, for the files that it writes.
    Copy,
    /// Skipped.
    LeftOut(Reason),
}

/// Functions whose value depends on more than their arguments.
const VOLATILE: [&str; 17] = [
    "random",
    "rand",
    "uuid",
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_schema",
    "current_catalog",
    "current_database",
    "current_user",
    "session_user",
    "version",
    "shuffle",
    "input_file_name",
    "file_row_index",
];

/// Functions that DataFusion's runner defines itself, or that a session defines.
const DEFINED: [&str; 3] = ["example", "async_abs", "arrow_metadata"];

/// How to handle this statement.
pub fn task(sql: &str) -> Task {
    let Some(statement) = parse(sql) else { return Task::LeftOut(Reason::Refused) };
    let ast = match &statement {
        Statement::CreateExternalTable(table) => return own(&table.name).map_or_else(Task::LeftOut, Task::External),
        Statement::CopyTo(_) => return Task::Copy,
        Statement::Explain(_) => return Task::LeftOut(Reason::Explain),
        Statement::Reset(_) => return Task::LeftOut(Reason::Setting),
        Statement::Statement(ast) => ast.as_ref(),
    };
    match ast {
        Ast::Query(query) if !is_into(&query.body) => query_task(&statement, ast).unwrap_or_else(Task::LeftOut),
        Ast::Query(query) => match query.body.as_ref() {
            SetExpr::Select(select) => changed(select.into.iter().map(|into| &into.name)),
            _ => Task::LeftOut(Reason::NoQuery),
        },
        Ast::CreateTable(table) => changed([&table.name]),
        Ast::CreateView(view) => changed([&view.name]),
        Ast::Insert(insert) => match &insert.table {
            TableObject::TableName(name) => changed([name]),
            _ => Task::LeftOut(Reason::NoQuery),
        },
        Ast::Update(_) | Ast::Delete(_) | Ast::Merge(_) | Ast::Truncate(_) => match tables(&statement) {
            Ok(tables) => Task::Change(tables),
            Err(reason) => Task::LeftOut(reason),
        },
        Ast::Drop { object_type: ObjectType::Table | ObjectType::View, names, .. } => {
            names.iter().map(own).collect::<Result<_, _>>().map_or_else(Task::LeftOut, Task::Drop)
        }
        Ast::Explain { .. } => Task::LeftOut(Reason::Explain),
        Ast::ExplainTable { .. } => Task::LeftOut(Reason::Catalog),
        Ast::Set(_) => Task::LeftOut(Reason::Setting),
        Ast::ShowVariable { .. } | Ast::ShowTables { .. } | Ast::ShowColumns { .. } | Ast::ShowFunctions { .. } => {
            Task::LeftOut(Reason::Catalog)
        }
        Ast::ShowCreate { .. } | Ast::ShowVariables { .. } | Ast::ShowDatabases { .. } | Ast::ShowSchemas { .. } => {
            Task::LeftOut(Reason::Catalog)
        }
        Ast::Prepare { .. } | Ast::Execute { .. } | Ast::Deallocate { .. } => Task::LeftOut(Reason::Prepared),
        Ast::CreateFunction(_) | Ast::DropFunction(_) => Task::LeftOut(Reason::Function),
        _ => Task::LeftOut(Reason::NoQuery),
    }
}

/// Whether a table is created with a key.
pub fn declares_key(sql: &str) -> bool {
    let Some(Statement::Statement(ast)) = parse(sql) else { return false };
    let Ast::CreateTable(table) = *ast else { return false };
    let is_key = |c: &TableConstraint| matches!(c, TableConstraint::PrimaryKey(_) | TableConstraint::Unique(_));
    let is_key_option = |o: &ColumnOption| matches!(o, ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_));
    let mut options = table.columns.iter().flat_map(|column| &column.options);
    table.constraints.iter().any(is_key) || options.any(|o| is_key_option(&o.option))
}

fn parse(sql: &str) -> Option<Statement> {
    let mut statements = DFParserBuilder::new(sql).build().ok()?.parse_statements().ok()?;
    let first = statements.pop_front();
    if statements.is_empty() { first } else { None }
}

fn is_into(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Select(select) if select.into.is_some())
}

/// Whether a table is created from values that cannot be reproduced.
pub fn is_volatile(sql: &str) -> bool {
    matches!(parse(sql), Some(Statement::Statement(ast)) if matches!(function_reason(&ast), Some(Reason::Volatile(_))))
}

fn query_task(statement: &Statement, ast: &Ast) -> Result<Task, Reason> {
    let tables = tables(statement)?;
    function_reason(ast).map_or(Ok(Task::Query(tables)), Err)
}

/// Why the functions of a statement prevent a comparison.
fn function_reason(ast: &Ast) -> Option<Reason> {
    let found = visit_expressions(ast, |expression| {
        let Expr::Function(function) = expression else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().to_lowercase();
        if VOLATILE.contains(&name.as_str()) {
            return ControlFlow::Break(Reason::Volatile(name));
        }
        if DEFINED.contains(&name.as_str()) {
            return ControlFlow::Break(Reason::Function);
        }
        ControlFlow::Continue(())
    });
    found.break_value()
}

/// The tables that a statement names, if both engines can have them.
fn tables(statement: &Statement) -> Result<BTreeSet<String>, Reason> {
    if let Statement::Statement(ast) = statement {
        let is_catalog = |name: &ObjectName| name.to_string().to_lowercase().contains("information_schema");
        let found =
            visit_relations(
                ast,
                |name| {
                    if is_catalog(name) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
        if found.is_break() {
            return Err(Reason::Catalog);
        }
    }
    let (tables, _) = resolve_table_references(statement, true).map_err(|_| Reason::Refused)?;
    tables.iter().map(|t| if t.schema().is_some() { Err(Reason::OtherCatalog) } else { Ok(t.table().into()) }).collect()
}

fn changed<'a>(names: impl IntoIterator<Item = &'a ObjectName>) -> Task {
    names.into_iter().map(own).collect::<Result<_, _>>().map_or_else(Task::LeftOut, Task::Change)
}

/// A name without catalog and schema, as the planner normalizes it.
fn own(name: &ObjectName) -> Result<String, Reason> {
    let [part] = name.0.as_slice() else { return Err(Reason::OtherCatalog) };
    let ident = part.as_ident().ok_or(Reason::OtherCatalog)?;
    Ok(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_depends_on_the_kind_of_statement() {
        let check = |sql: &str, expected: Task| assert_eq!(task(sql), expected, "{sql}");
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        check("with c as (select 1 from A) select * from c join \"B\" on true", Task::Query(names(&["a", "B"])));
        check("select 1", Task::Query(names(&[])));
        check("create table T (a int) as values (1)", Task::Change(names(&["t"])));
        check("create view v as select * from t", Task::Change(names(&["v"])));
        check("insert into t select * from u", Task::Change(names(&["t"])));
        check("select 1 as a into t", Task::Change(names(&["t"])));
        check("drop table if exists t", Task::Drop(vec!["t".to_string()]));
        check("create external table e stored as csv location 'x.csv'", Task::External("e".to_string()));
        check("copy t to 'x.csv'", Task::Copy);
        check("explain select 1", Task::LeftOut(Reason::Explain));
        check("set datafusion.execution.batch_size = 2", Task::LeftOut(Reason::Setting));
        check("show tables", Task::LeftOut(Reason::Catalog));
        check("select * from information_schema.tables", Task::LeftOut(Reason::Catalog));
        check("select a + random() from t", Task::LeftOut(Reason::Volatile("random".to_string())));
        check("select * from public.t", Task::LeftOut(Reason::OtherCatalog));
        check("create schema s", Task::LeftOut(Reason::NoQuery));
        check("selec", Task::LeftOut(Reason::Refused));
        assert!(declares_key("create table t (a int, primary key (a))"));
        assert!(declares_key("create table t (a int unique)"));
        assert!(!declares_key("create table t (a int not null)"));
    }
}
