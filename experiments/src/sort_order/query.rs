//! The queries: all events, those of an hour, of a product, and of a product within an hour.

use bergmill_gateway::Client;

use crate::cluster::texts;
use crate::error::{Error, Result};

/// A query of each table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub name: &'static str,
    /// Its condition; none of [`ALL`].
    condition: Option<String>,
}

/// The query without a condition. What it reads is what others could have read.
pub(super) const ALL: &str = "all events";
pub(super) const HOUR: &str = "one hour";
pub(super) const PRODUCT: &str = "one product";
pub(super) const BOTH: &str = "one product in one hour";

/// A product of middling popularity.
const MIDDLING: &str = "SELECT product_id FROM (
    SELECT product_id, row_number() OVER (ORDER BY events, product_id) AS rank, count(*) OVER () AS products
    FROM (SELECT product_id, count(*) AS events FROM raw.shopping_events WHERE product_id IS NOT NULL GROUP BY 1)
) WHERE rank = (products + 1) / 2";

impl Query {
    /// The query of a table.
    pub(super) fn sql(&self, table: &str) -> String {
        let filter = self.condition.as_ref().map_or(String::new(), |condition| format!(" WHERE {condition}"));
        format!(
            "SELECT count(*) AS events, count(product_id) AS of_products, count(DISTINCT user_id) AS users,
    sum(price * quantity) AS amount, min(timestamp) AS first, max(timestamp) AS last
FROM {table}{filter}"
        )
    }
}

/// The queries, for a product and an hour of the shop: that in which the product has most events.
pub(super) async fn queries(client: &Client) -> Result<Vec<Query>> {
    let product = only(client, MIDDLING).await?;
    let busiest = |bound: &str| {
        format!(
            "SELECT CAST({bound} AS TEXT) FROM (
    SELECT date_trunc('hour', timestamp) AS hour, count(*) AS events
    FROM raw.shopping_events WHERE product_id = '{product}' GROUP BY 1
) ORDER BY events DESC, hour LIMIT 1"
        )
    };
    let (from, to) = (only(client, &busiest("hour")).await?, only(client, &busiest("hour + INTERVAL '1 hour'")).await?);
    let product = format!("product_id = '{product}'");
    let hour = format!("timestamp >= TIMESTAMP '{from}' AND timestamp < TIMESTAMP '{to}'");
    Ok(vec![
        Query { name: ALL, condition: None },
        Query { name: HOUR, condition: Some(hour.clone()) },
        Query { name: PRODUCT, condition: Some(product.clone()) },
        Query { name: BOTH, condition: Some(format!("{product} AND {hour}")) },
    ])
}

async fn only(client: &Client, sql: &str) -> Result<String> {
    let found = texts(client, sql).await?.into_iter().next();
    found.ok_or_else(|| Error::NoData("raw.shopping_events has no events of products".to_string()))
}
