//! Sessions: each is a user with a device and a referrer, who goes through the funnel (search, view, add_cart,
//! purchase) for one product after another and may leave it at every step.
//!
//! A walk has the rows of one chunk as compact numbers; [`events`](crate::events) converts them to columns and
//! [`reviews`](crate::reviews) searches them for purchases.

use crate::chunk::{CHUNK_ROWS, Chunk};
use crate::lexicon::{CAMPAIGNS, REFERRERS};
use crate::random::{Random, Stream};
use crate::shop_model::ShopModel;

/// Steps of the funnel, as indices into [`EVENT_TYPES`](crate::lexicon::EVENT_TYPES).
pub(crate) const SEARCH: u8 = 0;
pub(crate) const VIEW: u8 = 1;
pub(crate) const ADD_CART: u8 = 2;
pub(crate) const PURCHASE: u8 = 3;

const MOST_WISHES: u32 = 12;
const LONGEST_PAUSE_MICROS: f64 = 15.0 * 60.0 * 1e6;
const DAY_MICROS: i64 = 86_400_000_000;
// Otherwise a session could not be shifted to end within its day.
const _: () = assert!(MOST_WISHES as f64 * 4.0 * LONGEST_PAUSE_MICROS < DAY_MICROS as f64);
// `in_time_order` packs a time of day (37 bits) and a row of the chunk, whose last session may run over, into 64 bits.
const _: () = assert!(CHUNK_ROWS + 4 * MOST_WISHES as usize <= 1 << ROW_BITS);
const ROW_BITS: u32 = 20;

/// The properties of all events of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    /// Unique over all sessions of a shop.
    pub(crate) number: u64,
    pub(crate) user: u32,
    /// Index into [`DEVICES`](crate::lexicon::DEVICES).
    pub(crate) device: u8,
    /// Index into [`REFERRERS`].
    pub(crate) referrer: u8,
    /// Index into [`CAMPAIGNS`].
    pub(crate) campaign: Option<u8>,
}

/// An event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Unique over all events of a shop.
    pub(crate) number: u64,
    /// Microseconds since 1970.
    pub(crate) time: i64,
    /// Index into the walk's sessions.
    pub(crate) session: u32,
    /// The product; for a search, the one that the user views next.
    pub(crate) product: u32,
    /// The search query; `None` except in searches.
    pub(crate) query: Option<u32>,
    /// Price per piece after the campaign's discount; `None` in searches.
    pub(crate) price_won: Option<i32>,
    /// Pieces; 0 before the cart.
    pub(crate) quantity: u8,
    /// Index into [`EVENT_TYPES`](crate::lexicon::EVENT_TYPES).
    pub(crate) kind: u8,
    /// The required field that is missing.
    pub(crate) missing: Option<Missing>,
}

/// Required fields that dirty rows lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    EventId,
    UserId,
    Category,
    SessionId,
}

/// The sessions that start in a chunk, up to its number of rows.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) sessions: Vec<Session>,
    pub(crate) rows: Vec<Row>,
}

impl Walk {
    /// Generates exactly `chunk.rows` rows, session by session. The last session is truncated at that number.
    pub(crate) fn new(model: &ShopModel, chunk: &Chunk) -> Self {
        let mut random = Random::stream(model.params.seed, Stream::Sessions, chunk.day, u64::from(chunk.number));
        let mut walk = Self {
            sessions: Vec::with_capacity(chunk.rows / 4 + 16),
            rows: Vec::with_capacity(chunk.rows + 4 * MOST_WISHES as usize),
        };
        while walk.rows.len() < chunk.rows {
            walk.visit(model, chunk, &mut random);
        }
        walk.rows.truncate(chunk.rows);
        walk
    }

    /// Sorts the rows by time and numbers them. Successive batches are then nearly in order of time, which is enough to
    /// replay them, and fast to sort completely.
    pub(crate) fn in_time_order(mut self, chunk: &Chunk) -> Self {
        let mut keys: Vec<u64> = (0u64..)
            .zip(&self.rows)
            .map(|(index, row)| (((row.time - chunk.day_start) as u64) << ROW_BITS) | index)
            .collect();
        keys.sort_unstable();
        let numbered = (chunk.first..).zip(keys);
        let row_of = |key: u64| self.rows[(key & ((1 << ROW_BITS) - 1)) as usize];
        self.rows = numbered.map(|(number, key)| Row { number, ..row_of(key) }).collect();
        self
    }

    pub(crate) fn session(&self, row: &Row) -> &Session {
        &self.sessions[row.session as usize]
    }

