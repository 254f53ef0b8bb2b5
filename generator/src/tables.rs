//! The shop's tables as `CREATE TABLE` statements, with partitioning and sort order.

/// A table of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShopTable {
    /// Name within its namespace.
    pub name: &'static str,
    /// The statement that creates it in namespace `raw`, if it does not exist.
    pub ddl: &'static str,
}

/// Events are written by as many tasks as there are cores, so that the most common event type is not left to one task.
const EVENTS: &str = "CREATE TABLE IF NOT EXISTS raw.shopping_events (
  event_id TEXT, event_type TEXT, user_id TEXT, product_id TEXT, category TEXT, price DECIMAL(10, 2), quantity INT,
  timestamp TIMESTAMP WITH TIME ZONE, session_id TEXT,
  device STRUCT<type TEXT, os TEXT, app_version TEXT>,
  context STRUCT<referrer TEXT, campaign STRUCT<id TEXT, name TEXT>>,
  search_query TEXT
) PARTITIONED BY (day(timestamp), event_type) SORTED BY (timestamp, product_id)
TBLPROPERTIES ('write.distribution-mode' = 'none')";

const REVIEWS: &str = "CREATE TABLE IF NOT EXISTS raw.reviews (
  review_id TEXT, product_id TEXT, user_id TEXT, rating INT, text TEXT, images TEXT[],
  created_at TIMESTAMP WITH TIME ZONE
) PARTITIONED BY (day(created_at)) SORTED BY (product_id, created_at)";

const PRODUCTS: &str = "CREATE TABLE IF NOT EXISTS raw.products (
  product_id TEXT, name TEXT, category TEXT, brand_id TEXT, price DECIMAL(10, 2), created_at TIMESTAMP WITH TIME ZONE
) SORTED BY (product_id)";

const USERS: &str = "CREATE TABLE IF NOT EXISTS raw.users (
  user_id TEXT, gender TEXT, age_group TEXT, region TEXT, segment TEXT, signup_at TIMESTAMP WITH TIME ZONE
) SORTED BY (user_id)";

const CATEGORIES: &str = "CREATE TABLE IF NOT EXISTS raw.categories (
  category TEXT, name_ko TEXT, parent TEXT, parent_name_ko TEXT, margin_rate DECIMAL(5, 4)
)";

const BRANDS: &str = "CREATE TABLE IF NOT EXISTS raw.brands (brand_id TEXT, name TEXT, country TEXT, category TEXT)";

/// All tables that a [`Shop`](crate::Shop) fills.
pub const TABLES: [ShopTable; 6] = [
    ShopTable { name: "shopping_events", ddl: EVENTS },
    ShopTable { name: "reviews", ddl: REVIEWS },
    ShopTable { name: "products", ddl: PRODUCTS },
    ShopTable { name: "users", ddl: USERS },
    ShopTable { name: "categories", ddl: CATEGORIES },
    ShopTable { name: "brands", ddl: BRANDS },
];
