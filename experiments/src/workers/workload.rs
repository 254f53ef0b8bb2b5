//! What is measured: queries over the shop's events, and the jobs of a pipeline.

/// Something to do, with a result that can be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// A short name, also of files.
    pub name: String,
    /// Statements that make it possible, run once.
    pub setup: Vec<String>,
    /// What is timed.
    pub timed: Timed,
}

/// What is timed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timed {
    /// A query, until its last row has arrived.
    Query(String),
    /// Statements that write tables.
    Job {
        /// The statements, in order.
        statements: Vec<String>,
        /// Queries for what they have written.
        written: Vec<String>,
    },
}

impl Timed {
    /// The statements.
    pub(super) fn statements(&self) -> &[String] {
        match self {
            Self::Query(sql) => std::slice::from_ref(sql),
            Self::Job { statements, .. } => statements,
        }
    }
}

/// Conversions and distinct sessions by hour and event type.
const AGGREGATION: &str = "SELECT date_part('hour', timestamp) AS hour, event_type, count(*) AS events,
    count(DISTINCT session_id) AS sessions, sum(price * quantity) AS amount
FROM raw.shopping_events GROUP BY 1, 2";

/// Events of known users and products by the properties of both.
const JOIN: &str = "SELECT p.category, u.age_group, u.segment, count(*) AS events,
    sum(CASE WHEN e.event_type = 'purchase' THEN e.price * e.quantity END) AS amount
FROM raw.shopping_events e JOIN raw.products p USING (product_id) JOIN raw.users u USING (user_id)
GROUP BY 1, 2, 3";

/// A moving average over the last ten events of each product.
const WINDOW: &str = "SELECT category, count(*) AS events, avg(average) AS average, max(average) AS highest FROM (
    SELECT category, avg(CAST(price AS DOUBLE)) OVER (
        PARTITION BY product_id ORDER BY timestamp, event_id ROWS BETWEEN 9 PRECEDING AND CURRENT ROW
    ) AS average FROM raw.shopping_events WHERE product_id IS NOT NULL
) GROUP BY 1";

/// An aggregation, a join and a moving average over the shop's tables.
pub fn queries() -> Vec<Workload> {
    let query = |name: &str, sql: &str| Workload {
        name: name.to_string(),
        setup: Vec::new(),
        timed: Timed::Query(sql.to_string()),
    };
    vec![query("aggregation", AGGREGATION), query("join", JOIN), query("window", WINDOW)]
}
