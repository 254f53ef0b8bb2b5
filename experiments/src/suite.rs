//! Suites of queries.

use crate::error::{Error, Result};

/// A named query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Short name, for example `q01`.
    pub name: String,
    /// The query.
    pub sql: String,
}

/// A named list of queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// The suite's name.
    pub name: String,
    /// Its queries, in the order in which they run.
    pub queries: Vec<Query>,
}

macro_rules! tpch_queries {
    ($($name:literal),*) => {
        vec![$(Query {
            name: $name.to_string(),
            sql: include_str!(concat!("../suites/tpch/", $name, ".sql")).to_string(),
        }),*]
    };
}

impl Suite {
    /// The 22 queries of TPC-H over the tables of namespace `tpch`, with the specification's validation parameters for
    /// scale factor 1.
    pub fn tpch() -> Self {
        let queries = tpch_queries!(
            "q01", "q02", "q03", "q04", "q05", "q06", "q07", "q08", "q09", "q10", "q11", "q12", "q13", "q14", "q15",
            "q16", "q17", "q18", "q19", "q20", "q21", "q22"
        );
        Self { name: "tpch".to_string(), queries }
    }

    /// Keeps only the named queries, or all if `names` is empty.
    pub fn only(mut self, names: &[String]) -> Result<Self> {
        let known: Vec<_> = self.queries.iter().map(|q| q.name.as_str()).collect();
        if let Some(name) = names.iter().find(|n| !known.contains(&n.as_str())) {
            let (name, suite, known) = (name.clone(), self.name.clone(), known.join(", "));
            return Err(Error::UnknownQuery { name, suite, known });
        }
        self.queries.retain(|q| names.is_empty() || names.contains(&q.name));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tpch_has_its_queries_and_selects_from_them() {
        assert_eq!(Suite::tpch().queries.len(), 22);
        let one = Suite::tpch().only(&["q06".to_string()]).unwrap();
        assert_eq!(one.queries.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), ["q06"]);
        let e = Suite::tpch().only(&["q23".to_string()]).unwrap_err().to_string();
        assert!(e.contains("q23") && e.contains("q22"), "{e}");
    }
}
