//! `bergmill experiment sort-order`.

use anyhow::Result;
use bergmill_experiments::{ClusterSettings, PartSizes, SortOrderSettings, run_sort_order};

use super::shop::ShopFolder;
use super::{Lines, Out, cores};
use crate::settings::SortOrderOptions;

/// Measures tables in several orders.
pub(super) async fn run(settings: SortOrderOptions, shop: ShopFolder) -> Result<()> {
    let out = Out::create(settings.out, "experiment-sort-order")?;
    let data = shop.data(&out.folder);
    shop.fill(&data, settings.events.unwrap_or(10_000_000), 1).await?;
    let cluster = ClusterSettings {
        vcores: cores(),
        memory_mib: settings.worker_memory_mib.unwrap_or(1024),
        ..out.cluster(shop.config.as_deref(), &data)?
    };
    let options = SortOrderSettings {
        repeat: settings.repeat.unwrap_or(5),
        seed: settings.seed.unwrap_or(42),
        sizes: PartSizes {
            file_mib: settings.file_mib.unwrap_or(64),
            row_group_rows: settings.row_group_rows.unwrap_or(262_144),
            page_rows: settings.page_rows.unwrap_or(20_000),
        },
    };
    out.finish(&run_sort_order(&options, &cluster, &out.folder, &Lines).await?)
}
