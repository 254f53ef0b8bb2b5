//! The cheapest order of the joins of a graph.
//!
//! Up to [`EXHAUSTIVE`] relations, all orders without cross joins are compared by dynamic programming over connected
//! sets of relations, bushy ones included (Moerkotte and Neumann, "Analysis of Two Existing and One New Dynamic
//! Programming Algorithm for the Generation of Optimal Bushy Join Trees without Cross Products", VLDB 2006: DPsub).
//! Larger graphs join what returns the fewest rows first (Fegaras, "A New Heuristic for Optimizing Large Queries",
//! DEXA 1998). The cost is the number of rows that all joins return (C_out), and those that they hash.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::JoinType;

use super::graph::{ColumnId, Graph, Link, Set, Tree};
use crate::planner::cardinality::{ColumnEstimate, Estimate, estimate, filtered, joined, joined_rows, rows_of_type};

/// Relations for which all orders are compared.
const EXHAUSTIVE: usize = 10;
/// The cost of another order, relative to that of the statement, from which it is worth it: estimates are rough.
const WORTHWHILE: f64 = 0.9;

/// The best order of a set of relations that was found so far.
#[derive(Debug, Clone)]
struct Found {
    set: Set,
    cost: f64,
    rows: f64,
    /// Those by which relations are joined and filtered.
    columns: BTreeMap<ColumnId, ColumnEstimate>,
    tree: Tree,
}

/// The cheapest order; `None` if that of the statement remains.
pub(super) fn cheapest(graph: &Graph) -> Option<Tree> {
    let relations = leaves(graph)?;
    let written = cost_of(graph, &relations, &graph.written).map_or(f64::INFINITY, |found| found.cost);
    let found = if relations.len() <= EXHAUSTIVE { exhaustive(graph, relations) } else { greedy(graph, relations) }?;
    let is_worthwhile = found.cost < written * WORTHWHILE;
    tracing::debug!(written, cheapest = found.cost, is_worthwhile, order = %found.tree, "ordered joins");
    is_worthwhile.then_some(found.tree)
}

fn leaves(graph: &Graph) -> Option<Vec<Found>> {
    let mut interesting: BTreeSet<ColumnId> = graph.equal.iter().flatten().copied().collect();
    interesting.extend(graph.conditions.iter().flat_map(|condition| &condition.columns));
    for (relation, link) in graph.relations.iter().enumerate().filter_map(|(at, r)| Some((at, r.link.as_ref()?))) {
        for (column, index) in &link.on {
            interesting.extend([*column, ColumnId { relation, index: *index }]);
        }
    }
    let leaf = |relation: usize| {
        let known = estimate(graph.relations[relation].plan.as_ref())?;
        let columns = interesting.iter().filter(|column| column.relation == relation);
        let columns = columns.map(|column| (*column, known.columns[column.index])).collect();
        let found = Found { set: 1 << relation, cost: 0.0, rows: known.rows, columns, tree: Tree::Relation(relation) };
        let is_linked = graph.relations[relation].link.is_some();
        Some(if is_linked { found } else { with_conditions(graph, found, 0, 0) })
    };
    (0..graph.relations.len()).map(leaf).collect()
}

fn cost_of(graph: &Graph, relations: &[Found], tree: &Tree) -> Option<Found> {
    match tree {
        Tree::Relation(relation) => Some(relations[*relation].clone()),
        Tree::Join(left, right) => {
            join(graph, &cost_of(graph, relations, left)?, &cost_of(graph, relations, right)?, f64::INFINITY)
        }
    }
}

fn exhaustive(graph: &Graph, relations: Vec<Found>) -> Option<Found> {
    let all = (1usize << relations.len()) - 1;
    let mut best: Vec<Option<Found>> = vec![None; all + 1];
    relations.into_iter().enumerate().for_each(|(at, leaf)| best[1 << at] = Some(leaf));
    for set in 1..=all {
        // Each way to divide the set, once.
        let mut part = (set - 1) & set;
        while part > set ^ part {
            let bound = best[set].as_ref().map_or(f64::INFINITY, |found| found.cost);
            if let (Some(left), Some(right)) = (&best[part], &best[set ^ part])
                && let Some(found) = join(graph, left, right, bound)
            {
                // The same rows in any order, although estimates differ.
                match &mut best[set] {
                    Some(known) => {
                        let cost = found.cost - found.rows + known.rows;
                        if cost < known.cost {
                            (known.cost, known.tree) = (cost, found.tree);
                        }
                    }
                    none => *none = Some(found),
                }
            }
            part = (part - 1) & set;
        }
    }
    best.pop().flatten()
}

