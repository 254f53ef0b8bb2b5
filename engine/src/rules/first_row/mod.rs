//! One row per key: `ROW_NUMBER() OVER (PARTITION BY key ORDER BY ...)` of which only row 1 is wanted.
//!
//! That is how SQL says "drop duplicates" and "the latest of each". DataFusion answers it by sorting all rows by key. To
//! keep one row per key it is enough to remember the best row seen of each, which is what [`FirstRowExec`] does: a hash
//! table instead of a sort. [`KeepFirstRow`] finds such queries. When memory runs out the operator sorts after all.
mod exec;
mod node;

pub(crate) use exec::FirstRowExec;
pub(crate) use node::{FirstRow, KeepFirstRow};
