//! The logical plans of a row change.

use std::collections::BTreeSet;

use bergmill_statement::{FILE_COLUMN, POSITION_COLUMN};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, TableReference};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, is_null, lit, when};

use super::found::{CHANGED, DELETED, FILE, MOST};
use super::{Affected, Clause, Inserted, RowChange, Rows};

/// Columns of the rows that change: the row's file and position, the number of the clause that decides, and new values.
const CHANGE: &str = "__change";
const ROW_FILE: &str = "__file";
const ROW_POSITION: &str = "__position";
const CLAUSE: &str = "__clause";

fn new_value(column: &str) -> String {
    format!("__new_{column}")
}

fn changed(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(CHANGE)), name))
}

impl RowChange {
    /// One row for each file with rows that change; see [`FoundFiles`](super::FoundFiles).
    pub(super) fn tallied(&self, files: &BTreeSet<usize>) -> Result<LogicalPlan> {
        let rows = self.changes(files, false)?;
        let deletes =
            self.all_clauses().enumerate().filter(|(_, c)| c.update.is_none()).map(|(n, _)| number(n)).collect();
        let goes = when(column(CLAUSE).in_list(deletes, false), lit(1_i64)).otherwise(lit(0_i64))?;
        // Only a join can find a row twice.
        let tallied = match self.affected.iter().any(|a| matches!(a.rows, Rows::MatchedBy { .. })) {
            true => LogicalPlanBuilder::from(rows)
                .aggregate(
                    [column(ROW_FILE), column(ROW_POSITION)],
                    [count(lit(1_i64)).alias("__times"), sum(goes).alias("__goes")],
                )?
                .aggregate(
                    [column(ROW_FILE)],
                    [
                        count(lit(1_i64)).alias(CHANGED),
                        sum(column("__goes")).alias(DELETED),
                        max(column("__times")).alias(MOST),
                    ],
                )?,
            false => LogicalPlanBuilder::from(rows).aggregate(
                [column(ROW_FILE)],
                [count(lit(1_i64)).alias(CHANGED), sum(goes).alias(DELETED), max(lit(1_i64)).alias(MOST)],
            )?,
        };
        tallied.project([column(ROW_FILE).alias(FILE), column(CHANGED), column(DELETED), column(MOST)])?.build()
    }

