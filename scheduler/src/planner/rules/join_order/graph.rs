//! A tree of joins as a graph: relations, the columns that are equal, and other conditions.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::planner::cardinality::Equijoin;

/// A set of relations, one bit each.
pub(super) type Set = u64;

/// Relations of a graph at most: bits of a set.
const MOST: usize = 60;

/// A column of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ColumnId {
    pub(super) relation: usize,
    pub(super) index: usize,
}

impl ColumnId {
    pub(super) fn set(self) -> Set {
        1 << self.relation
    }
}

/// What is joined.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// How it is joined, unless by inner joins.
    pub(super) link: Option<Link>,
}

/// A relation on the right side of a left, semi or anti join.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) join_type: JoinType,
    pub(super) null_equality: NullEquality,
    /// Pairs of a column of other relations, and the index of one of this.
    pub(super) on: Vec<(ColumnId, usize)>,
    pub(super) filter: Option<Condition>,
    /// What must be joined before.
    pub(super) needs: Set,
}

/// A boolean expression over columns of the graph.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// Refers to `columns` by their index there.
    pub(super) expr: Arc<dyn PhysicalExpr>,
    pub(super) columns: Vec<ColumnId>,
}

impl Condition {
    /// `columns` are those that `expr` refers to by index. `None` if it has another value each time.
    fn new(expr: &Arc<dyn PhysicalExpr>, columns: &[ColumnId]) -> Option<Self> {
        if is_volatile(expr) {
            return None;
        }
        let mut used: Vec<ColumnId> = Vec::new();
        let expr = with_indices(expr, |index| {
            let id = columns[index];
            used.iter().position(|other| *other == id).unwrap_or_else(|| {
                used.push(id);
                used.len() - 1
            })
        });
        Some(Self { expr, columns: used })
    }

    /// The relations whose columns it refers to.
    pub(super) fn set(&self) -> Set {
        self.columns.iter().fold(0, |set, column| set | column.set())
    }
}

/// The expression with other column indices.
pub(super) fn with_indices(
    expr: &Arc<dyn PhysicalExpr>,
    mut index: impl FnMut(usize) -> usize,
) -> Arc<dyn PhysicalExpr> {
    let renumbered = Arc::clone(expr).transform_up(|node| {
        Ok(match node.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), index(column.index()))) as _),
            None => Transformed::no(node),
        })
    });
    renumbered.data().unwrap_or_else(|_| Arc::clone(expr))
}

/// An order of joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relation(relation) => write!(f, "{relation}"),
            Self::Join(left, right) => write!(f, "({left} {right})"),
        }
    }
}

/// How joins are executed, as far as that is decided.
#[derive(Debug, Clone, Copy)]
pub(super) enum Algorithm {
    Hash(datafusion::physical_plan::joins::PartitionMode),
    SortMerge,
}

/// A tree of joins, taken apart.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) relations: Vec<Relation>,
    /// Sets of columns that are equal, each of at least two relations. A relation has one column in a set at most, so
    /// all are equal when each join compares one of the columns that either side has.
    pub(super) equal: Vec<Vec<ColumnId>>,
    /// Other conditions of inner joins and filters.
    pub(super) conditions: Vec<Condition>,
    /// The order of the statement.
    pub(super) written: Tree,
    /// The columns that are returned.
    pub(super) output: Vec<ColumnId>,
    pub(super) algorithm: Algorithm,
}

impl Graph {
    /// Takes a tree of joins apart; `None` if `plan` is not the root of one that joins three relations or more.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let algorithm = root_algorithm(plan)?;
        // If inner joins refer to columns of left joins, those are relations.
        let taken = [true, false].into_iter().find_map(|with_left_joins| {
            let mut parts = Parts { with_left_joins, ..Parts::default() };
            let (written, output) = parts.take(plan)?;
            Some(Graph {
                equal: parts.equal_sets(),
                relations: parts.relations,
                conditions: parts.conditions,
                written,
                output,
                algorithm,
            })
        })?;
        (3..=MOST).contains(&taken.relations.len()).then_some(taken)
    }

    /// The link of the only relation in a set, if it has one.
    pub(super) fn link(&self, set: Set) -> Option<&Link> {
        let is_one = set.count_ones() == 1;
        self.relations.get(set.trailing_zeros() as usize).filter(|_| is_one)?.link.as_ref()
    }

    /// The conditions that can be applied to a set of relations, but not to either of its parts.
    pub(super) fn new_conditions(&self, set: Set, left: Set, right: Set) -> Vec<&Condition> {
        let is_new = |condition: &&Condition| {
            let needed = self.needed(condition);
            needed & !set == 0 && needed & !left != 0 && needed & !right != 0
        };
        self.conditions.iter().filter(is_new).collect()
    }

    /// The relations that must be joined before a condition can be applied.
    pub(super) fn needed(&self, condition: &Condition) -> Set {
        let links = condition.columns.iter().filter_map(|column| self.relations[column.relation].link.as_ref());
        links.fold(condition.set(), |set, link| set | link.needs)
    }
}

