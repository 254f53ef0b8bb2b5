//! The table `reviews`: reviews by buyers, some days after the purchase.
//!
//! Reviews refer to purchases in `shopping_events`: a chunk of reviews generates a few chunks of events of the days
//! before, which is cheap as no columns are built. Such events also exist before the first day, but are not returned.
//! A purchase may be reviewed twice, by different chunks.

use crate::chunk::Chunk;
use crate::events::{timestamp_type, timestamps};
use crate::ids::{self, hex};
use crate::lexicon::{SUBJECTS, Tone};
use crate::random::{Random, Stream};
use crate::sessions::{PURCHASE, Walk};
use crate::shop_model::ShopModel;
use crate::text_column::{TextColumn, texts};
use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::{Arc, LazyLock};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("review_id", DataType::Utf8, true),
        Field::new("product_id", DataType::Utf8, true),
        Field::new("user_id", DataType::Utf8, true),
        Field::new("rating", DataType::Int32, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("images", DataType::List(image_field()), true),
        Field::new("created_at", timestamp_type(), true),
    ]))
});

/// Columns of `reviews`.
///
/// | column | type | |
/// |---|---|---|
/// | review_id | Utf8 | 36 characters, unique |
/// | product_id, user_id | Utf8 | of a purchase one to seven days before |
/// | rating | Int32 | 1 to 5 stars |
/// | text | Utf8 | Korean sentences in the tone of the rating; 2 % null |
/// | images | List(Utf8) | object names, most often none |
/// | created_at | Timestamp(us, UTC) | |
pub fn reviews_schema() -> SchemaRef {
    SCHEMA.clone()
}

fn image_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Utf8, true))
}

const LONGEST_DELAY_DAYS: u32 = 7;
const SILENT_SHARE: f64 = 0.02;
const PICTURED_SHARE: f64 = 0.28;
const MOST_IMAGES: u32 = 4;

/// Percentages of ratings from one star to five.
const RATINGS: [u32; 5] = [4, 5, 11, 26, 54];
const POOR_RATINGS: [u32; 5] = [24, 21, 25, 18, 12];

#[derive(Debug, Clone, Copy)]
struct Purchase {
    user: u32,
    product: u32,
}

/// The rows of a chunk, in order of time.
pub(crate) fn batch(model: &ShopModel, chunk: &Chunk) -> RecordBatch {
    let mut random = Random::stream(model.params.seed, Stream::Reviews, chunk.day, u64::from(chunk.number));
    let purchases = purchases(model, chunk, &mut random);
    let mut times: Vec<i64> = (0..chunk.rows).map(|_| chunk.time(&model.curve, &mut random)).collect();
    times.sort_unstable();

    let mut ratings = Vec::with_capacity(chunk.rows);
    let mut texts_column = TextColumn::new(chunk.rows, 100);
    let mut images = Images::new(chunk.rows);
    for purchase in &purchases {
        let product = model.products.product(purchase.product);
        let stars = rating(product.is_poor, &mut random);
        ratings.push(stars);
        if random.chance(SILENT_SHARE) {
            texts_column.push_null();
        } else {
            write_text(stars, product.item_name(), &mut texts_column, &mut random);
        }
        images.push(&mut random);
    }
    let numbers = chunk.first..chunk.first + chunk.rows as u64;
    let review_ids = numbers.map(|number| model.review_ids.uuid(number)).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        texts(36, review_ids.iter()),
        texts(9, purchases.iter().map(|purchase| ids::product(purchase.product))),
        texts(9, purchases.iter().map(|purchase| ids::user(purchase.user))),
        Arc::new(Int32Array::from(ratings)),
        texts_column.finish(),
        images.finish(),
        timestamps(times.into_iter()),
    ];
    RecordBatch::try_new(reviews_schema(), columns).expect("columns follow the schema")
}

/// As many purchases of the days before as the chunk has rows; all different if enough are found.
fn purchases(model: &ShopModel, chunk: &Chunk, random: &mut Random) -> Vec<Purchase> {
    let mut found = Vec::with_capacity(chunk.rows * 2);
    let mut walked = Vec::new();
    // About one row in sixteen is a purchase, so these attempts suffice for a full chunk and are few for a small one.
    for _ in 0..8 + chunk.rows / 200 {
        let day = chunk.day - 1 - i64::from(random.below(LONGEST_DELAY_DAYS));
        let chunks = model.event_chunks(day);
        if chunks == 0 {
            continue;
        }
        let number = random.below(chunks);
        if walked.contains(&(day, number)) {
            continue;
        }
        walked.push((day, number));
        let walk = Walk::new(model, &model.event_chunk(day, number));
        let bought = walk.rows.iter().filter(|row| row.kind == PURCHASE);
        found.extend(bought.map(|row| Purchase { user: walk.session(row).user, product: row.product }));
        if found.len() >= chunk.rows {
            break;
        }
    }
    if found.is_empty() {
        // A shop with only a few events: make up a purchase.
        found.push(Purchase { user: model.users.pick(random), product: model.products.pick(random) });
    }
    for index in (1..found.len()).rev() {
        found.swap(index, random.below(index as u32 + 1) as usize);
    }
    found.into_iter().cycle().take(chunk.rows).collect()
}

fn rating(is_poor: bool, random: &mut Random) -> i32 {
    let percents = if is_poor { POOR_RATINGS } else { RATINGS };
    let mut left = random.below(100);
    for (stars, percent) in (1..).zip(percents) {
        if left < percent {
            return stars;
        }
        left -= percent;
    }
    5
}

