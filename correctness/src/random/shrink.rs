//! Reduces a failing case: removes every part of the query and of the tables that is not needed for the failure.
//!
//! Nothing here knows what is valid SQL. A reduced query that is invalid does not fail in the same way as the original,
//! so it is rejected.

use std::time::Instant;

use anyhow::Result;

use super::print::{Dialect, sql};
use super::query::{
    Aggregate, Body, Cte, Expr, Form, From, Group, Item, JoinKind, Key, Query, Select, Subquery, Window,
};
use super::schema::Table;
use super::value::Ty;

/// A query over tables.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub tables: Vec<Table>,
    pub query: Query,
}

/// Reduces the case as far as possible before the deadline. `fails` says whether a case still fails.
pub(crate) async fn shrink(
    mut case: Case,
    deadline: Instant,
    fails: &mut impl AsyncFnMut(&Case) -> Result<bool>,
) -> Result<Case> {
    loop {
        let before = size(&case);
        case = shrink_query(case, deadline, fails).await?;
        case = shrink_tables(case, deadline, fails).await?;
        if size(&case) >= before || Instant::now() >= deadline {
            return Ok(case);
        }
    }
}

fn size(case: &Case) -> usize {
    let cells: usize = case.tables.iter().map(|t| (t.rows.len() + 1) * t.columns.len()).sum();
    query_size(&case.query) + cells
}

fn query_size(query: &Query) -> usize {
    sql(query, Dialect::DataFusion).map_or(usize::MAX, |text| text.len())
}

async fn shrink_query(
    mut case: Case,
    deadline: Instant,
    fails: &mut impl AsyncFnMut(&Case) -> Result<bool>,
) -> Result<Case> {
    let mut first = 0;
    loop {
        let size = query_size(&case.query);
        let mut smaller = case.query.smaller();
        smaller.retain(|q| query_size(q) < size);
        smaller.sort_by_key(query_size);
        // After a success, continue from there: earlier attempts would mostly fail again, and are repeated at the end.
        let count = smaller.len();
        let mut found = None;
        for n in 0..count {
            if Instant::now() >= deadline {
                return Ok(case);
            }
            let index = (first + n) % count;
            let candidate = Case { tables: case.tables.clone(), query: smaller[index].clone() };
            if fails(&candidate).await? {
                found = Some((index, candidate));
                break;
            }
        }
        let Some((index, smaller)) = found else { return Ok(case) };
        (first, case) = (index, smaller);
    }
}

async fn shrink_tables(
    mut case: Case,
    deadline: Instant,
    fails: &mut impl AsyncFnMut(&Case) -> Result<bool>,
) -> Result<Case> {
    for n in (0..case.tables.len()).rev() {
        let mut candidate = case.clone();
        candidate.tables.remove(n);
        case = kept(case, candidate, deadline, fails).await?;
    }
    for n in 0..case.tables.len() {
        case = shrink_rows(case, n, deadline, fails).await?;
        for column in (0..case.tables[n].columns.len()).rev() {
            let mut candidate = case.clone();
            let table = &mut candidate.tables[n];
            table.columns.remove(column);
            for row in &mut table.rows {
                row.remove(column);
            }
            if !table.columns.is_empty() {
                case = kept(case, candidate, deadline, fails).await?;
            }
        }
        if case.tables[n].partitioning.is_some() {
            let mut candidate = case.clone();
            candidate.tables[n].partitioning = None;
            case = kept(case, candidate, deadline, fails).await?;
        }
        if case.tables[n].pieces > 1 {
            let mut candidate = case.clone();
            candidate.tables[n].pieces = 1;
            case = kept(case, candidate, deadline, fails).await?;
        }
    }
    Ok(case)
}

async fn kept(
    case: Case,
    candidate: Case,
    deadline: Instant,
    fails: &mut impl AsyncFnMut(&Case) -> Result<bool>,
) -> Result<Case> {
    Ok(if Instant::now() < deadline && fails(&candidate).await? { candidate } else { case })
}