    /// Adds a whole session.
    fn visit(&mut self, model: &ShopModel, chunk: &Chunk, random: &mut Random) {
        let user = model.users.pick(random);
        let habits = model.users.habits(user, &model.products);
        let campaign_share = if chunk.is_sale { 0.7 } else { 0.35 };
        let campaign = random.chance(campaign_share).then(|| model.campaigns.pick(random) as u8);
        let index = self.sessions.len() as u32;
        self.sessions.push(Session {
            number: (chunk.day as u64) << 45 | u64::from(chunk.number) << 13 | u64::from(index),
            user,
            device: model.users.device(habits, random),
            referrer: model.referrers.pick(random) as u8,
            campaign,
        });
        let discount = campaign.map_or(0, |campaign| CAMPAIGNS[usize::from(campaign)].discount_percent);
        let cart_share = if discount >= 20 { 0.30 } else { 0.23 };
        let first_row = self.rows.len();
        let mut steps = Steps { rows: &mut self.rows, session: index, time: chunk.time(&model.curve, random) };

        for _ in 0..MOST_WISHES {
            let number = wish(model, habits.favourite, random);
            let product = model.products.product(number);
            let price = discounted(product.price_won, discount);
            if random.chance(0.38) {
                let query = model.queries.pick(product, random);
                steps.take(
                    Step { kind: SEARCH, product: number, price_won: None, query: Some(query), quantity: 0 },
                    random,
                );
            }
            let step = Step { kind: VIEW, product: number, price_won: Some(price), query: None, quantity: 0 };
            steps.take(step, random);
            if random.chance(cart_share) {
                let quantity = 1 + model.quantities.pick(random) as u8;
                steps.take(Step { kind: ADD_CART, quantity, ..step }, random);
                if random.chance(0.44) {
                    steps.take(Step { kind: PURCHASE, quantity, ..step }, random);
                }
            }
            if random.chance(0.36) {
                break;
            }
        }

        // A session that would run past midnight starts a little earlier instead, so that it is within one day.
        let last_micros = chunk.day_start + DAY_MICROS - 1;
        let late = self.rows.last().map_or(0, |row| (row.time - last_micros).max(0));
        if late > 0 {
            self.rows[first_row..].iter_mut().for_each(|row| row.time -= late);
        }
    }
}

/// A product to view: by popularity, with a second try if it is not in the favourite category.
fn wish(model: &ShopModel, favourite: u8, random: &mut Random) -> u32 {
    let product = model.products.pick(random);
    let is_favourite = model.products.product(product).category == favourite;
    if is_favourite || random.chance(0.5) { product } else { model.products.pick(random) }
}

/// Prices are in steps of ten won, the smallest coin in use.
fn discounted(price_won: u32, percent: u32) -> i32 {
    (price_won * (100 - percent) / 1000 * 10) as i32
}

/// The rows of a session being generated.
struct Steps<'a> {
    rows: &'a mut Vec<Row>,
    session: u32,
    time: i64,
}

#[derive(Clone, Copy)]
struct Step {
    kind: u8,
    product: u32,
    price_won: Option<i32>,
    query: Option<u32>,
    quantity: u8,
}

impl Steps<'_> {
    fn take(&mut self, step: Step, random: &mut Random) {
        let Step { kind, product, price_won, query, quantity } = step;
        let (session, time) = (self.session, self.time);
        self.rows.push(Row { number: 0, time, session, product, query, price_won, quantity, kind, missing: None });
        self.time += pause_micros(random);
    }
}

/// Time until the next event: half of the pauses are under 17 seconds, some last minutes. The odds `u / (1 - u)` have a
/// long tail like an exponential distribution, but need no logarithm, whose last bit differs between machines.
fn pause_micros(random: &mut Random) -> i64 {
    let u = random.unit();
    (2e6 + 15e6 * (u / (1.0 - u))).min(LONGEST_PAUSE_MICROS) as i64
}

