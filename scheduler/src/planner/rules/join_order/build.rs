//! The plan of an order of joins.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::{JoinSide, JoinType, NullEquality, Result, internal_datafusion_err};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{HashJoinExec, JoinOn, SortMergeJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::graph::{Algorithm, ColumnId, Condition, Graph, Set, Tree, with_indices};

/// Joins the graph in this order, with the columns of `root`.
pub(super) fn plan(graph: &Graph, tree: &Tree, root: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let joined = Builder { graph }.tree(tree)?;
    let schema = root.schema();
    let columns = graph
        .output
        .iter()
        .zip(schema.fields())
        .map(|(id, field)| Ok(ProjectionExpr { expr: joined.column(*id)?, alias: field.name().clone() }));
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Result<Vec<_>>>()?, joined.plan)?))
}

/// The plan of some relations.
struct Joined {
    plan: Arc<dyn ExecutionPlan>,
    set: Set,
    columns: Vec<ColumnId>,
}

impl Joined {
    fn index(&self, id: ColumnId) -> Result<usize> {
        let found = self.columns.iter().position(|column| *column == id);
        found.ok_or_else(|| internal_datafusion_err!("column {id:?} is not joined"))
    }

    fn column(&self, id: ColumnId) -> Result<Arc<dyn PhysicalExpr>> {
        let index = self.index(id)?;
        Ok(Arc::new(Column::new(self.plan.schema().field(index).name(), index)))
    }

    /// With the rows that match the conditions.
    fn filtered(self, conditions: &[&Condition]) -> Result<Self> {
        let all = conjunction(conditions, |id| self.index(id))?;
        Ok(match all {
            Some(predicate) => Self { plan: Arc::new(FilterExec::try_new(predicate, self.plan)?), ..self },
            None => self,
        })
    }

    /// Without columns that nothing needs.
    fn projected(self, needed: &BTreeSet<ColumnId>) -> Result<Self> {
        let columns: Vec<ColumnId> = self.columns.iter().filter(|column| needed.contains(column)).copied().collect();
        if columns.len() == self.columns.len() {
            return Ok(self);
        }
        let schema = self.plan.schema();
        let exprs = columns.iter().map(|id| {
            let index = self.index(*id)?;
            let alias = schema.field(index).name().clone();
            Ok(ProjectionExpr { expr: Arc::new(Column::new(&alias, index)), alias })
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        Ok(Self { plan: Arc::new(ProjectionExec::try_new(exprs, self.plan)?), columns, ..self })
    }
}

struct Builder<'a> {
    graph: &'a Graph,
}

impl Builder<'_> {
    fn tree(&self, tree: &Tree) -> Result<Joined> {
        match tree {
            Tree::Relation(relation) => {
                let plan = Arc::clone(&self.graph.relations[*relation].plan);
                let indices = 0..plan.schema().fields().len();
                let columns = indices.map(|index| ColumnId { relation: *relation, index }).collect();
                let leaf = Joined { plan, set: 1 << relation, columns };
                let is_linked = self.graph.relations[*relation].link.is_some();
                if is_linked { Ok(leaf) } else { leaf.filtered(&self.graph.new_conditions(1 << relation, 0, 0)) }
            }
            Tree::Join(left, right) => {
                let (left, right) = (self.tree(left)?, self.tree(right)?);
                let (left, right) = if self.graph.link(left.set).is_some() { (right, left) } else { (left, right) };
                let joined = match self.graph.link(right.set) {
                    Some(_) => self.linked(left, right)?,
                    None => self.inner(left, right)?,
                };
                let needed = self.needed(joined.set);
                joined.projected(&needed)
            }
        }
    }

    fn inner(&self, left: Joined, right: Joined) -> Result<Joined> {
        let of = |joined: &Joined, set: &[ColumnId]| joined.columns.iter().find(|id| set.contains(id)).copied();
        let mut on = Vec::new();
        for set in &self.graph.equal {
            if let Some((l, r)) = of(&left, set).zip(of(&right, set)) {
                on.push((left.column(l)?, right.column(r)?));
            }
        }
        let set = left.set | right.set;
        let mut conditions = self.graph.new_conditions(set, left.set, right.set);
        let filter = match self.graph.algorithm {
            Algorithm::Hash(_) => join_filter(&left, &right, &std::mem::take(&mut conditions))?,
            Algorithm::SortMerge => None,
        };
        let columns = [left.columns, right.columns].concat();
        let plan = self.join(left.plan, right.plan, on, filter, JoinType::Inner, NullEquality::NullEqualsNothing)?;
        Joined { plan, set, columns }.filtered(&conditions)
    }

