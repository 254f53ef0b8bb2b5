//! A query tree as SQL, for DataFusion (and so for Bergmill) or for DuckDB.

use super::query::{
    Aggregate, Body, Expr, Form, From, Group, Item, JoinKind, Key, Query, Select, SetOp, Subquery, Window,
};
use super::schema::identifier;
use super::value::Ty;

/// The SQL dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    DataFusion,
    DuckDb,
}

/// The query as SQL, or none if this dialect lacks a part of it.
pub(crate) fn sql(query: &Query, dialect: Dialect) -> Option<String> {
    let mut printer =
        Printer { out: String::new(), dialect, is_possible: true, is_outer_condition: false, variables: String::new() };
    printer.query(query);
    printer.is_possible.then_some(printer.variables + &printer.out)
}

struct Printer {
    out: String,
    dialect: Dialect,
    is_possible: bool,
    /// Whether this is in a join condition in which DuckDB cannot plan subqueries.
    is_outer_condition: bool,
    /// Statements that set the variables that replace such subqueries.
    variables: String,
}

impl Printer {
    fn text(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn list<T>(&mut self, things: &[T], print: fn(&mut Self, &T)) {
        for (n, thing) in things.iter().enumerate() {
            if n > 0 {
                self.text(", ");
            }
            print(self, thing);
        }
    }

    fn query(&mut self, query: &Query) {
        if !query.ctes.is_empty() {
            let is_recursive = query.ctes.iter().any(|c| c.is_recursive);
            self.text(if is_recursive { "WITH RECURSIVE " } else { "WITH " });
            self.list(&query.ctes, |p, cte| {
                p.text(&cte.name);
                p.text(" AS (");
                p.query(&cte.query);
                p.text(")");
            });
            self.text(" ");
        }
        match &query.body {
            Body::Select(select) => self.select(select),
            Body::Set { op, is_all, left, right } => self.set(*op, *is_all, left, right),
        }
        self.order(&query.order);
        if let Some(limit) = query.limit {
            if let Some(count) = limit.count {
                self.text(&format!(" LIMIT {count}"));
            }
            if limit.offset > 0 {
                self.text(&format!(" OFFSET {}", limit.offset));
            }
        }
    }

    fn set(&mut self, op: SetOp, is_all: bool, left: &Query, right: &Query) {
        if is_all && op != SetOp::Union && self.dialect == Dialect::DuckDb {
            return self.semi_join(op, left, right);
        }
        self.branch(left);
        self.text(match op {
            SetOp::Union => " UNION ",
            SetOp::Intersect => " INTERSECT ",
            SetOp::Except => " EXCEPT ",
        });
        if is_all {
            self.text("ALL ");
        }
        self.branch(right);
    }

    /// DataFusion's interpretation of `INTERSECT ALL` and `EXCEPT ALL`: semi and anti joins, which do not count
    /// duplicates. DuckDB compares whole rows by table names, if their columns have the same names.
    fn semi_join(&mut self, op: SetOp, left: &Query, right: &Query) {
        self.text("SELECT * FROM (");
        self.query(left);
        self.text(") AS l_ WHERE ");
        self.text(if op == SetOp::Except { "NOT EXISTS (" } else { "EXISTS (" });
        self.text("SELECT 1 FROM (");
        self.query(right);
        self.text(") AS r_ (");
        self.list(left.items(), |p, item| p.text(&identifier(&item.name)));
        self.text(") WHERE l_ IS NOT DISTINCT FROM r_)");
    }

    /// A branch of a set operation.
    fn branch(&mut self, query: &Query) {
        let is_bare = query.order.is_empty() && query.limit.is_none() && query.ctes.is_empty();
        if is_bare && matches!(query.body, Body::Select(_)) {
            return self.query(query);
        }
        self.text("(");
        self.query(query);
        self.text(")");
    }

    fn select(&mut self, select: &Select) {
        self.text(if select.is_distinct { "SELECT DISTINCT " } else { "SELECT " });
        self.list(&select.items, Self::item);
        if let Some(from) = &select.from {
            self.text(" FROM ");
            self.from(from);
        }
        if let Some(filter) = &select.filter {
            self.text(" WHERE ");
            self.expr(filter);
        }
        if let Some(group) = &select.group {
            self.group(group);
        }
        if let Some(having) = &select.having {
            self.text(" HAVING ");
            self.expr(having);
        }
    }

    fn item(&mut self, item: &Item) {
        self.expr(&item.expr);
        self.text(" AS ");
        self.text(&identifier(&item.name));
    }

    fn group(&mut self, group: &Group) {
        self.text(" GROUP BY ");
        match group {
            Group::By(keys) => self.list(keys, Self::expr),
            Group::Rollup(keys) => self.call("ROLLUP", keys),
            Group::Cube(keys) => self.call("CUBE", keys),
            Group::Sets(sets) => {
                self.text("GROUPING SETS (");
                self.list(sets, |p, keys| p.call("", keys));
                self.text(")");
            }
        }
    }

    fn call(&mut self, name: &str, arguments: &[Expr]) {
        self.text(name);
        self.text("(");
        self.list(arguments, Self::expr);
        self.text(")");
    }

    fn from(&mut self, from: &From) {
        match from {
            From::Table { name, alias } => self.text(&format!("{name} AS {alias}")),
            From::Query { query, alias } => {
                self.text("(");
                self.query(query);
                self.text(&format!(") AS {alias}"));
            }
            From::Join { kind, left, right, on } => self.join(*kind, left, right, on.as_ref()),
        }
    }

    fn join(&mut self, kind: JoinKind, left: &From, right: &From, on: Option<&Expr>) {
        // DuckDB has only left semi and anti joins.
        let is_swapped = self.dialect == Dialect::DuckDb && matches!(kind, JoinKind::RightSemi | JoinKind::RightAnti);
        let (left, right) = if is_swapped { (right, left) } else { (left, right) };
        self.from(left);
        let words = match (kind, self.dialect) {
            (JoinKind::Inner, _) => " JOIN ",
            (JoinKind::Left, _) => " LEFT JOIN ",
            (JoinKind::Right, _) => " RIGHT JOIN ",
            (JoinKind::Full, _) => " FULL JOIN ",
            (JoinKind::Cross, _) => " CROSS JOIN ",
            (JoinKind::LeftSemi | JoinKind::RightSemi, Dialect::DuckDb) => " SEMI JOIN ",
            (JoinKind::LeftAnti | JoinKind::RightAnti, Dialect::DuckDb) => " ANTI JOIN ",
            (JoinKind::LeftSemi, Dialect::DataFusion) => " LEFT SEMI JOIN ",
            (JoinKind::LeftAnti, Dialect::DataFusion) => " LEFT ANTI JOIN ",
            (JoinKind::RightSemi, Dialect::DataFusion) => " RIGHT SEMI JOIN ",
            (JoinKind::RightAnti, Dialect::DataFusion) => " RIGHT ANTI JOIN ",
        };
        self.text(words);
        let is_nested = matches!(right, From::Join { .. });
        self.text(if is_nested { "(" } else { "" });
        self.from(right);
        self.text(if is_nested { ")" } else { "" });
        if let Some(on) = on {
            self.text(" ON ");
            let outside = self.is_outer_condition;
            self.is_outer_condition = self.dialect == Dialect::DuckDb && kind != JoinKind::Inner;
            self.expr(on);
            self.is_outer_condition = outside;
        }
    }

    fn order(&mut self, keys: &[Key]) {
        if keys.is_empty() {
            return;
        }
        self.text(" ORDER BY ");
        self.list(keys, |p, key| {
            p.expr(&key.expr);
            p.text(if key.is_descending { " DESC" } else { " ASC" });
            p.text(if key.is_nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
        });
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.form {
            Form::Column { table, name } if table.is_empty() => self.text(&identifier(name)),
            Form::Column { table, name } => self.text(&format!("{table}.{}", identifier(name))),
            Form::Literal(text) => self.text(text),
            Form::Template(template, operands) => {
                let text = match self.dialect {
                    Dialect::DataFusion => template.plain,
                    Dialect::DuckDb => template.duckdb.unwrap_or_else(|| {
                        self.is_possible = false;
                        template.plain
                    }),
                };
                let mut operands = operands.iter();
                for (n, part) in text.split("{}").enumerate() {
                    if n > 0
                        && let Some(operand) = operands.next()
                    {
                        self.expr(operand);
                    }
                    self.text(part);
                }
            }
            Form::Cast(inner) => {
                self.text("CAST(");
                self.expr(inner);
                self.text(&format!(" AS {})", expr.ty.sql()));
            }
            Form::Case { when, otherwise } => {
                self.text("CASE");
                for (condition, value) in when {
                    self.text(" WHEN ");
                    self.expr(condition);
                    self.text(" THEN ");
                    self.expr(value);
                }
                if let Some(otherwise) = otherwise {
                    self.text(" ELSE ");
                    self.expr(otherwise);
                }
                self.text(" END");
            }
            Form::InList { value, is_negated, list } => {
                self.text("(");
                self.expr(value);
                self.text(if *is_negated { " NOT IN" } else { " IN" });
                self.call(" ", list);
                self.text(")");
            }
            Form::Subquery(subquery, query) => self.subquery(subquery, query),
            Form::Aggregate(aggregate) => self.result(expr.ty, aggregate.function, |p| p.aggregate(aggregate)),
            Form::Window(window) => self.result(expr.ty, window.function, |p| p.window(window)),
        }
    }

    /// DuckDB's sums of decimals have 38 digits, and values that are combined with them by `UNION` may lose some after
    /// the point.
    fn result(&mut self, ty: Ty, function: &str, print: impl FnOnce(&mut Self)) {
        let is_wider = self.dialect == Dialect::DuckDb && function == "sum" && matches!(ty, Ty::Decimal(..));
        self.text(if is_wider { "CAST(" } else { "" });
        print(self);
        if is_wider {
            self.text(&format!(" AS {})", ty.sql()));
        }
    }

    fn subquery(&mut self, subquery: &Subquery, query: &Query) {
        if self.is_outer_condition && !matches!(subquery, Subquery::In { .. }) {
            return self.variable(subquery, query);
        }
        self.text("(");
        match subquery {
            Subquery::Scalar => {}
            Subquery::Exists { is_negated } => self.text(if *is_negated { "NOT EXISTS (" } else { "EXISTS (" }),
            Subquery::In { value, is_negated } => {
                self.expr(value);
                self.text(if *is_negated { " NOT IN (" } else { " IN (" });
            }
        }
        self.query(query);
        self.text(if matches!(subquery, Subquery::Scalar) { ")" } else { "))" });
    }

    /// A variable in place of a subquery. If the subquery is correlated, DuckDB rejects the statement.
    fn variable(&mut self, subquery: &Subquery, query: &Query) {
        let before = std::mem::take(&mut self.out);
        self.is_outer_condition = false;
        self.subquery(subquery, query);
        self.is_outer_condition = true;
        let value = std::mem::replace(&mut self.out, before);
        let name = format!("v{}", self.variables.matches("SET VARIABLE").count());
        self.variables.push_str(&format!("SET VARIABLE {name} = {value}; "));
        self.text(&format!("getvariable('{name}')"));
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        if !aggregate.is_shared && self.dialect == Dialect::DuckDb {
            self.is_possible = false;
        }
        self.text(aggregate.function);
        self.text(if aggregate.is_distinct { "(DISTINCT " } else { "(" });
        if aggregate.arguments.is_empty() {
            self.text("*");
        }
        self.list(&aggregate.arguments, Self::expr);
        self.order(&aggregate.order);
        self.text(")");
        if let Some(filter) = &aggregate.filter {
            self.text(" FILTER (WHERE ");
            self.expr(filter);
            self.text(")");
        }
    }

    fn window(&mut self, window: &Window) {
        // In standard SQL, which DataFusion parses, the clause follows the arguments.
        let is_inside = self.dialect == Dialect::DuckDb;
        self.text(window.function);
        self.text("(");
        if window.arguments.is_empty() && window.function == "count" {
            self.text("*");
        }
        self.list(&window.arguments, Self::expr);
        let clause = if window.is_ignoring_nulls { " IGNORE NULLS" } else { "" };
        self.text(if is_inside { clause } else { "" });
        self.text(")");
        self.text(if is_inside { "" } else { clause });
        self.text(" OVER (");
        if !window.partition.is_empty() {
            self.text("PARTITION BY ");
            self.list(&window.partition, Self::expr);
        }
        self.order(&window.order);
        if let Some(frame) = &window.frame {
            self.text(" ");
            self.text(frame);
        }
        self.text(")");
    }
}
