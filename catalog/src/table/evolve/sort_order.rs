//! Sort orders from the terms of a statement.

use bergmill_statement::SortTerm;
use iceberg::spec::{Schema, SortField, SortOrder};

use super::find_source;
use crate::error::{Error, ErrorKind, Result};
use crate::statement_types::{null_order, sort_direction, transform};

/// The sort order of these terms over the columns of `schema`; `clause` names the clause in errors.
pub(crate) fn sort_order(terms: &[SortTerm], schema: &Schema, clause: &str) -> Result<SortOrder> {
    if terms.is_empty() {
        return Ok(SortOrder::unsorted_order());
    }
    let mut order = SortOrder::builder();
    for SortTerm { term, direction, nulls } in terms {
        let source_id = find_source(schema, &term.column, clause)?.id;
        let (direction, null_order) = (sort_direction(*direction), null_order(*nulls));
        order.with_sort_field(SortField { source_id, transform: transform(term.transform), direction, null_order });
    }
    let built = order.with_order_id(1).build(schema);
    built.map_err(|e| Error::new(ErrorKind::Invalid, clause).with_source(e))
}
