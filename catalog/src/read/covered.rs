//! Files for all of whose rows a condition holds, by what the manifests say: they can be taken out of the table unread.

use std::collections::{BTreeSet, HashSet};

use datafusion::logical_expr::Expr;
use iceberg::spec::{DataFile, PrimitiveType, Schema};

use super::evolved::is_of_one_type;
use super::predicate::{decided_by_partition, exact_predicate};
use super::provider::IcebergTable;
use super::scan::{prune, prune_by};
use crate::error::Result;

/// The numbers of such files among those that the table reads; all of them if there is no condition.
pub(super) async fn files_covered(table: &IcebergTable, condition: Option<&Expr>) -> Result<Vec<usize>> {
    let all = table.numbered_files().await?;
    let numbers = |files: Vec<(usize, _)>| files.into_iter().map(|(number, _)| number).collect::<Vec<usize>>();
    let Some(condition) = condition else { return Ok(numbers(all)) };
    let metadata = table.table().metadata();
    let may_match = prune(table, all, std::slice::from_ref(condition)).await?;
    let schema = table.columns();
    if !is_of_one_type(condition, metadata, schema) {
        return Ok(Vec::new());
    }
    if decided_by_partition(condition, metadata, schema) {
        return Ok(numbers(may_match));
    }
    let Some(predicate) = exact_predicate(condition, schema) else { return Ok(Vec::new()) };
    let columns: BTreeSet<&str> = condition.column_refs().into_iter().map(|c| c.name.as_str()).collect();
    // Where no row can fit the opposite, every row fits: if there is a value at all, which can be compared.
    let may_differ = prune_by(table, may_match.clone(), !predicate).await?;
    let may_differ: HashSet<usize> = may_differ.into_iter().map(|(number, _)| number).collect();
    let is_covered = |(number, file): &(usize, std::sync::Arc<crate::files::LiveFile>)| {
        !may_differ.contains(number) && columns.iter().all(|name| has_only_values(&file.data_file, schema, name))
    };
    Ok(numbers(may_match.into_iter().filter(is_covered).collect()))
}

/// Whether no row of the file has NULL or NaN in the column.
fn has_only_values(file: &DataFile, schema: &Schema, column: &str) -> bool {
    let Some(field) = schema.field_by_name(column) else { return false };
    let none = |counts: &std::collections::HashMap<i32, u64>| counts.get(&field.id) == Some(&0);
    let is_float = matches!(field.field_type.as_primitive_type(), Some(PrimitiveType::Float | PrimitiveType::Double));
    (field.required || none(file.null_value_counts())) && (!is_float || none(file.nan_value_counts()))
}