    /// The rows of these files after the change, with the table's columns.
    pub(super) fn replaced_rows(&self, files: &BTreeSet<usize>) -> Result<LogicalPlan> {
        if let Some(plan) = self.replaced_in_place(files)? {
            return Ok(plan);
        }
        let changes = LogicalPlanBuilder::from(self.changes(files, true)?).alias(CHANGE)?.build()?;
        let same_row = [
            self.target.column(FILE_COLUMN).eq(changed(ROW_FILE)),
            self.target.column(POSITION_COLUMN).eq(changed(ROW_POSITION)),
        ];
        let joined = self.target.scan(Some(files))?.join_on(changes, JoinType::Left, same_row)?;
        let mut kept = joined;
        let numbers = |deletes: bool| -> Vec<Expr> {
            let clauses = self.all_clauses().enumerate();
            clauses.filter(|(_, c)| c.update.is_none() == deletes).map(|(n, _)| number(n)).collect()
        };
        let (deletes, updates) = (numbers(true), numbers(false));
        if !deletes.is_empty() {
            kept = kept.filter(is_null(changed(CLAUSE)).or(changed(CLAUSE).in_list(deletes, true)))?;
        }
        let assigned = self.assigned();
        let columns = self.target.fields().into_iter().map(|field| {
            let old = self.target.column(field.name());
            let value = match assigned.contains(field.name()) {
                true => {
                    let is_updated = changed(CLAUSE).in_list(updates.clone(), false);
                    when(is_updated, changed(&new_value(field.name()))).otherwise(old)?
                }
                false => old,
            };
            Ok(value.alias(field.name()))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        kept.project(columns)?.build()
    }

    /// [`replaced_rows`](Self::replaced_rows) without a join, for a `DELETE` or `UPDATE` whose condition has no
    /// subquery.
    fn replaced_in_place(&self, files: &BTreeSet<usize>) -> Result<Option<LogicalPlan>> {
        let [Affected { rows: Rows::Where(condition), clauses }] = self.affected.as_slice() else { return Ok(None) };
        let [clause] = clauses.as_slice() else { return Ok(None) };
        if condition.iter().any(has_subquery) {
            return Ok(None);
        }
        let scan = self.target.scan(Some(files))?;
        let Some(values) = &clause.update else {
            // Unknown is not true: such a row stays.
            let stays = condition.clone().map_or_else(|| lit(false), Expr::is_not_true);
            return self.own_columns(scan.filter(stays)?).map(Some);
        };
        let columns = self.target.fields().into_iter().map(|field| {
            let old = self.target.column(field.name());
            let new = values.iter().find(|(name, _)| name == field.name()).map(|(_, value)| value.clone());
            let value = match (new, condition) {
                (Some(new), Some(condition)) => when(condition.clone(), new).otherwise(old)?,
                (Some(new), None) => new,
                (None, _) => old,
            };
            Ok(value.alias(field.name()))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        scan.project(columns)?.build().map(Some)
    }

    fn own_columns(&self, rows: LogicalPlanBuilder) -> Result<LogicalPlan> {
        let columns: Vec<Expr> =
            self.target.fields().iter().map(|f| self.target.column(f.name()).alias(f.name())).collect();
        rows.project(columns)?.build()
    }

    /// The rows of these files that change, repeated as often as a join finds them.
    fn changes(&self, files: &BTreeSet<usize>, with_values: bool) -> Result<LogicalPlan> {
        let mut first = 0;
        let mut all: Option<LogicalPlan> = None;
        for affected in &self.affected {
            let part = self.changes_of(affected, first, files, with_values)?;
            first += affected.clauses.len();
            all = Some(match all {
                Some(before) => union(before, part)?,
                None => part,
            });
        }
        all.ok_or_else(|| datafusion::error::DataFusionError::Internal("a change without affected rows".to_string()))
    }

    /// `first` is the number of its first clause among all clauses.
    fn changes_of(
        &self,
        affected: &Affected,
        first: usize,
        files: &BTreeSet<usize>,
        with_values: bool,
    ) -> Result<LogicalPlan> {
        let scan = self.target.scan(Some(files))?;
        let rows = match &affected.rows {
            Rows::Where(None) => scan,
            Rows::Where(Some(condition)) => scan.filter(condition.clone())?,
            Rows::MatchedBy { source, on } => scan.join_on(source.clone(), JoinType::Inner, [on.clone()])?,
            Rows::NotMatchedBy { source, on } => scan.join_on(source.clone(), JoinType::LeftAnti, [on.clone()])?,
        };
        let conditions = affected.clauses.iter().map(|c| c.condition.as_ref());
        let rows = decided(rows, conditions, first)?;
        let mut columns = vec![
            self.target.column(FILE_COLUMN).alias(ROW_FILE),
            self.target.column(POSITION_COLUMN).alias(ROW_POSITION),
            column(CLAUSE),
        ];
        if with_values {
            for field in self.target.fields().iter().filter(|f| self.assigned().contains(f.name())) {
                let old = self.target.column(field.name());
                let clauses = affected.clauses.iter().enumerate();
                let news = clauses.filter_map(|(n, c)| Some((first + n, c.new_value(field.name())?)));
                let value = news.rev().try_fold(old, |otherwise, (n, new)| -> Result<Expr> {
                    let new = new.clone().cast_to(field.data_type(), rows.schema())?;
                    when(column(CLAUSE).eq(number(n)), new).otherwise(otherwise)
                })?;
                columns.push(value.alias(new_value(field.name())));
            }
        }
        rows.project(columns)?.build()
    }

    /// The rows to insert, with the table's columns.
    pub(super) fn inserted_rows(&self, inserted: &Inserted) -> Result<LogicalPlan> {
        let table = self.target.scan(None)?.build()?;
        let source = LogicalPlanBuilder::from(inserted.source.clone());
        let rows = source.join_on(table, JoinType::LeftAnti, [inserted.on.clone()])?;
        let rows = decided(rows, inserted.clauses.iter().map(|c| c.condition.as_ref()), 0)?;
        let columns = self.target.fields().into_iter().map(|field| {
            let nothing = Expr::Literal(ScalarValue::try_from(field.data_type())?, None);
            let clauses = inserted.clauses.iter().enumerate();
            let value = clauses.rev().try_fold(nothing.clone(), |otherwise, (n, clause)| -> Result<Expr> {
                let given = clause.values.iter().find(|(name, _)| name == field.name());
                let value = match given {
                    Some((_, value)) => value.clone().cast_to(field.data_type(), rows.schema())?,
                    None => nothing.clone(),
                };
                when(column(CLAUSE).eq(number(n)), value).otherwise(otherwise)
            })?;
            Ok(value.alias(field.name()))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        rows.project(columns)?.build()
    }

    fn all_clauses(&self) -> impl Iterator<Item = &Clause> {
        self.affected.iter().flat_map(|a| &a.clauses)
    }

    /// The columns that a clause assigns new values to.
    fn assigned(&self) -> BTreeSet<&String> {
        self.all_clauses().filter_map(|c| c.update.as_ref()).flatten().map(|(name, _)| name).collect()
    }
}

impl Clause {
    fn new_value(&self, column: &str) -> Option<&Expr> {
        self.update.as_ref()?.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }
}

/// The rows for which a condition holds, with the number of the first such condition.
fn decided<'a>(
    rows: LogicalPlanBuilder,
    conditions: impl DoubleEndedIterator<Item = Option<&'a Expr>> + ExactSizeIterator,
    first: usize,
) -> Result<LogicalPlanBuilder> {
    let undecided = Expr::Literal(ScalarValue::Int32(None), None);
    let clause = conditions.enumerate().rev().try_fold(undecided, |otherwise, (n, condition)| match condition {
        Some(condition) => when(condition.clone(), number(first + n)).otherwise(otherwise),
        None => Ok(number(first + n)),
    })?;
    let mut columns: Vec<Expr> = rows.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(clause.alias(CLAUSE));
    rows.project(columns)?.filter(column(CLAUSE).is_not_null())
}

/// `UNION ALL` of two plans with the same columns.
pub(super) fn union(one: LogicalPlan, other: LogicalPlan) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(one).union(other)?.build()
}

/// Calls `visit` with every expression of the plan and of the subqueries in it.
pub(super) fn for_each_expression(plan: &LogicalPlan, visit: &mut impl FnMut(&Expr)) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|e| {
            visit(e);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// Calls `look` with the expression and with every expression of the subqueries in it.
pub(super) fn with_subqueries(expr: &Expr, look: &mut impl FnMut(&Expr)) -> Result<()> {
    look(expr);
    expr.apply(|e| {
        let subquery = match e {
            Expr::Exists(exists) => &exists.subquery,
            Expr::InSubquery(within) => &within.subquery,
            Expr::SetComparison(comparison) => &comparison.subquery,
            Expr::ScalarSubquery(subquery) => subquery,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        for_each_expression(&subquery.subquery, look)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |e: &Expr| {
        Ok(matches!(e, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)))
    };
    // The closure never fails.
    expr.exists(is_subquery).unwrap_or(true)
}

/// A column by its exact, case-sensitive name.
fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn number(n: usize) -> Expr {
    lit(i32::try_from(n).unwrap_or(i32::MAX))
}
