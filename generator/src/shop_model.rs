//! The state that is the same for all days of a shop, built once and shared by all chunks.

use crate::alias_table::AliasTable;
use crate::calendar::Calendar;
use crate::chunk::{self, Chunk};
use crate::ids::Scatter;
use crate::lexicon::{BRANDS, CAMPAIGNS, CATEGORIES, ITEMS, QUERY_PATTERNS, REFERRERS};
use crate::params::ShopParams;
use crate::products::{Product, Products, brand_name};
use crate::random::{Random, Stream};
use crate::traffic::TrafficCurve;
use crate::users::Users;

#[derive(Debug)]
pub(crate) struct ShopModel {
    pub(crate) params: ShopParams,
    pub(crate) calendar: Calendar,
    pub(crate) curve: TrafficCurve,
    pub(crate) products: Products,
    pub(crate) users: Users,
    pub(crate) referrers: AliasTable,
    pub(crate) campaigns: AliasTable,
    /// Pieces in a cart, minus one.
    pub(crate) quantities: AliasTable,
    pub(crate) queries: Queries,
    pub(crate) event_ids: Scatter,
    pub(crate) session_ids: Scatter,
    pub(crate) review_ids: Scatter,
}

impl ShopModel {
    pub(crate) fn new(params: ShopParams) -> Self {
        let seed = params.seed;
        Self {
            calendar: Calendar::new(&params),
            curve: TrafficCurve::default(),
            products: Products::new(seed, params.products),
            users: Users::new(seed, params.users),
            referrers: AliasTable::new(REFERRERS.iter().map(|referrer| referrer.1)),
            campaigns: AliasTable::new(CAMPAIGNS.iter().map(|campaign| campaign.weight)),
            quantities: AliasTable::new([72.0, 17.0, 6.0, 3.0, 1.0, 1.0]),
            queries: Queries::new(),
            event_ids: Scatter::new(seed, Stream::EventIds),
            session_ids: Scatter::new(seed, Stream::SessionIds),
            review_ids: Scatter::new(seed, Stream::ReviewIds),
            params,
        }
    }

    /// Number of chunks of events on a day, which may be before the period.
    pub(crate) fn event_chunks(&self, day: i64) -> u32 {
        chunk::chunks(self.calendar.events_on(day))
    }

    pub(crate) fn event_chunk(&self, day: i64, number: u32) -> Chunk {
        let calendar = &self.calendar;
        Chunk::new(calendar, day, number, calendar.events_before(day), calendar.events_on(day))
    }

    pub(crate) fn review_chunks(&self, day: i64) -> u32 {
        chunk::chunks(self.calendar.reviews_on(day))
    }

    pub(crate) fn review_chunk(&self, day: i64, number: u32) -> Chunk {
        let calendar = &self.calendar;
        Chunk::new(calendar, day, number, calendar.reviews_before(day), calendar.reviews_on(day))
    }
}

/// All search queries.
#[derive(Debug)]
pub(crate) struct Queries {
    texts: Vec<String>,
}

const QUERIES_PER_ITEM: usize = QUERY_PATTERNS.len() + CATEGORIES[0].manners.len();
const ITEMS_PER_CATEGORY: usize = CATEGORIES[0].items.len();

impl Queries {
    fn new() -> Self {
        let mut texts = Vec::with_capacity(ITEMS * QUERIES_PER_ITEM + BRANDS as usize * ITEMS_PER_CATEGORY);
        for category in &CATEGORIES {
            for item in category.items {
                texts.extend(QUERY_PATTERNS.iter().map(|pattern| pattern.replace('*', item)));
                texts.extend(category.manners.iter().map(|manner| format!("{manner} {item}")));
            }
        }
        for brand in 0..BRANDS {
            let category = &CATEGORIES[brand as usize / crate::lexicon::BRANDS_PER_CATEGORY as usize];
            let name = brand_name(brand);
            texts.extend(category.items.iter().map(|item| format!("{name} {item}")));
        }
        Self { texts }
    }

    pub(crate) fn text(&self, query: u32) -> &str {
        &self.texts[query as usize]
    }

    /// Picks a query that leads to this product: often only the item, sometimes the brand, seldom the rarer patterns.
    pub(crate) fn pick(&self, product: &Product, random: &mut Random) -> u32 {
        let query = if random.chance(0.15) {
            ITEMS * QUERIES_PER_ITEM + usize::from(product.brand) * ITEMS_PER_CATEGORY + usize::from(product.item)
        } else {
            let u = random.unit();
            product.item_number() * QUERIES_PER_ITEM + (QUERIES_PER_ITEM as f64 * (u * u)) as usize
        };
        query as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_the_item() {
        let model = ShopModel::new(ShopParams { products: 200, ..ShopParams::default() });
        let mut random = Random::stream(1, Stream::Sessions, 0, 0);
        for number in 0..200 {
            let product = model.products.product(number);
            let query = model.queries.text(model.queries.pick(product, &mut random));
            assert!(query.contains(product.item_name()), "{query} for {product:?}");
        }
    }
}
