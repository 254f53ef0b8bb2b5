//! `x NOT IN (SELECT y ...)` with SQL semantics, by joins that run equally in one process and in several.
//!
//! With a NULL on either side it is neither true nor false. DataFusion uses a null-aware anti join, which also counts a
//! NULL that the subquery's correlation excludes, and which cannot be cut into tasks; and below `OR` or `NOT` it treats
//! NULL as false. Ballista's own rule (`NotInSubqueryRewrite`) is for uncorrelated subqueries that stand alone. So one
//! rule handles all cases:
//!
//! | subquery | stands alone in `WHERE` | below another expression |
//! |---|---|---|
//! | always one row (an aggregate without groups) | `x <> (SELECT y ...)` | the same |
//! | uncorrelated | an anti join and a row of counts: no row, or neither `x` nor any `y` is NULL | `CASE` over a mark join and the counts |
//! | correlated | no `y` is `x`; no `y` is NULL; and `x` is not NULL, or there is no row | `CASE` over three `EXISTS` |
//!
//! `IN` needs the same where NULL and false differ. If neither side can be NULL, DataFusion's plan is correct.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, Spans};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{BinaryExpr, Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, when,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Adds three-valued logic to `IN` and `NOT IN`.
#[derive(Debug, Default)]
pub(crate) struct NotIn;

impl OptimizerRule for NotIn {
    fn name(&self) -> &str {
        "not_in"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
        if !filter.predicate.exists(|e| Ok(matches!(e, Expr::InSubquery(_))))? {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let columns: Vec<Expr> = filter.input.schema().iter().map(|field| Expr::Column(field.into())).collect();
        let mut rewriting =
            Rewriting { input: Arc::unwrap_or_clone(filter.input), config, changed: false, joined: false };
        let conjuncts = split_conjunction_owned(filter.predicate)
            .into_iter()
            .map(|conjunct| rewriting.conjunct(conjunct))
            .collect::<Result<Vec<_>>>()?;
        let predicate = conjunction(conjuncts).unwrap_or_else(|| lit(true));
        let Rewriting { input, changed, joined, .. } = rewriting;
        let plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?);
        let plan = if joined { LogicalPlanBuilder::from(plan).project(columns)?.build()? } else { plan };
        Ok(Transformed::new_transformed(plan, changed))
    }
}

struct Rewriting<'a> {
    /// The filter's input, joined with what the predicate needs of subqueries.
    input: LogicalPlan,
    config: &'a dyn OptimizerConfig,
    changed: bool,
    joined: bool,
}

impl Rewriting<'_> {
    /// Rewrites a predicate that must be true.
    fn conjunct(&mut self, expr: Expr) -> Result<Expr> {
        let is_in = |expr: &Expr| matches!(expr, Expr::InSubquery(_));
        let (negated, inner) = match expr {
            Expr::Not(inner) if is_in(&inner) => (true, *inner),
            other => (false, other),
        };
        match inner {
            Expr::InSubquery(of) => self.stands_alone(InSubquery { negated: of.negated != negated, ..of }),
            other => self.truth(other),
        }
    }

    fn stands_alone(&mut self, of: InSubquery) -> Result<Expr> {
        if !self.is_ours(&of)? {
            return Ok(Expr::InSubquery(of));
        }
        if is_one_row(&of.subquery.subquery) {
            return Ok(self.compared(of));
        }
        if !of.negated {
            return Ok(Expr::InSubquery(of));
        }
        self.changed = true;
        let x = *of.expr.clone();
        if is_correlated(&of) {
            let some = Correlated::new(&of, &self.input)?;
            let known = not(some.equal()?);
            let known = if some.y_is_nullable { known.and(not(some.null()?)) } else { known };
            return Ok(if self.is_nullable(&x) { known.and(x.is_not_null().or(not(some.row()))) } else { known });
        }
        self.join(&of, JoinType::LeftAnti)?;
        let counts = self.count(&of)?;
        Ok(counts.no_row().or(x.is_not_null().and(counts.no_null())))
    }

    /// Rewrites an expression in which NULL counts as false.
    fn truth(&mut self, expr: Expr) -> Result<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (left, right) = (Box::new(self.truth(*left)?), Box::new(self.truth(*right)?));
                Ok(Expr::BinaryExpr(BinaryExpr { left, op, right }))
            }
            Expr::InSubquery(of) if !of.negated && !is_one_row(&of.subquery.subquery) => Ok(Expr::InSubquery(of)),
            other => other.transform_down(|e| self.value(e)).map(|rewritten| rewritten.data),
        }
    }

    /// Rewrites `IN`s that may be NULL.
    fn value(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        let of = match expr {
            Expr::InSubquery(of) => of,
            other => return Ok(Transformed::no(other)),
        };
        if !self.is_ours(&of)? {
            return Ok(Transformed::no(Expr::InSubquery(of)));
        }
        if is_one_row(&of.subquery.subquery) {
            return Ok(Transformed::yes(self.compared(of)));
        }
        self.changed = true;
        let (x, found, not_found) = (*of.expr.clone(), lit(!of.negated), lit(of.negated));
        let unknown = lit(ScalarValue::Boolean(None));
        let value = if is_correlated(&of) {
            let some = Correlated::new(&of, &self.input)?;
            when(some.equal()?, found)
                .when(some.null()?.or(x.is_null().and(some.row())), unknown)
                .otherwise(not_found)?
        } else {
            let mark = self.join(&of, JoinType::LeftMark)?;
            let counts = self.count(&of)?;
            when(mark, found)
                .when(counts.no_row(), not_found.clone())
                .when(x.is_null().or(not(counts.no_null())), unknown)
                .otherwise(not_found)?
        };
        // The rewritten expression contains no more of them.
        Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
    }

    /// Whether NULL makes a difference, and the compared expression can be repeated and moved into the subquery.
    fn is_ours(&self, of: &InSubquery) -> Result<bool> {
        let subquery = &of.subquery.subquery;
        if subquery.schema().fields().len() != 1 || of.expr.is_volatile() {
            return Ok(false);
        }
        if of.expr.exists(|e| Ok(is_subquery(e) || matches!(e, Expr::OuterReferenceColumn(..))))? {
            return Ok(false);
        }
        Ok(is_one_row(subquery) || self.is_nullable(&of.expr) || subquery.schema().field(0).is_nullable())
    }

    fn is_nullable(&self, expr: &Expr) -> bool {
        expr.nullable(self.input.schema().as_ref()).unwrap_or(true)
    }

    /// The comparison with a subquery of one row.
    fn compared(&mut self, of: InSubquery) -> Expr {
        self.changed = true;
        let y = Box::new(Expr::ScalarSubquery(of.subquery));
        let op = if of.negated { Operator::NotEq } else { Operator::Eq };
        Expr::BinaryExpr(BinaryExpr { left: of.expr, op, right: y })
    }

    /// Joins an uncorrelated subquery on equality; returns the mark of a mark join.
    fn join(&mut self, of: &InSubquery, kind: JoinType) -> Result<Expr> {
        let name = self.config.alias_generator().next("__in");
        let subquery = LogicalPlanBuilder::from(Arc::clone(&of.subquery.subquery)).alias(name.as_str())?.build()?;
        let y = Expr::Column(subquery.schema().qualified_field(0).into());
        self.joined = true;
        self.input = LogicalPlanBuilder::from(std::mem::take(&mut self.input))
            .join_on(subquery, kind, [of.expr.as_ref().clone().eq(y)])?
            .build()?;
        Ok(Expr::Column(Column::new(Some(name), "mark")))
    }

    /// Joins the counts of an uncorrelated subquery as one row.
    fn count(&mut self, of: &InSubquery) -> Result<Counts> {
        let name = self.config.alias_generator().next("__in");
        let [rows, values] = ["rows", "values"].map(|what| format!("{name}_{what}"));
        let subquery = &of.subquery.subquery;
        let y = Expr::Column(subquery.schema().qualified_field(0).into());
        self.joined = true;
        // The single row is the collected side.
        self.input = LogicalPlanBuilder::from(Arc::clone(subquery))
            .aggregate(Vec::<Expr>::new(), [count(lit(1)).alias(&rows), count(y).alias(&values)])?
            .cross_join(std::mem::take(&mut self.input))?
            .build()?;
        let [rows, values] = [rows, values].map(|name| Expr::Column(Column::new_unqualified(name)));
        Ok(Counts { rows, values })
    }
}