/// Removes halves, then quarters, and so on down to single rows.
async fn shrink_rows(
    mut case: Case,
    table: usize,
    deadline: Instant,
    fails: &mut impl AsyncFnMut(&Case) -> Result<bool>,
) -> Result<Case> {
    let mut part = case.tables[table].rows.len();
    while part > 0 {
        let mut start = 0;
        while start < case.tables[table].rows.len() {
            let mut candidate = case.clone();
            let rows = &mut candidate.tables[table].rows;
            let end = (start + part).min(rows.len());
            rows.drain(start..end);
            let left = rows.len();
            case = kept(case, candidate, deadline, fails).await?;
            if case.tables[table].rows.len() != left {
                start += part;
            }
        }
        part /= 2;
    }
    Ok(case)
}

/// A value that has smaller forms.
trait Smaller: Sized + Clone {
    fn smaller(&self) -> Vec<Self>;
}

/// The whole with one part replaced by each of its smaller forms.
fn inside<T: Clone, P: Smaller>(whole: &T, part: fn(&mut T) -> Option<&mut P>) -> Vec<T> {
    let mut copy = whole.clone();
    let Some(found) = part(&mut copy) else { return vec![] };
    let with = |smaller: P| {
        let mut copy = whole.clone();
        if let Some(target) = part(&mut copy) {
            *target = smaller;
        }
        copy
    };
    found.smaller().into_iter().map(with).collect()
}

/// The whole after an edit.
fn edited<T: Clone>(whole: &T, edit: impl FnOnce(&mut T)) -> T {
    let mut copy = whole.clone();
    edit(&mut copy);
    copy
}

/// Lists with one element less, or with a smaller element.
impl<T: Smaller> Smaller for Vec<T> {
    fn smaller(&self) -> Vec<Self> {
        let mut all: Vec<Self> = (0..self.len()).map(|n| edited(self, |list| drop(list.remove(n)))).collect();
        for (n, element) in self.iter().enumerate() {
            all.extend(element.smaller().into_iter().map(|e| edited(self, |list| list[n] = e)));
        }
        all
    }
}

impl<T: Smaller> Smaller for Option<T> {
    fn smaller(&self) -> Vec<Self> {
        let Some(inner) = self else { return vec![] };
        let mut all = vec![None];
        all.extend(inner.smaller().into_iter().map(Some));
        all
    }
}

impl<T: Smaller> Smaller for Box<T> {
    fn smaller(&self) -> Vec<Self> {
        self.as_ref().smaller().into_iter().map(Box::new).collect()
    }
}

impl Smaller for Query {
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        // A part instead of the whole.
        match &self.body {
            Body::Set { left, right, .. } => {
                for side in [left, right] {
                    all.push(edited(side.as_ref(), |q| q.ctes.extend(self.ctes.iter().cloned())));
                }
            }
            Body::Select(select) => {
                for inner in subqueries(select.from.as_ref()) {
                    all.push(edited(inner, |q| q.ctes.extend(self.ctes.iter().cloned())));
                }
            }
        }
        if !self.order.is_empty() {
            all.push(edited(self, |q| (q.order, q.limit) = (vec![], None)));
            all.push(edited(self, |q| q.order.clear()));
        }
        if self.limit.is_some() {
            all.push(edited(self, |q| q.limit = None));
        }
        all.extend(inside(self, |q| Some(&mut q.ctes)));
        all.extend(inside(self, |q| Some(&mut q.order)));
        all.extend(inside(self, |q| match &mut q.body {
            Body::Select(select) => Some(select),
            Body::Set { .. } => None,
        }));
        if let Body::Set { is_all: false, .. } = &self.body {
            all.push(edited(self, |q| {
                if let Body::Set { is_all, .. } = &mut q.body {
                    *is_all = true;
                }
            }));
        }
        all.extend(inside(self, |q| match &mut q.body {
            Body::Set { left, .. } => Some(left),
            Body::Select(_) => None,
        }));
        all.extend(inside(self, |q| match &mut q.body {
            Body::Set { right, .. } => Some(right),
            Body::Select(_) => None,
        }));
        all
    }
}

fn subqueries(from: Option<&From>) -> Vec<&Query> {
    match from {
        Some(From::Query { query, .. }) => vec![query],
        Some(From::Join { left, right, .. }) => {
            let mut all = subqueries(Some(left));
            all.extend(subqueries(Some(right)));
            all
        }
        Some(From::Table { .. }) | None => vec![],
    }
}

