//! Questions that are measured together.

use crate::error::{Error, Result};

/// A question: a query with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Short name, as `q01`.
    pub name: String,
    /// The query.
    pub sql: String,
}

/// A list of questions, over tables that the suite names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// The suite's name.
    pub name: String,
    /// Its questions, in the order they are asked.
    pub questions: Vec<Question>,
}

macro_rules! tpch_questions {
    ($($name:literal),*) => {
        vec![$(Question {
            name: $name.to_string(),
            sql: include_str!(concat!("../suites/tpch/", $name, ".sql")).to_string(),
        }),*]
    };
}

impl Suite {
    /// The 22 queries of TPC-H over the tables of namespace `tpch`, with the parameters that its specification gives for
    /// validation at scale factor 1.
    pub fn tpch() -> Self {
        let questions = tpch_questions!(
            "q01", "q02", "q03", "q04", "q05", "q06", "q07", "q08", "q09", "q10", "q11", "q12", "q13", "q14", "q15",
            "q16", "q17", "q18", "q19", "q20", "q21", "q22"
        );
        Self { name: "tpch".to_string(), questions }
    }

    /// Only the named questions; all when none is named.
    pub fn only(mut self, names: &[String]) -> Result<Self> {
        let known: Vec<_> = self.questions.iter().map(|q| q.name.as_str()).collect();
        if let Some(name) = names.iter().find(|n| !known.contains(&n.as_str())) {
            let (name, suite, known) = (name.clone(), self.name.clone(), known.join(", "));
            return Err(Error::UnknownQuestion { name, suite, known });
        }
        self.questions.retain(|q| names.is_empty() || names.contains(&q.name));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tpch_has_its_questions_and_picks_from_them() {
        assert_eq!(Suite::tpch().questions.len(), 22);
        let one = Suite::tpch().only(&["q06".to_string()]).unwrap();
        assert_eq!(one.questions.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), ["q06"]);
        let e = Suite::tpch().only(&["q23".to_string()]).unwrap_err().to_string();
        assert!(e.contains("q23") && e.contains("q22"), "{e}");
    }
}