fn greedy(graph: &Graph, mut parts: Vec<Found>) -> Option<Found> {
    while parts.len() > 1 {
        let mut best: Option<(usize, usize, Found)> = None;
        for l in 0..parts.len() {
            for r in l + 1..parts.len() {
                if let Some(found) = join(graph, &parts[l], &parts[r], f64::INFINITY)
                    && best.as_ref().is_none_or(|(_, _, known)| found.rows < known.rows)
                {
                    best = Some((l, r, found));
                }
            }
        }
        let (l, r, found) = best?;
        parts.remove(r);
        parts[l] = found;
    }
    parts.pop()
}

/// Joins two sets of relations; `None` if that would be a cross join, cannot be done yet, or costs more than `bound`.
fn join(graph: &Graph, left: &Found, right: &Found, bound: f64) -> Option<Found> {
    let cost = left.cost + right.cost + left.rows.min(right.rows);
    if cost >= bound {
        return None;
    }
    let (found, before) = match (graph.link(left.set), graph.link(right.set)) {
        (None, None) => (inner(graph, left, right)?, (left.set, right.set)),
        (None, Some(link)) => (linked(link, left, right)?, (left.set, right.set)),
        (Some(link), None) => (linked(link, right, left)?, (right.set, left.set)),
        (Some(_), Some(_)) => return None,
    };
    let found = with_conditions(graph, found, before.0, before.1);
    Some(Found { cost: cost + found.rows, ..found })
}

fn inner(graph: &Graph, left: &Found, right: &Found) -> Option<Found> {
    let of = |found: &Found, set: &[ColumnId]| set.iter().find(|column| column.set() & found.set != 0).copied();
    let on: Vec<_> = graph.equal.iter().filter_map(|set| of(left, set).zip(of(right, set))).collect();
    if on.is_empty() {
        return None;
    }
    let pairs: Vec<_> = on.iter().map(|(l, r)| (left.columns[l], right.columns[r])).collect();
    let rows = joined_rows(left.rows, right.rows, &pairs);
    let mut columns = sampled(left, rows);
    columns.extend(sampled(right, rows));
    for set in &graph.equal {
        if let Some((l, r)) = of(left, set).zip(of(right, set)) {
            let (as_joined, _) = joined(columns[&l], columns[&r]);
            for column in set.iter().filter(|column| column.set() & (left.set | right.set) != 0) {
                let source_rows = columns[column].source_rows;
                columns.insert(*column, ColumnEstimate { source_rows, ..as_joined });
            }
        }
    }
    let tree = Tree::Join(Box::new(left.tree.clone()), Box::new(right.tree.clone()));
    Some(Found { set: left.set | right.set, cost: 0.0, rows, columns, tree })
}

/// Joins the relation of a link to the relations that it needs.
fn linked(link: &Link, left: &Found, right: &Found) -> Option<Found> {
    if link.needs & !left.set != 0 {
        return None;
    }
    let relation = right.set.trailing_zeros() as usize;
    let one = |(column, index): &(ColumnId, usize)| {
        (left.columns[column], right.columns[&ColumnId { relation, index: *index }])
    };
    let pairs: Vec<_> = link.on.iter().map(one).collect();
    let inner = joined_rows(left.rows, right.rows, &pairs);
    let rows = rows_of_type(link.join_type, left.rows, right.rows, inner, &pairs);
    let mut columns = sampled(left, rows);
    if link.join_type == JoinType::Left {
        columns.extend(sampled(right, rows).into_iter().map(|(id, column)| (id, column.outer(rows, inner))));
    }
    let tree = Tree::Join(Box::new(left.tree.clone()), Box::new(right.tree.clone()));
    Some(Found { set: left.set | right.set, cost: 0.0, rows, columns, tree })
}

fn sampled(found: &Found, rows: f64) -> BTreeMap<ColumnId, ColumnEstimate> {
    found.columns.iter().map(|(id, column)| (*id, column.sampled(found.rows, rows))).collect()
}

/// Applies the conditions that could not be applied to either of the two sets.
fn with_conditions(graph: &Graph, mut found: Found, left: Set, right: Set) -> Found {
    let before = found.rows;
    for condition in graph.new_conditions(found.set, left, right) {
        let columns = condition.columns.iter().map(|column| found.columns[column]).collect();
        found.rows = filtered(Estimate { rows: found.rows, columns }, &condition.expr).rows;
    }
    if found.rows < before {
        let before = Found { rows: before, ..found.clone() };
        found.columns = sampled(&before, found.rows);
    }
    found
}