impl Smaller for Cte {
    fn smaller(&self) -> Vec<Self> {
        let mut all = inside(self, |c| Some(&mut c.query));
        if self.is_recursive {
            all.push(edited(self, |c| c.is_recursive = false));
        }
        all
    }
}

impl Smaller for Select {
    fn smaller(&self) -> Vec<Self> {
        let mut all = vec![edited(self, |s| (s.filter, s.having) = (None, None))];
        if self.is_distinct {
            all.push(edited(self, |s| s.is_distinct = false));
        }
        all.extend(inside(self, |s| Some(&mut s.from)));
        all.extend(inside(self, |s| Some(&mut s.items)));
        all.extend(inside(self, |s| Some(&mut s.filter)));
        all.extend(inside(self, |s| Some(&mut s.group)));
        all.extend(inside(self, |s| Some(&mut s.having)));
        all.retain(|s| !s.items.is_empty());
        all
    }
}

impl Smaller for Item {
    fn smaller(&self) -> Vec<Self> {
        inside(self, |i| Some(&mut i.expr))
    }
}

impl Smaller for Key {
    fn smaller(&self) -> Vec<Self> {
        inside(self, |k| Some(&mut k.expr))
    }
}

impl Smaller for Group {
    fn smaller(&self) -> Vec<Self> {
        match self {
            Group::By(keys) => keys.smaller().into_iter().filter(|k| !k.is_empty()).map(Group::By).collect(),
            Group::Rollup(keys) | Group::Cube(keys) => {
                let is_rollup = matches!(self, Group::Rollup(_));
                let mut all = vec![Group::By(keys.clone())];
                let smaller = keys.smaller().into_iter().filter(|k| !k.is_empty());
                all.extend(smaller.map(if is_rollup { Group::Rollup } else { Group::Cube }));
                all
            }
            Group::Sets(sets) => {
                let mut all: Vec<Group> = sets.iter().filter(|s| !s.is_empty()).cloned().map(Group::By).collect();
                all.extend(sets.smaller().into_iter().filter(|s| !s.is_empty()).map(Group::Sets));
                all
            }
        }
    }
}

impl Smaller for From {
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        if let From::Join { kind, left, right, .. } = self {
            all.push(left.as_ref().clone());
            all.push(right.as_ref().clone());
            for simpler in [JoinKind::Inner, JoinKind::Left] {
                if *kind != simpler && *kind != JoinKind::Cross {
                    all.push(edited(self, |f| {
                        if let From::Join { kind, .. } = f {
                            *kind = simpler;
                        }
                    }));
                }
            }
        }
        all.extend(inside(self, |f| match f {
            From::Join { left, .. } => Some(left),
            _ => None,
        }));
        all.extend(inside(self, |f| match f {
            From::Join { right, .. } => Some(right),
            _ => None,
        }));
        all.extend(inside(self, |f| match f {
            From::Join { on: Some(on), .. } => Some(on),
            _ => None,
        }));
        all.extend(inside(self, |f| match f {
            From::Query { query, .. } => Some(query),
            _ => None,
        }));
        all
    }
}

impl Smaller for Expr {
    fn smaller(&self) -> Vec<Self> {
        let mut all: Vec<Expr> = shortest(self.ty).iter().map(|text| Expr::literal(self.ty, *text)).collect();
        let is_literal = matches!(self.form, Form::Literal(_));
        all.retain(|e| {
            !is_literal || matches!((&e.form, &self.form), (Form::Literal(a), Form::Literal(b)) if a.len() < b.len())
        });
        all.extend(self.children());
        all.extend(inside(self, |e| Some(&mut e.form)));
        all
    }
}

fn shortest(ty: Ty) -> &'static [&'static str] {
    match ty {
        Ty::Bool => &["TRUE", "FALSE"],
        Ty::Int | Ty::BigInt => &["1", "NULL"],
        Ty::Text => &["''", "NULL"],
        _ => &["NULL"],
    }
}

