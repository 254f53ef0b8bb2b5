//! The tables that events refer to: `products`, `users`, `categories`, `brands`.
//!
//! They do not change over the period. Every product and user exists before the first day.

use crate::alias_table::AliasTable;
use crate::events::{timestamp_type, timestamps};
use crate::ids;
use crate::lexicon::{BRANDS, BRANDS_PER_CATEGORY, CATEGORIES, COUNTRIES, DEPARTMENTS};
use crate::money;
use crate::products::brand_name;
use crate::random::{Random, Stream};
use crate::shop_model::ShopModel;
use crate::text_column::{TextColumn, texts};
use arrow::array::{ArrayRef, Decimal128Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

const MARGIN: DataType = DataType::Decimal128(5, 4);
const LONGEST_ON_SALE_SECONDS: u32 = 700 * 86_400;

static PRODUCTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&["product_id", "name", "category", "brand_id"], &[("price", money::TYPE), ("created_at", timestamp_type())])
});
static USERS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&["user_id", "gender", "age_group", "region", "segment"], &[("signup_at", timestamp_type())])
});
static CATEGORY_SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| schema(&["category", "name_ko", "parent", "parent_name_ko"], &[("margin_rate", MARGIN)]));
static BRAND_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema(&["brand_id", "name", "country", "category"], &[]));

fn schema(texts: &[&str], others: &[(&str, DataType)]) -> SchemaRef {
    let texts = texts.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    let others = others.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(texts.chain(others).collect::<Vec<_>>()))
}

/// Columns of `products`: product_id (`pd_` and six digits), name (Korean), category (key), brand_id, all Utf8; price
/// Decimal128(10, 2), list price in won; created_at Timestamp(us, UTC), up to 700 days before the first day.
pub fn products_schema() -> SchemaRef {
    PRODUCTS.clone()
}

/// Columns of `users`: user_id (`u_` and seven digits), gender (F, M, N), age_group (10s to 40s, 50+), region (Korean),
/// segment (POWER_USER, ACTIVE_EXPLORER, PASSIVE_BROWSER, by how often the user visits), all Utf8; signup_at
/// Timestamp(us, UTC), up to 900 days before the first day.
pub fn users_schema() -> SchemaRef {
    USERS.clone()
}

/// Columns of `categories`: category (the key in events and products), name_ko, parent (key), parent_name_ko, all Utf8;
/// margin_rate Decimal128(5, 4), share of the price.
pub fn categories_schema() -> SchemaRef {
    CATEGORY_SCHEMA.clone()
}

/// Columns of `brands`: brand_id (`br_` and three digits), name (Korean), country (two letters), category (key; each
/// brand has one category), all Utf8.
pub fn brands_schema() -> SchemaRef {
    BRAND_SCHEMA.clone()
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema, columns).expect("columns follow the schema")
}

pub(crate) fn products(model: &ShopModel, numbers: Range<u32>) -> RecordBatch {
    let products = numbers.clone().map(|number| model.products.product(number));
    let mut names = TextColumn::new(numbers.len(), 40);
    for (number, product) in numbers.clone().zip(products.clone()) {
        let shelf = &CATEGORIES[usize::from(product.category)];
        let manner = shelf.manners[usize::from(product.manner)];
        let name =
            format!("{} {manner} {} {}", brand_name(product.brand.into()), product.item_name(), model_number(number));
        names.push(name.as_bytes());
    }
    let first_day = model.calendar.start_micros(0);
    let created = numbers.clone().map(|number| {
        let age =
            Random::stream(model.params.seed, Stream::Products, i64::from(number), 1).below(LONGEST_ON_SALE_SECONDS);
        first_day - i64::from(age + 1) * 1_000_000
    });
    let columns = vec![
        texts(9, numbers.clone().map(ids::product)),
        names.finish(),
        texts(8, products.clone().map(|product| CATEGORIES[usize::from(product.category)].key)),
        texts(6, products.clone().map(|product| ids::brand(product.brand.into()))),
        money::won_column(products.map(|product| Some(product.price_won as i32))),
        timestamps(created),
    ];
    batch(products_schema(), columns)
}

/// A model number, which distinguishes products of the same brand and kind.
fn model_number(number: u32) -> String {
    let letter = |n: u32| char::from(b'A' + (n % 26) as u8);
    format!("{}{}-{}", letter(number), letter(number / 26), number / 676 + 100)
}

pub(crate) fn users(model: &ShopModel, numbers: Range<u32>) -> RecordBatch {
    let users: Vec<_> = numbers.clone().map(|number| model.users.user(number)).collect();
    let first_day = model.calendar.start_micros(0);
    let columns = vec![
        texts(9, numbers.map(ids::user)),
        texts(1, users.iter().map(|user| user.gender)),
        texts(3, users.iter().map(|user| user.age_group)),
        texts(6, users.iter().map(|user| user.region)),
        texts(14, users.iter().map(|user| user.segment)),
        timestamps(users.iter().map(|user| first_day - user.member_micros)),
    ];
    batch(users_schema(), columns)
}

pub(crate) fn categories() -> RecordBatch {
    let department = |index: usize| DEPARTMENTS[index];
    let margins = Decimal128Array::from_iter_values(CATEGORIES.iter().map(|category| category.margin_ten_thousandths));
    let columns: Vec<ArrayRef> = vec![
        texts(8, CATEGORIES.iter().map(|category| category.key)),
        texts(8, CATEGORIES.iter().map(|category| category.name_ko)),
        texts(8, CATEGORIES.iter().map(|category| department(category.department).0)),
        texts(8, CATEGORIES.iter().map(|category| department(category.department).1)),
        Arc::new(margins.with_data_type(MARGIN)),
    ];
    batch(categories_schema(), columns)
}

pub(crate) fn brands(seed: u64) -> RecordBatch {
    let countries = AliasTable::new(COUNTRIES.iter().map(|country| country.1));
    let mut random = Random::stream(seed, Stream::Brands, 0, 0);
    let brands: Vec<u32> = (0..BRANDS).collect();
    let category = |brand: u32| CATEGORIES[(brand / BRANDS_PER_CATEGORY) as usize].key;
    let columns = vec![
        texts(6, brands.iter().map(|&brand| ids::brand(brand))),
        texts(12, brands.iter().map(|&brand| brand_name(brand))),
        texts(2, brands.iter().map(|_| COUNTRIES[countries.pick(&mut random) as usize].0)),
        texts(8, brands.iter().map(|&brand| category(brand))),
    ];
    batch(brands_schema(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ShopParams;
    use arrow::array::AsArray;
    use std::collections::HashSet;

    #[test]
    fn product_names_differ_and_name_their_item() {
        let model = ShopModel::new(ShopParams::default());
        let products = products(&model, 0..2_000);
        let names: HashSet<&str> = products["name"].as_string::<i32>().iter().flatten().collect();
        assert_eq!(names.len(), 2_000);
    }

    #[test]
    fn keys_refer_to_existing_rows() {
        let model = ShopModel::new(ShopParams { products: 3_000, ..Default::default() });
        let (products, brands, categories) = (products(&model, 0..3_000), brands(1), categories());
        let set = |batch: &RecordBatch, column: &str| -> HashSet<String> {
            batch[column].as_string::<i32>().iter().flatten().map(str::to_string).collect()
        };
        assert!(set(&products, "brand_id").is_subset(&set(&brands, "brand_id")));
        assert_eq!(set(&products, "category"), set(&categories, "category"));
        assert_eq!(set(&brands, "category"), set(&categories, "category"));
        assert_eq!((brands.num_rows(), categories.num_rows()), (200, 10));
    }
}
