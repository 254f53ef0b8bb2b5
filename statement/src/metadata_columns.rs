//! Metadata columns, such as `"$path"`: columns that are not in the schema of a table, but exist for each row.
//!
//! A table has them only in a SELECT that names one. Such tables are marked in the syntax tree with a hint for the
//! planner, and `*` excludes the metadata columns there, so that it always means the table's own columns.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    Spanned, Statement, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
    WildcardAdditionalOptions,
};

use crate::error::{Error, Result};
use crate::names::folded;
use crate::position::Position;

/// Path of the data file: text.
pub const PATH_COLUMN: &str = "$path";
/// Partition of the data file in readable form, as in the metadata tables; NULL for a table that is not partitioned.
pub const PARTITION_COLUMN: &str = "$partition";
/// Commit time of the snapshot that added the data file; NULL once that snapshot has expired.
pub const MODIFIED_COLUMN: &str = "$file_modified_time";
/// Index of the data file in the snapshot, from 0: a short id for the file within one statement.
pub const FILE_COLUMN: &str = "$file";
/// The snapshot that added the data file; NULL if the file's manifest does not record it.
pub const SNAPSHOT_COLUMN: &str = "$snapshot_id";
/// Position of the row in its data file, from 0.
pub const POSITION_COLUMN: &str = "$pos";

/// All metadata columns, in their order in a table.
pub const METADATA_COLUMNS: [&str; 6] =
    [PATH_COLUMN, PARTITION_COLUMN, MODIFIED_COLUMN, FILE_COLUMN, SNAPSHOT_COLUMN, POSITION_COLUMN];

/// The hint, which cannot be written in the SQL dialect that is parsed here.
const HINT: &str = "metadata columns";

/// Whether the hints of a table mark that a statement names its metadata columns.
pub fn wants_metadata_columns(hints: &[Expr]) -> bool {
    hints.iter().any(|hint| matches!(hint, Expr::Value(v) if v.value == Value::SingleQuotedString(HINT.to_string())))
}

/// Marks the tables whose metadata columns a statement names.
pub(crate) fn mark_tables(statement: &mut Statement) -> Result<()> {
    match statement.visit(&mut MarkTables::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(e) => Err(e),
    }
}

/// Marks the tables whose metadata columns a SELECT names. Tables that a `WITH` defines have none.
#[derive(Default)]
struct MarkTables {
    /// The metadata columns that each SELECT being visited names, outermost first.
    selects: Vec<Named>,
    ctes: HashSet<String>,
}

/// Qualifiers of the named metadata columns; `None` for a column without one.
type Named = HashSet<Option<String>>;

impl VisitorMut for MarkTables {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(folded(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        // The SELECT was visited before the ORDER BY, so both are known here.
        let mut names = Names::default();
        let _ = query.order_by.visit(&mut names);
        match query.body.as_mut() {
            SetExpr::Select(select) if !names.0.is_empty() => self.mark(select, &names.0),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, _: &mut Select) -> ControlFlow<Error> {
        self.selects.push(Named::default());
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match self.selects.pop() {
            Some(named) if !named.is_empty() => self.mark(select, &named),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let (Some(named), Some(select)) = (metadata_column(expr), self.selects.last_mut()) {
            select.insert(named);
        }
        ControlFlow::Continue(())
    }
}

/// The metadata columns that expressions name.
#[derive(Default)]
struct Names(Named);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.0.extend(metadata_column(expr));
        ControlFlow::Continue(())
    }
}

/// The qualifier of a metadata column, if the expression is one.
fn metadata_column(expr: &Expr) -> Option<Option<String>> {
    let is_metadata = |ident: &Ident| METADATA_COLUMNS.contains(&ident.value.as_str());
    match expr {
        Expr::Identifier(ident) if is_metadata(ident) => Some(None),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., qualifier, column] if is_metadata(column) => Some(Some(folded(qualifier))),
            _ => None,
        },
        _ => None,
    }
}