const _: () = assert!(REFERRERS.len() < u8::MAX as usize && CAMPAIGNS.len() < u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ShopParams;

    fn model(change: impl FnOnce(&mut ShopParams)) -> ShopModel {
        let mut params = ShopParams { events: 200_000, days: 2, products: 5_000, users: 3_000, ..Default::default() };
        change(&mut params);
        ShopModel::new(params)
    }

    fn walks(model: &ShopModel) -> impl Iterator<Item = (Chunk, Walk)> {
        let days = 0..i64::from(model.calendar.days());
        days.flat_map(|day| (0..model.event_chunks(day)).map(move |number| (day, number))).map(|(day, number)| {
            let chunk = model.event_chunk(day, number);
            (chunk, Walk::new(model, &chunk))
        })
    }

    #[test]
    fn a_session_goes_down_the_funnel() {
        for (_, walk) in walks(&model(|_| ())) {
            for rows in walk.rows.chunk_by(|a, b| a.session == b.session) {
                assert!(rows.is_sorted_by_key(|row| row.time));
                for (at, row) in rows.iter().enumerate() {
                    let before = at.checked_sub(1).map(|at| &rows[at]);
                    let follows = |kind: u8| before.is_some_and(|b| b.kind == kind && b.product == row.product);
                    match row.kind {
                        SEARCH => assert!(row.price_won.is_none() && row.quantity == 0),
                        VIEW => assert!(row.price_won.is_some() && row.quantity == 0),
                        ADD_CART => assert!(follows(VIEW) && row.quantity > 0),
                        PURCHASE => {
                            assert!(follows(ADD_CART));
                            assert_eq!(before.map(|b| (b.quantity, b.price_won)), Some((row.quantity, row.price_won)));
                        }
                        kind => panic!("no step {kind}"),
                    }
                }
            }
        }
    }

    #[test]
    fn the_funnel_has_the_expected_shares() {
        let mut kinds = [0u32; 4];
        for (_, walk) in walks(&model(|_| ())) {
            walk.rows.iter().for_each(|row| kinds[usize::from(row.kind)] += 1);
        }
        // For each wish 0.38 searches, one view, about 0.24 carts, and 0.44 purchases for each of these.
        for (count, expected) in kinds.into_iter().zip([0.22, 0.58, 0.14, 0.06]) {
            let share = f64::from(count) / 200_000.0;
            assert!((share - expected).abs() < 0.01, "{share}, not {expected}, of {kinds:?}");
        }
    }

    #[test]
    fn events_stay_in_their_day_and_follow_the_curve() {
        let model = model(|_| ());
        let mut hours = [0u32; 24];
        for (chunk, walk) in walks(&model) {
            for row in &walk.rows {
                let micros = row.time - chunk.day_start;
                assert!((0..DAY_MICROS).contains(&micros));
                hours[(micros / 3_600_000_000) as usize] += 1;
            }
        }
        let ratio = f64::from(hours[20]) / f64::from(hours[6]);
        assert!((3.0..4.5).contains(&ratio), "{hours:?}");
    }

    #[test]
    fn popular_products_have_the_share_of_zipf() {
        let model = model(|_| ());
        let mut seen = vec![0u32; 5_000];
        walks(&model).for_each(|(_, walk)| walk.rows.iter().for_each(|row| seen[row.product as usize] += 1));
        seen.sort_unstable_by(|a, b| b.cmp(a));
        let share = f64::from(seen[..50].iter().sum::<u32>()) / 200_000.0;
        let harmonic = |n: u32| (1..=n).map(|rank| 1.0 / f64::from(rank)).sum::<f64>();
        let expected = harmonic(50) / harmonic(5_000);
        assert!((share - expected).abs() < 0.03, "{share}, Zipf says {expected}");
    }

    #[test]
    fn prices_are_the_list_price_less_the_discount() {
        let model = model(|_| ());
        for (_, walk) in walks(&model) {
            for row in walk.rows.iter().filter(|row| row.kind != SEARCH) {
                let campaign = walk.session(row).campaign;
                let percent = campaign.map_or(0, |campaign| CAMPAIGNS[usize::from(campaign)].discount_percent);
                let list = model.products.product(row.product).price_won;
                assert_eq!(row.price_won, Some(discounted(list, percent)));
            }
        }
        assert_eq!([discounted(12_900, 0), discounted(12_900, 12)], [12_900, 11_350]);
    }

    #[test]
    fn time_order_keeps_every_row_and_numbers_them() {
        let model = model(|_| ());
        let chunk = model.event_chunk(1, 3);
        let (plain, ordered) = (Walk::new(&model, &chunk), Walk::new(&model, &chunk).in_time_order(&chunk));
        assert!(ordered.rows.is_sorted_by_key(|row| row.time));
        assert!(ordered.rows.iter().map(|row| row.number).eq(chunk.first..chunk.first + chunk.rows as u64));
        let sum =
            |walk: &Walk| walk.rows.iter().map(|row| i128::from(row.time) + i128::from(row.product)).sum::<i128>();
        assert_eq!(sum(&plain), sum(&ordered));
    }

    #[test]
    fn sessions_are_numbered_once() {
        let model = model(|_| ());
        let numbers: Vec<u64> =
            walks(&model).flat_map(|(_, walk)| walk.sessions).map(|session| session.number).collect();
        let distinct: std::collections::HashSet<&u64> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len());
    }
}