impl Expr {
    /// Operands that can replace the whole.
    fn children(&self) -> Vec<Expr> {
        let mut all: Vec<Expr> = match &self.form {
            Form::Template(_, operands) => operands.clone(),
            Form::Cast(inner) => vec![inner.as_ref().clone()],
            Form::Case { when, otherwise } => when
                .iter()
                .flat_map(|(c, v)| [v.clone(), c.clone()])
                .chain(otherwise.iter().map(|o| o.as_ref().clone()))
                .collect(),
            Form::Aggregate(aggregate) => aggregate.arguments.clone(),
            Form::Window(window) => window.arguments.clone(),
            Form::Subquery(..) | Form::InList { .. } | Form::Column { .. } | Form::Literal(_) => vec![],
        };
        let is_whole = |ty| matches!(ty, Ty::Int | Ty::BigInt);
        all.retain(|e| e.ty == self.ty || (is_whole(e.ty) && is_whole(self.ty)) || matches!(self.form, Form::Cast(_)));
        all
    }
}

impl Smaller for Form {
    fn smaller(&self) -> Vec<Self> {
        match self {
            Form::Column { .. } | Form::Literal(_) => vec![],
            // The template determines the number of operands.
            Form::Template(template, operands) => {
                let with = |(n, smaller)| Form::Template(*template, edited(operands, |o| o[n] = smaller));
                let each = operands.iter().enumerate();
                each.flat_map(|(n, o)| o.smaller().into_iter().map(move |s| (n, s))).map(with).collect()
            }
            Form::Cast(inner) => inner.smaller().into_iter().map(Form::Cast).collect(),
            Form::Case { when, otherwise } => {
                let shorter = when.smaller().into_iter().filter(|w| !w.is_empty());
                let mut all: Vec<Form> =
                    shorter.map(|when| Form::Case { when, otherwise: otherwise.clone() }).collect();
                all.extend(
                    otherwise.smaller().into_iter().map(|otherwise| Form::Case { when: when.clone(), otherwise }),
                );
                all
            }
            Form::InList { list, .. } => {
                let shorter = list.smaller().into_iter().filter(|l| !l.is_empty());
                let mut all: Vec<Form> = shorter
                    .map(|shorter| {
                        edited(self, |f| {
                            if let Form::InList { list, .. } = f {
                                *list = shorter;
                            }
                        })
                    })
                    .collect();
                all.extend(inside(self, |f| match f {
                    Form::InList { value, .. } => Some(value),
                    _ => None,
                }));
                all
            }
            Form::Subquery(subquery, query) => {
                let mut all: Vec<Form> =
                    query.smaller().into_iter().map(|q| Form::Subquery(subquery.clone(), q)).collect();
                if let Subquery::In { value, is_negated } = subquery {
                    let with = |value| Form::Subquery(Subquery::In { value, is_negated: *is_negated }, query.clone());
                    all.extend(value.smaller().into_iter().map(with));
                }
                all
            }
            Form::Aggregate(aggregate) => aggregate.smaller().into_iter().map(Form::Aggregate).collect(),
            Form::Window(window) => window.smaller().into_iter().map(Form::Window).collect(),
        }
    }
}

impl Smaller for (Expr, Expr) {
    fn smaller(&self) -> Vec<Self> {
        let mut all: Vec<Self> = self.0.smaller().into_iter().map(|condition| (condition, self.1.clone())).collect();
        all.extend(self.1.smaller().into_iter().map(|value| (self.0.clone(), value)));
        all
    }
}

impl Smaller for Aggregate {
    fn smaller(&self) -> Vec<Self> {
        let mut all = vec![];
        if self.is_distinct {
            all.push(edited(self, |a| a.is_distinct = false));
        }
        all.extend(inside(self, |a| Some(&mut a.filter)));
        all.extend(inside(self, |a| Some(&mut a.order)));
        all.extend(inside(self, |a| Some(&mut a.arguments)));
        all
    }
}

impl Smaller for Window {
    fn smaller(&self) -> Vec<Self> {
        let mut all = vec![];
        if self.is_ignoring_nulls {
            all.push(edited(self, |w| w.is_ignoring_nulls = false));
        }
        if self.frame.is_some() {
            all.push(edited(self, |w| w.frame = None));
        }
        all.extend(inside(self, |w| Some(&mut w.partition)));
        all.extend(inside(self, |w| Some(&mut w.order)));
        all.extend(inside(self, |w| Some(&mut w.arguments)));
        all
    }
}

#[cfg(test)]
mod tests;