/// The number of rows of an uncorrelated subquery, and how many of them are not NULL.
struct Counts {
    rows: Expr,
    values: Expr,
}

impl Counts {
    fn no_row(&self) -> Expr {
        self.rows.clone().eq(lit(0i64))
    }

    fn no_null(&self) -> Expr {
        self.rows.clone().eq(self.values.clone())
    }
}

/// Builds `EXISTS` over subsets of the rows of a correlated subquery.
struct Correlated<'a> {
    subquery: &'a Subquery,
    /// The value of the outer query as seen by the subquery, and its columns.
    x: Expr,
    columns: Vec<Expr>,
    y: Expr,
    y_is_nullable: bool,
}

impl<'a> Correlated<'a> {
    fn new(of: &'a InSubquery, outer: &LogicalPlan) -> Result<Self> {
        let mut columns = Vec::new();
        let x = of.expr.as_ref().clone().transform_up(|e| {
            let Expr::Column(column) = e else { return Ok(Transformed::no(e)) };
            let (_, field) = outer.schema().qualified_field_from_column(&column)?;
            let seen = Expr::OuterReferenceColumn(Arc::clone(field), column);
            columns.push(seen.clone());
            Ok(Transformed::yes(seen))
        })?;
        let (qualifier, field) = of.subquery.subquery.schema().qualified_field(0);
        let (y, y_is_nullable) = (Expr::Column((qualifier, field).into()), field.is_nullable());
        Ok(Self { subquery: &of.subquery, x: x.data, columns, y, y_is_nullable })
    }

    fn row(&self) -> Expr {
        exists(self.subquery.clone())
    }

    fn null(&self) -> Result<Expr> {
        self.some(self.y.clone().is_null(), &[])
    }

    fn equal(&self) -> Result<Expr> {
        self.some(self.y.clone().eq(self.x.clone()), &self.columns)
    }

    fn some(&self, predicate: Expr, columns: &[Expr]) -> Result<Expr> {
        let subquery = LogicalPlanBuilder::from(Arc::clone(&self.subquery.subquery)).filter(predicate)?.build()?;
        let mut outer_ref_columns = self.subquery.outer_ref_columns.clone();
        outer_ref_columns.extend(columns.iter().cloned());
        Ok(exists(Subquery { subquery: Arc::new(subquery), outer_ref_columns, spans: Spans::new() }))
    }
}

fn exists(subquery: Subquery) -> Expr {
    Expr::Exists(Exists { subquery, negated: false })
}

/// Negates an expression; `EXISTS` by its own flag, which DataFusion turns into an anti join.
fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => Expr::Exists(Exists { subquery, negated: !negated }),
        other => !other,
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_))
}

fn is_correlated(of: &InSubquery) -> bool {
    !of.subquery.outer_ref_columns.is_empty()
}

/// Whether a subquery always returns one row, for any outer row.
fn is_one_row(subquery: &LogicalPlan) -> bool {
    match subquery {
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Sort(sort) => sort.fetch.is_none() && is_one_row(&sort.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}