impl MarkTables {
    fn mark(&self, select: &mut Select, named: &Named) -> ControlFlow<Error> {
        let mut marked = HashSet::new();
        for from in &mut select.from {
            self.mark_joined(from, named, &mut marked);
        }
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) if marked.len() == 1 => exclude(options),
                SelectItem::Wildcard(options) if marked.len() > 1 => {
                    let what =
                        "SELECT * with metadata columns of several tables; qualify each * with the name of its table";
                    return ControlFlow::Break(Error::unsupported(what).at(Position::of(options.span().start)));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options)
                    if last(table).is_some_and(|name| marked.contains(&name)) =>
                {
                    exclude(options);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn mark_joined(&self, from: &mut TableWithJoins, named: &Named, marked: &mut HashSet<String>) {
        let joined = from.joins.iter_mut().map(|join| &mut join.relation);
        for factor in std::iter::once(&mut from.relation).chain(joined) {
            match factor {
                TableFactor::Table { name, alias, args: None, with_hints, .. } => {
                    let is_cte = name.0.len() == 1 && last(name).is_some_and(|name| self.ctes.contains(&name));
                    let Some(known_as) = alias.as_ref().map(|a| folded(&a.name)).or_else(|| last(name)) else {
                        continue;
                    };
                    let is_meant = named.contains(&None) || named.contains(&Some(known_as.clone()));
                    if is_meant && !is_cte {
                        if !wants_metadata_columns(with_hints) {
                            with_hints.push(Expr::value(Value::SingleQuotedString(HINT.to_string())));
                        }
                        marked.insert(known_as);
                    }
                }
                TableFactor::NestedJoin { table_with_joins, .. } => self.mark_joined(table_with_joins, named, marked),
                _ => {}
            }
        }
    }
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

/// Excludes the metadata columns from `*`.
fn exclude(options: &mut WildcardAdditionalOptions) {
    let all = METADATA_COLUMNS.map(|name| ObjectName::from(vec![Ident::with_quote('"', name)]));
    let mut names = match options.opt_exclude.take() {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    let known: HashSet<String> = names.iter().filter_map(last).collect();
    names.extend(all.into_iter().filter(|name| !last(name).is_some_and(|name| known.contains(&name))));
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
}

#[cfg(test)]
mod tests {
    use crate::parse::{Statement, parse};

    #[test]
    fn tables_whose_metadata_columns_are_named_are_marked() {
        let check = |sql: &str, expected: &str| {
            let Ok(Statement::Sql(parsed)) = parse(sql) else { panic!("{sql}") };
            assert_eq!(parsed.tree.to_string(), expected, "{sql}");
        };
        let hint = "WITH ('metadata columns')";
        let but = "EXCLUDE (\"$path\", \"$partition\", \"$file_modified_time\", \"$file\", \"$snapshot_id\", \"$pos\")";
        check("SELECT \"$path\" FROM t", &format!("SELECT \"$path\" FROM t {hint}"));
        check("SELECT * FROM t WHERE \"$path\" > 'a'", &format!("SELECT * {but} FROM t {hint} WHERE \"$path\" > 'a'"));
        check(
            "SELECT x.*, y.* FROM t AS x JOIN u AS y ON y.\"$path\" = x.p",
            &format!("SELECT x.*, y.* {but} FROM t AS x JOIN u AS y {hint} ON y.\"$path\" = x.p"),
        );
        check("SELECT id FROM t ORDER BY \"$pos\"", &format!("SELECT id FROM t {hint} ORDER BY \"$pos\""));
        let inner = "SELECT * FROM (SELECT \"$path\" AS p FROM t) AS s";
        check(inner, &inner.replace("FROM t)", &format!("FROM t {hint})")));
        let cte = "WITH c AS (SELECT id FROM t) SELECT \"$path\" FROM c";
        check(cte, cte);
        check("SELECT '$path' FROM t", "SELECT '$path' FROM t");
    }
}
