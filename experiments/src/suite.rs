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

macro_rules! suite {
    ($suite:literal, $($name:literal),*) => {
        Self {
            name: $suite.to_string(),
            queries: vec![$(Query {
                name: $name.to_string(),
                sql: include_str!(concat!("../suites/", $suite, "/", $name, ".sql")).trim().to_string(),
            }),*],
        }
    };
}

impl Suite {
    /// The 22 queries of TPC-H over the tables of namespace `tpch`, with the specification's validation parameters for
    /// scale factor 1.
    pub fn tpch() -> Self {
        suite!(
            "tpch", "q01", "q02", "q03", "q04", "q05", "q06", "q07", "q08", "q09", "q10", "q11", "q12", "q13", "q14",
            "q15", "q16", "q17", "q18", "q19", "q20", "q21", "q22"
        )
    }

    /// Twenty queries of a shop's analyst, over the tables of the generator in June 2024. Their SQL is that of all
    /// engines with which Bergmill is compared.
    pub fn shop() -> Self {
        suite!(
            "shop",
            "daily_sales",
            "category_prices",
            "hourly_traffic",
            "conversion",
            "most_viewed",
            "top_searches",
            "campaigns",
            "missing_values",
            "duplicates",
            "funnel",
            "active_users",
            "repeat_buyers",
            "moving_average",
            "segment_sales",
            "unsold_products",
            "review_topics",
            "best_rated",
            "one_evening",
            "one_product",
            "product_history"
        )
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
    fn suites_have_their_queries_and_select_from_them() {
        assert_eq!((Suite::tpch().queries.len(), Suite::shop().queries.len()), (22, 20));
        let one = Suite::tpch().only(&["q06".to_string()]).unwrap();
        assert_eq!(one.queries.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), ["q06"]);
        let e = Suite::tpch().only(&["q23".to_string()]).unwrap_err().to_string();
        assert!(e.contains("q23") && e.contains("q22"), "{e}");
    }
}
