//! Statements that name a hidden column, such as `"$path"`.
//!
//! A table offers its hidden columns only to a SELECT that names one: which tables those are is written into the syntax
//! tree, as a hint, and read by the planner. There, `*` is told to leave the hidden columns out, so that it means the
//! table's own columns everywhere.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    TableFactor, TableWithJoins, Value, Visit, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use crate::error::{Error, ErrorKind};
use crate::names::folded;
use crate::read::HIDDEN_COLUMNS;

/// The hint, which no dialect at hand can write.
const HINT: &str = "hidden columns";

/// Whether a table has the hint.
pub(super) fn wants_hidden_columns(hints: &[Expr]) -> bool {
    hints.iter().any(|hint| matches!(hint, Expr::Value(v) if v.value == Value::SingleQuotedString(HINT.to_string())))
}

/// Marks the tables whose hidden columns a SELECT names. Tables that a `WITH` defines have none.
#[derive(Default)]
pub(super) struct MarkTables {
    /// What each SELECT that is being visited names, the outermost first.
    selects: Vec<Named>,
    ctes: HashSet<String>,
}

/// Qualifiers of the hidden columns that are named; `None` for one without.
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
        // Its SELECT has been visited before the ORDER BY is; now both are known.
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
        if let (Some(named), Some(select)) = (hidden_name(expr), self.selects.last_mut()) {
            select.insert(named);
        }
        ControlFlow::Continue(())
    }
}

/// The hidden columns that expressions name.
#[derive(Default)]
struct Names(Named);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.0.extend(hidden_name(expr));
        ControlFlow::Continue(())
    }
}

/// The qualifier of a hidden column, if the expression is one.
fn hidden_name(expr: &Expr) -> Option<Option<String>> {
    let is_hidden = |ident: &Ident| HIDDEN_COLUMNS.contains(&ident.value.as_str());
    match expr {
        Expr::Identifier(ident) if is_hidden(ident) => Some(None),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., qualifier, column] if is_hidden(column) => Some(Some(folded(qualifier))),
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
                SelectItem::Wildcard(_) if marked.len() > 1 => {
                    let what = "SELECT * beside hidden columns of several tables; write the tables' names before the *";
                    return ControlFlow::Break(Error::new(ErrorKind::Unsupported, what));
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
                        if !wants_hidden_columns(with_hints) {
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

/// Leaves the hidden columns out of `*`.
fn exclude(options: &mut WildcardAdditionalOptions) {
    let hidden = HIDDEN_COLUMNS.map(|name| ObjectName::from(vec![Ident::with_quote('"', name)]));
    let mut names = match options.opt_exclude.take() {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    let known: HashSet<String> = names.iter().filter_map(last).collect();
    names.extend(hidden.into_iter().filter(|name| !last(name).is_some_and(|name| known.contains(&name))));
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
}