    fn linked(&self, left: Joined, right: Joined) -> Result<Joined> {
        let relation = right.set.trailing_zeros() as usize;
        let Some(link) = self.graph.link(right.set) else {
            return Err(internal_datafusion_err!("relation {relation} has no link"));
        };
        let mut on = Vec::new();
        for (column, index) in &link.on {
            on.push((left.column(*column)?, right.column(ColumnId { relation, index: *index })?));
        }
        let filter = join_filter(&left, &right, &link.filter.iter().collect::<Vec<_>>())?;
        let (set, before) = (left.set | right.set, (left.set, right.set));
        let plan = self.join(left.plan, right.plan, on, filter, link.join_type, link.null_equality)?;
        let columns = match link.join_type {
            JoinType::Left => [left.columns, right.columns].concat(),
            _ => left.columns,
        };
        // A condition of such a join would decide only what matches.
        Joined { plan, set, columns }.filtered(&self.graph.new_conditions(set, before.0, before.1))
    }

    fn join(
        &self,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        on: JoinOn,
        filter: Option<JoinFilter>,
        join_type: JoinType,
        null_equality: NullEquality,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match self.graph.algorithm {
            Algorithm::Hash(mode) => {
                Arc::new(HashJoinExec::try_new(left, right, on, filter, &join_type, None, mode, null_equality, false)?)
            }
            Algorithm::SortMerge => {
                let sorted = vec![SortOptions::default(); on.len()];
                Arc::new(SortMergeJoinExec::try_new(left, right, on, filter, join_type, sorted, null_equality)?)
            }
        })
    }

    /// The columns of a set that later joins, conditions or the result refer to.
    fn needed(&self, set: Set) -> BTreeSet<ColumnId> {
        let graph = self.graph;
        let mut needed: BTreeSet<ColumnId> = graph.output.iter().copied().collect();
        for equal in graph.equal.iter().filter(|equal| equal.iter().any(|column| column.set() & set == 0)) {
            needed.extend(equal.iter().find(|column| column.set() & set != 0));
        }
        for condition in graph.conditions.iter().filter(|condition| graph.needed(condition) & !set != 0) {
            needed.extend(&condition.columns);
        }
        for (at, relation) in graph.relations.iter().enumerate().filter(|(at, _)| set & (1 << at) == 0) {
            if let Some(link) = &relation.link {
                needed.extend(link.on.iter().map(|(column, _)| *column));
                needed.extend(link.filter.iter().flat_map(|filter| &filter.columns).filter(|id| id.relation != at));
            }
        }
        needed
    }
}

/// The conditions as the filter of a join; `None` if there are none.
fn join_filter(left: &Joined, right: &Joined, conditions: &[&Condition]) -> Result<Option<JoinFilter>> {
    let mut used: Vec<ColumnId> = conditions.iter().flat_map(|condition| condition.columns.iter().copied()).collect();
    // A sort-merge join, which Ballista may make of this one, takes the columns of its left side to be the first ones.
    used.sort_by_key(|id| (id.set() & left.set == 0, *id));
    used.dedup();
    let index = |id| {
        let found = used.iter().position(|other| *other == id);
        found.ok_or_else(|| internal_datafusion_err!("column {id:?} is not in the filter"))
    };
    let Some(expr) = conjunction(conditions, index)? else { return Ok(None) };
    let mut fields: Vec<Arc<Field>> = Vec::new();
    let mut columns = Vec::new();
    for id in &used {
        let (side, joined) = if id.set() & left.set != 0 { (JoinSide::Left, left) } else { (JoinSide::Right, right) };
        let index = joined.index(*id)?;
        fields.push(Arc::clone(&joined.plan.schema().fields()[index]));
        columns.push(ColumnIndex { index, side });
    }
    Ok(Some(JoinFilter::new(expr, columns, Arc::new(Schema::new(fields)))))
}

/// All of the conditions, with these indices of columns.
fn conjunction(
    conditions: &[&Condition],
    index: impl Fn(ColumnId) -> Result<usize>,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let mut all: Option<Arc<dyn PhysicalExpr>> = None;
    for condition in conditions {
        let indices = condition.columns.iter().map(|id| index(*id)).collect::<Result<Vec<_>>>()?;
        let expr = with_indices(&condition.expr, |at| indices[at]);
        all = Some(match all {
            Some(others) => Arc::new(BinaryExpr::new(others, Operator::And, expr)),
            None => expr,
        });
    }
    Ok(all)
}