fn root_algorithm(plan: &Arc<dyn ExecutionPlan>) -> Option<Algorithm> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(Algorithm::Hash(*join.partition_mode()));
    }
    if plan.is::<SortMergeJoinExec>() {
        return Some(Algorithm::SortMerge);
    }
    root_algorithm(passed_through(plan)?)
}

/// The input of an operator that only filters rows or chooses columns.
fn passed_through(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return plan.fetch().is_none().then(|| filter.input());
    }
    let projection = plan.downcast_ref::<ProjectionExec>()?;
    projection.expr().iter().all(|column| column.expr.is::<Column>()).then(|| projection.input())
}

#[derive(Default)]
struct Parts {
    relations: Vec<Relation>,
    pairs: Vec<(ColumnId, ColumnId)>,
    conditions: Vec<Condition>,
    with_left_joins: bool,
}

impl Parts {
    /// Takes `plan` apart, and returns its order and its columns. `None` if that cannot be done.
    fn take(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Option<(Tree, Vec<ColumnId>)> {
        if let Some(join) = plan.fetch().is_none().then(|| Equijoin::of(plan.as_ref())).flatten()
            && let Some(on) = join.columns()
        {
            // When DataFusion 55 pushes a projection through a sort-merge join, it does not adapt the columns of its
            // filter. That of an inner join can follow the join.
            let is_movable = join.filter.is_none() || !plan.is::<SortMergeJoinExec>();
            match join.join_type {
                JoinType::Inner if join.null_equality == NullEquality::NullEqualsNothing => {
                    return self.take_inner(&join, &on);
                }
                JoinType::LeftSemi | JoinType::LeftAnti if is_movable && !join.null_aware => {
                    return self.take_link(&join, &on);
                }
                JoinType::Left if is_movable && self.with_left_joins => return self.take_link(&join, &on),
                _ => {}
            }
        } else if let Some(input) = passed_through(plan)
            && root_algorithm(input).is_some()
        {
            let (tree, columns) = self.take(input)?;
            if let Some(filter) = plan.downcast_ref::<FilterExec>() {
                for conjunct in split_conjunction(filter.predicate()) {
                    self.conditions.push(Condition::new(conjunct, &columns)?);
                }
                return Some((tree, projected(columns, filter.projection().as_deref())));
            }
            let projection = plan.downcast_ref::<ProjectionExec>()?;
            let index = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
            let chosen: Option<Vec<usize>> = projection.expr().iter().map(|column| index(&column.expr)).collect();
            return Some((tree, projected(columns, chosen.as_deref())));
        }
        Some(self.relation(plan, None))
    }

    fn relation(&mut self, plan: &Arc<dyn ExecutionPlan>, link: Option<Link>) -> (Tree, Vec<ColumnId>) {
        let relation = self.relations.len();
        self.relations.push(Relation { plan: Arc::clone(plan), link });
        let columns = (0..plan.schema().fields().len()).map(|index| ColumnId { relation, index }).collect();
        (Tree::Relation(relation), columns)
    }

    fn take_inner(&mut self, join: &Equijoin<'_>, on: &[(usize, usize)]) -> Option<(Tree, Vec<ColumnId>)> {
        let (left, left_columns) = self.take(join.left)?;
        let (right, right_columns) = self.take(join.right)?;
        for (l, r) in on {
            let pair = (left_columns[*l], right_columns[*r]);
            // Such a column is not equal before its left join.
            if [pair.0, pair.1].iter().any(|column| self.relations[column.relation].link.is_some()) {
                return None;
            }
            self.pairs.push(pair);
        }
        if let Some(filter) = join.filter {
            let columns = filter_columns(filter, &left_columns, &right_columns)?;
            for conjunct in split_conjunction(filter.expression()) {
                self.conditions.push(Condition::new(conjunct, &columns)?);
            }
        }
        let columns = projected([left_columns, right_columns].concat(), join.projection);
        Some((Tree::Join(Box::new(left), Box::new(right)), columns))
    }

    fn take_link(&mut self, join: &Equijoin<'_>, on: &[(usize, usize)]) -> Option<(Tree, Vec<ColumnId>)> {
        let (left, left_columns) = self.take(join.left)?;
        let at = self.relations.len();
        let right_columns: Vec<ColumnId> =
            (0..join.right.schema().fields().len()).map(|index| ColumnId { relation: at, index }).collect();
        let filter = match join.filter {
            Some(filter) => {
                let columns = filter_columns(filter, &left_columns, &right_columns)?;
                Some(Condition::new(filter.expression(), &columns)?)
            }
            None => None,
        };
        let on: Vec<(ColumnId, usize)> = on.iter().map(|(l, r)| (left_columns[*l], *r)).collect();
        let filtered = filter.iter().flat_map(|filter| filter.columns.iter().copied());
        let referred: BTreeSet<usize> =
            on.iter().map(|(column, _)| *column).chain(filtered).map(|c| c.relation).collect();
        let mut needs = 0;
        for relation in referred.into_iter().filter(|relation| *relation != at) {
            needs |= 1 << relation;
            needs |= self.relations[relation].link.as_ref().map_or(0, |link| link.needs);
        }
        let link = Link { join_type: join.join_type, null_equality: join.null_equality, on, filter, needs };
        let (right, _) = self.relation(join.right, Some(link));
        let all = if join.join_type == JoinType::Left { [left_columns, right_columns].concat() } else { left_columns };
        Some((Tree::Join(Box::new(left), Box::new(right)), projected(all, join.projection)))
    }

    /// Sets of equal columns. What would put two columns of a relation into a set remains a set of its own.
    fn equal_sets(&self) -> Vec<Vec<ColumnId>> {
        let mut sets: Vec<Vec<ColumnId>> = Vec::new();
        for (l, r) in &self.pairs {
            let of = |column: &ColumnId| sets.iter().position(|set| set.contains(column));
            let (l_set, r_set) = (of(l), of(r));
            let mut together: Vec<ColumnId> = Vec::new();
            for (column, set) in [(l, l_set), (r, r_set)] {
                together.extend(set.map_or_else(|| vec![*column], |at| sets[at].clone()));
            }
            together.sort();
            together.dedup();
            let relations: BTreeSet<usize> = together.iter().map(|column| column.relation).collect();
            let types: Vec<_> = together.iter().map(|column| self.data_type(*column)).collect();
            if relations.len() < together.len() || types.iter().any(|other| *other != types[0]) {
                let mut pair = vec![*l, *r];
                pair.sort();
                // Behind the others, so that `of` finds their sets first.
                sets.push(pair);
                continue;
            }
            let mut removed: Vec<usize> = [l_set, r_set].into_iter().flatten().collect();
            removed.sort();
            removed.dedup();
            removed.into_iter().rev().for_each(|at| {
                sets.remove(at);
            });
            sets.insert(0, together);
        }
        sets
    }

    fn data_type(&self, column: ColumnId) -> datafusion::arrow::datatypes::DataType {
        self.relations[column.relation].plan.schema().field(column.index).data_type().clone()
    }
}

fn projected(columns: Vec<ColumnId>, projection: Option<&[usize]>) -> Vec<ColumnId> {
    projection.map_or_else(|| columns.clone(), |chosen| chosen.iter().map(|at| columns[*at]).collect())
}

/// The columns that a join's filter refers to by index.
fn filter_columns(filter: &JoinFilter, left: &[ColumnId], right: &[ColumnId]) -> Option<Vec<ColumnId>> {
    let one = |column: &datafusion::physical_plan::joins::utils::ColumnIndex| match column.side {
        JoinSide::Left => left.get(column.index).copied(),
        JoinSide::Right => right.get(column.index).copied(),
        JoinSide::None => None,
    };
    filter.column_indices().iter().map(one).collect()
}
