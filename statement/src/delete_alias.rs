//! `DELETE FROM t AS x WHERE ...`. DataFusion's planner drops the alias of a `DELETE`, so the rows to delete are
//! expressed as the query `SELECT * FROM t AS x WHERE ...`, which keeps the meaning of every condition.

use sqlparser::ast::{Delete, FromTable, ObjectName, Query, SetExpr, Statement, TableFactor, TableWithJoins};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::Result;
use crate::token_reader::TokenReader;

/// A `DELETE` with an alias for the table.
#[derive(Debug, Clone, PartialEq)]
pub struct AliasedDelete {
    /// The table.
    pub table: ObjectName,
    /// The query that selects all columns of the rows to delete.
    pub rows: Box<Query>,
}

impl AliasedDelete {
    /// The statement as an aliased `DELETE`; `None` if it is not one, or has a clause that DataFusion refuses.
    ///
    /// # Errors
    /// None that a statement can cause.
    pub fn of(statement: &Statement) -> Result<Option<Self>> {
        let Statement::Delete(delete) = statement else { return Ok(None) };
        let Delete { tables, from, using, selection, returning, output, order_by, limit, optimizer_hints, .. } = delete;
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
        let [TableWithJoins { relation: TableFactor::Table { name, alias: Some(_), .. }, joins }] = from.as_slice()
        else {
            return Ok(None);
        };
        let is_plain = tables.is_empty() && joins.is_empty() && order_by.is_empty() && optimizer_hints.is_empty();
        let has_other = using.is_some() || returning.is_some() || output.is_some() || limit.is_some();
        if !is_plain || has_other {
            return Ok(None);
        }
        let mut rows = select_all()?;
        if let SetExpr::Select(select) = rows.body.as_mut() {
            (select.from, select.selection) = (from.clone(), selection.clone());
        }
        Ok(Some(Self { table: name.clone(), rows }))
    }
}

/// `SELECT *`.
fn select_all() -> Result<Box<Query>> {
    let tokens = [Token::make_keyword("SELECT"), Token::Mul];
    TokenReader::of(tokens.map(TokenWithSpan::wrap).into()).parse("SELECT *", Parser::parse_query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{self, parse};

    #[test]
    fn the_rows_to_delete_are_a_query() {
        let check = |sql: &str, expected: Option<(&str, &str)>| {
            let Ok(parse::Statement::Sql(parsed)) = parse(sql) else { panic!("{sql}") };
            let delete = AliasedDelete::of(&parsed.tree).unwrap();
            let delete = delete.map(|d| (d.table.to_string(), d.rows.to_string()));
            assert_eq!(delete.as_ref().map(|(t, r)| (t.as_str(), r.as_str())), expected, "{sql}");
        };
        let rows = "SELECT * FROM raw.t AS x WHERE x.id > (SELECT max(id) FROM u)";
        check("DELETE FROM raw.t AS x WHERE x.id > (SELECT max(id) FROM u)", Some(("raw.t", rows)));
        check("DELETE FROM t x", Some(("t", "SELECT * FROM t x")));
        check("DELETE FROM raw.t WHERE id = 1", None);
        check("DELETE FROM t x USING u WHERE x.a = u.a", None);
        check("DELETE FROM t x WHERE x.a = 1 LIMIT 3", None);
        check("SELECT * FROM t x", None);
    }
}
