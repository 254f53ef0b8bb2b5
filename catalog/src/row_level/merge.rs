//! `MERGE INTO` as a row change.

use std::collections::BTreeSet;

use datafusion::error::Result;
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind, MergeIntoOp};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{DmlStatement, Expr};

use super::target::Target;
use super::{Affected, Clause, InsertClause, Inserted, RowChange, Rows, Statement};
use crate::error::{Error, ErrorKind};
use crate::read::IcebergTable;

pub(super) fn merge(statement: &DmlStatement, merge: &MergeIntoOp, table: &IcebergTable) -> Result<RowChange> {
    let target = Target::new(table, statement.table_name.clone(), None);
    let source = statement.input.as_ref();
    let on = &merge.on;
    let (mut matched, mut unmatched, mut inserts) = (Vec::new(), Vec::new(), Vec::new());
    for clause in &merge.clauses {
        match clause.kind {
            MergeIntoClauseKind::Matched => matched.push(change(clause)?),
            MergeIntoClauseKind::NotMatchedBySource => unmatched.push(change(clause)?),
            MergeIntoClauseKind::NotMatched | MergeIntoClauseKind::NotMatchedByTarget => {
                inserts.push(InsertClause { condition: clause.predicate.clone(), values: values(clause, &target)? });
            }
        }
    }
    // `NOT MATCHED BY SOURCE` depends on every row of the table.
    let filters = match unmatched.is_empty() {
        true => of_target(on, statement),
        false => Vec::new(),
    };
    let mut affected = Vec::new();
    if !matched.is_empty() {
        let rows = Rows::MatchedBy { source: source.clone(), on: on.clone() };
        affected.push(Affected { rows, clauses: matched });
    }
    if !unmatched.is_empty() {
        let rows = Rows::NotMatchedBy { source: source.clone(), on: on.clone() };
        affected.push(Affected { rows, clauses: unmatched });
    }
    let inserted = (!inserts.is_empty()).then(|| Inserted { source: source.clone(), on: on.clone(), clauses: inserts });
    Ok(RowChange { target, statement: Statement::Merge, affected, inserted, filters })
}

fn change(clause: &MergeIntoClause) -> Result<Clause> {
    let update = match &clause.action {
        MergeIntoAction::Update(values) => Some(values.clone()),
        MergeIntoAction::Delete => None,
        MergeIntoAction::Insert { .. } => {
            return Err(invalid(
                "INSERT is only allowed in WHEN NOT MATCHED: an existing row can be updated or deleted",
            ));
        }
    };
    Ok(Clause { condition: clause.predicate.clone(), update })
}

fn values(clause: &MergeIntoClause, target: &Target) -> Result<Vec<(String, Expr)>> {
    let MergeIntoAction::Insert { columns, values } = &clause.action else {
        return Err(invalid("WHEN NOT MATCHED only allows INSERT: there is no row to update or delete"));
    };
    let names: Vec<String> = match columns.is_empty() {
        true => target.fields().iter().map(|f| f.name().clone()).collect(),
        false => columns.clone(),
    };
    Ok(names.into_iter().zip(values.iter().cloned()).collect())
}

/// The conjuncts of `ON` that refer to the table alone.
fn of_target(on: &Expr, statement: &DmlStatement) -> Vec<Expr> {
    let is_of_target = |e: &&Expr| {
        let columns: BTreeSet<_> = e.column_refs().into_iter().collect();
        let is_its = |c: &&datafusion::common::Column| c.relation.as_ref() == Some(&statement.table_name);
        !columns.is_empty() && columns.iter().all(is_its)
    };
    split_conjunction(on).into_iter().filter(is_of_target).cloned().collect()
}

fn invalid(what: &str) -> datafusion::error::DataFusionError {
    Error::new(ErrorKind::Invalid, format!("MERGE: {what}")).into()
}
