//! The products of the shop: category, item, brand, price and popularity of each.

use crate::alias_table::AliasTable;
use crate::lexicon::{BRAND_HEADS, BRAND_TAILS, BRANDS_PER_CATEGORY, CATEGORIES};
use crate::random::{Random, Stream, mix};

/// A product. Its number is its index in [`Products`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) price_won: u32,
    pub(crate) brand: u16,
    /// Index into [`CATEGORIES`].
    pub(crate) category: u8,
    /// Index into the category's items.
    pub(crate) item: u8,
    /// Index into the category's manners.
    pub(crate) manner: u8,
    /// Whether the product gets worse ratings.
    pub(crate) is_poor: bool,
}

impl Product {
    /// The item's number over all categories.
    pub(crate) fn item_number(&self) -> usize {
        usize::from(self.category) * CATEGORIES[0].items.len() + usize::from(self.item)
    }

    pub(crate) fn item_name(&self) -> &'static str {
        CATEGORIES[usize::from(self.category)].items[usize::from(self.item)]
    }
}

/// All products.
#[derive(Debug)]
pub(crate) struct Products {
    products: Vec<Product>,
    by_rank: AliasTable,
    order: Shuffle,
}

impl Products {
    pub(crate) fn new(seed: u64, products: u32) -> Self {
        let shelves = AliasTable::new(CATEGORIES.iter().map(|category| category.share));
        let mut random = Random::stream(seed, Stream::Products, 0, 0);
        Self {
            products: (0..products).map(|_| product(&shelves, &mut random)).collect(),
            by_rank: AliasTable::zipf(products),
            order: Shuffle::new(seed, products),
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.products.len() as u32
    }

    pub(crate) fn product(&self, number: u32) -> &Product {
        &self.products[number as usize]
    }

    /// Picks a product's number by popularity.
    pub(crate) fn pick(&self, random: &mut Random) -> u32 {
        self.pick_by(random.next())
    }

    /// Picks a product's number by popularity, from a number uniform over 64 bits.
    pub(crate) fn pick_by(&self, number: u64) -> u32 {
        self.order.at(self.by_rank.pick_by(number))
    }
}

fn product(shelves: &AliasTable, random: &mut Random) -> Product {
    let category = shelves.pick(random);
    let shelf = &CATEGORIES[category as usize];
    let (low, high) = shelf.prices_won;
    // Cubed, so that most products are cheap and few are expensive, as with a logarithm, but exact.
    let u = random.unit();
    let price = low + (f64::from(high - low) * (u * u * u)) as u32;
    Product {
        price_won: (price / 100 * 100).max(low),
        brand: (category * BRANDS_PER_CATEGORY + random.below(BRANDS_PER_CATEGORY)) as u16,
        category: category as u8,
        item: random.below(shelf.items.len() as u32) as u8,
        manner: random.below(shelf.manners.len() as u32) as u8,
        is_poor: random.chance(0.15),
    }
}

/// The brand's name; brands with adjacent numbers differ in both parts.
pub(crate) fn brand_name(brand: u32) -> String {
    let (head, tail) = (brand as usize % BRAND_HEADS.len(), (brand as usize / BRAND_HEADS.len() + brand as usize) % 10);
    format!("{}{}", BRAND_HEADS[head], BRAND_TAILS[tail])
}

/// A permutation of `0..n`, so that the popular products and users are not those with the smallest numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shuffle {
    n: u64,
    first: u64,
}

impl Shuffle {
    /// A prime above every valid `n`, thus coprime to it: steps of this size visit every rank once.
    const STRIDE: u64 = 2_654_435_761;

    pub(crate) fn new(seed: u64, n: u32) -> Self {
        Self { n: u64::from(n), first: mix(seed) % u64::from(n) }
    }

    /// The number with this rank.
    pub(crate) fn at(self, rank: u32) -> u32 {
        ((u64::from(rank) * Self::STRIDE + self.first) % self.n) as u32
    }

    /// All numbers, in order of rank.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> {
        (0..self.n as u32).map(move |rank| self.at(rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn prices_fit_the_category() {
        let products = Products::new(3, 5_000);
        for number in 0..5_000 {
            let product = products.product(number);
            let (low, high) = CATEGORIES[usize::from(product.category)].prices_won;
            assert!((low..=high).contains(&product.price_won), "{product:?}");
            assert_eq!(u32::from(product.brand) / BRANDS_PER_CATEGORY, u32::from(product.category));
        }
    }

    #[test]
    fn a_shuffle_contains_every_number_once() {
        for n in [1, 2, 10, 999, 20_000] {
            assert_eq!(Shuffle::new(9, n).iter().collect::<HashSet<u32>>().len(), n as usize);
        }
    }

    #[test]
    fn brand_names_are_unique() {
        let names: HashSet<String> = (0..crate::lexicon::BRANDS).map(brand_name).collect();
        assert_eq!(names.len(), crate::lexicon::BRANDS as usize);
    }
}
