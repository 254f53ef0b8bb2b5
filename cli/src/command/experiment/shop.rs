//! The shop whose tables an experiment reads.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow::util::display::array_value_to_string;
use bergmill_gateway::Client;
use bergmill_generator::{Shop, ShopParams};
use chrono::NaiveDate;
use futures::TryStreamExt;

use crate::cluster::Target;
use crate::command::demo;
use crate::progress::Display;

/// Events per review.
const EVENTS_PER_REVIEW: u64 = 20;

/// Where the tables are.
#[derive(Debug, clap::Args)]
pub(super) struct ShopFolder {
    /// Configuration file (TOML) with a section named like the experiment; flags override it. The processes of the
    /// clusters read it as well
    #[arg(long, env = "BERGMILL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the shop's tables, which are generated if they are missing [default: data in the folder of --out]
    #[arg(long, env = "BERGMILL_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl ShopFolder {
    /// The folder of the tables, for a run whose results go to `out`.
    pub(super) fn data(&self, out: &Path) -> PathBuf {
        self.data.clone().unwrap_or_else(|| out.join("data"))
    }

    /// Fills the tables in a folder with this many events in as many days, unless it has a shop. Returns the last day.
    pub(super) async fn fill(&self, data: &Path, events: u64, days: u32) -> Result<NaiveDate> {
        let connected = Target::in_folder(data.to_path_buf(), self.config.clone()).open().await?;
        let known = "SELECT 1 FROM information_schema.tables WHERE table_schema = 'raw' AND table_name = 'users'";
        if first(&connected.client, known).await?.is_none() {
            let params = ShopParams {
                events,
                reviews: events / EVENTS_PER_REVIEW,
                users: demo::users(events),
                days,
                ..ShopParams::default()
            };
            demo::fill(&Shop::new(params)?, &connected.client, &Display::new()).await?;
        }
        last_day(&connected.client).await.with_context(|| format!("folder {}", data.display()))
    }
}

/// The last day with events.
pub(super) async fn last_day(client: &Client) -> Result<NaiveDate> {
    let day = first(client, "SELECT CAST(CAST(max(timestamp) AS DATE) AS TEXT) FROM raw.shopping_events").await?;
    Ok(day.filter(|day| !day.is_empty()).context("raw.shopping_events has no rows")?.parse()?)
}

/// The first column of the first row of a query, as text.
async fn first(client: &Client, sql: &str) -> Result<Option<String>> {
    let batches: Vec<_> = client.query(sql).await?.try_collect().await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    Ok(Some(array_value_to_string(batch.column(0), 0)?))
}