/// Writes sentences on some subjects. With four or two stars one of them may be neutral, but never of the opposite
/// tone.
fn write_text(stars: i32, item: &str, text: &mut TextColumn, random: &mut Random) {
    let (tone, even_share) = match stars {
        5 => (Tone::Glad, 0.0),
        4 => (Tone::Glad, 0.25),
        3 => (Tone::Even, 0.0),
        2 => (Tone::Sour, 0.25),
        _ => (Tone::Sour, 0.0),
    };
    if random.chance(0.2) {
        text.append(item.as_bytes());
    }
    let (last, others) = SUBJECTS.split_last().expect("there are subjects");
    for subject in others {
        if random.below(100) < subject.mentioned_percent {
            let tone = if random.chance(even_share) { Tone::Even } else { tone };
            say(&subject.sentences[tone as usize], text, random);
        }
    }
    say(&last.sentences[tone as usize], text, random);
    text.end_row();
}

fn say(sentences: &[&str], text: &mut TextColumn, random: &mut Random) {
    if !text.row_is_empty() {
        text.append(b" ");
    }
    text.append(sentences[random.below(sentences.len() as u32) as usize].as_bytes());
}

/// The list column under construction.
struct Images {
    counts: Vec<usize>,
    names: Vec<[u8; 27]>,
}

impl Images {
    fn new(rows: usize) -> Self {
        Self { counts: Vec::with_capacity(rows), names: Vec::with_capacity(rows) }
    }

    fn push(&mut self, random: &mut Random) {
        let count = if random.chance(PICTURED_SHARE) { 1 + random.below(MOST_IMAGES) } else { 0 };
        for _ in 0..count {
            let mut name = *b"images/0000000000000000.jpg";
            name[7..23].copy_from_slice(&hex(random.next()));
            self.names.push(name);
        }
        self.counts.push(count as usize);
    }

    fn finish(self) -> ArrayRef {
        let names = texts(27, self.names.iter());
        Arc::new(ListArray::new(image_field(), OffsetBuffer::from_lengths(self.counts), names, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ShopParams;
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;
    use std::collections::HashSet;

    fn model() -> ShopModel {
        let params =
            ShopParams { events: 60_000, reviews: 6_000, days: 10, products: 500, users: 800, ..Default::default() };
        ShopModel::new(params)
    }

    fn batches(model: &ShopModel) -> impl Iterator<Item = RecordBatch> {
        let chunks = (0..10).flat_map(|day| (0..model.review_chunks(day)).map(move |number| (day, number)));
        chunks.map(|(day, number)| batch(model, &model.review_chunk(day, number)))
    }

    #[test]
    fn the_text_agrees_with_the_stars() {
        let toned: Vec<(i32, &str)> = SUBJECTS
            .iter()
            .flat_map(|subject| [1, 0, -1].into_iter().zip(subject.sentences))
            .flat_map(|(tone, sentences)| sentences.map(|sentence| (tone, sentence)))
            .collect();
        for batch in batches(&model()) {
            let (stars, texts) = (batch["rating"].as_primitive::<Int32Type>(), batch["text"].as_string::<i32>());
            for (stars, text) in stars.iter().flatten().zip(texts) {
                let Some(text) = text else { continue };
                let tones: HashSet<i32> =
                    toned.iter().filter(|(_, sentence)| text.contains(sentence)).map(|(tone, _)| *tone).collect();
                let agrees = match stars {
                    5 => tones == HashSet::from([1]),
                    4 => tones.contains(&1) && !tones.contains(&-1),
                    3 => tones == HashSet::from([0]),
                    2 => tones.contains(&-1) && !tones.contains(&1),
                    1 => tones == HashSet::from([-1]),
                    _ => false,
                };
                assert!(agrees, "{stars} stars: {text}");
            }
        }
    }

    #[test]
    fn two_percent_have_no_text() {
        let (nulls, rows) = batches(&model())
            .fold((0, 0), |(nulls, rows), batch| (nulls + batch["text"].null_count(), rows + batch.num_rows()));
        assert_eq!(rows, 6_000);
        assert!((80..160).contains(&nulls), "{nulls}");
    }

    #[test]
    fn reviewers_bought_what_they_review() {
        let model = model();
        let mut bought = HashSet::new();
        for day in -7..10 {
            for number in 0..model.event_chunks(day) {
                let walk = Walk::new(&model, &model.event_chunk(day, number));
                let purchases = walk.rows.iter().filter(|row| row.kind == PURCHASE);
                bought.extend(purchases.map(|row| (ids::user(walk.session(row).user), ids::product(row.product))));
            }
        }
        for batch in batches(&model) {
            let (users, products) = (batch["user_id"].as_string::<i32>(), batch["product_id"].as_string::<i32>());
            for (user, product) in users.iter().flatten().zip(products.iter().flatten()) {
                let key = (user.as_bytes().try_into().expect("width"), product.as_bytes().try_into().expect("width"));
                assert!(bought.contains(&key), "{user} never bought {product}");
            }
        }
    }

    #[test]
    fn a_shop_without_events_still_has_reviews() {
        let model = ShopModel::new(ShopParams { events: 0, reviews: 50, days: 1, ..Default::default() });
        assert_eq!(batch(&model, &model.review_chunk(0, 0)).num_rows(), 50);
    }

    #[test]
    fn percents_are_whole() {
        assert_eq!([RATINGS.iter().sum::<u32>(), POOR_RATINGS.iter().sum()], [100, 100]);
    }
}
