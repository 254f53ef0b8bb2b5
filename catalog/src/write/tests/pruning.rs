//! Random conditions on files that the writer writes from random rows: inclusive projection never rules out a file with
//! a matching row, nor a manifest that lists one, and a file that fully matches (strict projection) has no other row.
//!
//! `BERGMILL_PRUNING_SEED` repeats a failure and `BERGMILL_PRUNING_CASES` runs more cases; both are printed.
//! Statements over whole tables are compared in `tests/it/pruned`.

use arrow::array::{BooleanArray, Float64Array};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{BinaryExpr, Operator};
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::{Expr, col, lit};

use iceberg::io::FileIO;
use iceberg::spec::{
    FormatVersion, ManifestFile, ManifestList, ManifestListWriter, ManifestWriterBuilder, UNASSIGNED_SEQUENCE_NUMBER,
};

use super::*;
use crate::table::pruning::{self, Predicate};

const SEED: u64 = 20_260;
const CASES: u64 = 150;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }
}

/// A type of column, the transforms that apply to it, and a value.
#[derive(Clone)]
struct Kind {
    ty: PrimitiveType,
    transforms: &'static [Transform],
    value: fn(&mut Random) -> ScalarValue,
}

const NUMBERS: &[Transform] = &[Transform::Identity, Transform::Bucket(3), Transform::Truncate(10), Transform::Void];
const TIMES: &[Transform] = &[
    Transform::Identity,
    Transform::Bucket(3),
    Transform::Year,
    Transform::Month,
    Transform::Day,
    Transform::Hour,
    Transform::Void,
];

fn micros(random: &mut Random) -> i64 {
    // Around 1970, and around the borders of hours and days.
    let days = random.of(&[-800, -366, -32, -2, -1, 0, 1, 2, 31, 400, 20_000]);
    let rest = random.of(&[0, 1, 500_000, 3_599_999_999, 3_600_000_000, 43_200_000_000, 86_399_999_999]);
    days * 86_400_000_000 + rest
}

fn hundredths(random: &mut Random) -> i128 {
    random.of(&[-1050, -1000, -1, 0, 1, 999, 1000, 1050, 9999])
}

const KINDS: &[Kind] = &[
    Kind {
        ty: PrimitiveType::Int,
        transforms: NUMBERS,
        value: |r| {
            ScalarValue::Int32(Some(r.of(&[i32::MIN, i32::MIN + 1, -21, -20, -11, -10, -1, 0, 1, 9, 10, 25, i32::MAX])))
        },
    },
    Kind {
        ty: PrimitiveType::Long,
        transforms: NUMBERS,
        value: |r| ScalarValue::Int64(Some(r.of(&[i64::MIN, -20, -11, -10, -1, 0, 9, 10, 19, i64::MAX]))),
    },
    Kind {
        ty: PrimitiveType::Float,
        transforms: &[Transform::Identity, Transform::Void],
        value: |r| {
            ScalarValue::Float32(Some(r.of(&[f32::NAN, -f32::NAN, f32::NEG_INFINITY, -1.5, -0.0, 0.0, 0.1, 1.5, 2.5])))
        },
    },
    Kind {
        ty: PrimitiveType::Double,
        transforms: &[Transform::Identity, Transform::Void],
        value: |r| {
            ScalarValue::Float64(Some(r.of(&[f64::NAN, f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1.5, 2.5, f64::INFINITY])))
        },
    },
    Kind {
        ty: PrimitiveType::Decimal { precision: 12, scale: 2 },
        transforms: NUMBERS,
        value: |r| ScalarValue::Decimal128(Some(hundredths(r)), 12, 2),
    },
    Kind {
        ty: PrimitiveType::Date,
        transforms: &[
            Transform::Identity,
            Transform::Bucket(3),
            Transform::Year,
            Transform::Month,
            Transform::Day,
            Transform::Void,
        ],
        value: |r| ScalarValue::Date32(Some(r.of(&[-800, -366, -365, -32, -31, -1, 0, 1, 30, 31, 364, 365, 20_000]))),
    },
    Kind {
        ty: PrimitiveType::Timestamp,
        transforms: TIMES,
        value: |r| ScalarValue::TimestampMicrosecond(Some(micros(r)), None),
    },
    Kind {
        ty: PrimitiveType::Timestamptz,
        transforms: TIMES,
        value: |r| ScalarValue::TimestampMicrosecond(Some(micros(r)), Some("+00:00".into())),
    },
    Kind {
        ty: PrimitiveType::String,
        transforms: &[
            Transform::Identity,
            Transform::Bucket(3),
            Transform::Truncate(1),
            Transform::Truncate(3),
            Transform::Void,
        ],
        value: |r| {
            let texts = [
                "",
                "a",
                "ab",
                "abc",
                "abcd",
                "abe",
                "가",
                "가방",
                "가방끈",
                "가방끈을",
                "나비",
                "힣힣힣힣",
                "🙂🙂",
                "🙂🙂🙂🙂",
                "\u{10FFFF}\u{10FFFF}",
                "가a%_",
                "ㅎ\\",
            ];
            ScalarValue::Utf8(Some(r.of(&texts).to_string()))
        },
    },
    Kind {
        ty: PrimitiveType::Boolean,
        transforms: &[Transform::Identity, Transform::Void],
        value: |r| ScalarValue::Boolean(Some(r.of(&[true, false]))),
    },
];

impl Kind {
    /// The type that the column may be widened to.
    fn wider(&self) -> Option<Self> {
        let of_type = |ty| KINDS.iter().find(|kind| kind.ty == ty).cloned();
        match self.ty {
            PrimitiveType::Int => of_type(PrimitiveType::Long),
            PrimitiveType::Float => of_type(PrimitiveType::Double),
            PrimitiveType::Decimal { scale, .. } => Some(Self {
                ty: PrimitiveType::Decimal { precision: 20, scale },
                value: |r| ScalarValue::Decimal128(Some(hundredths(r)), 20, 2),
                ..self.clone()
            }),
            _ => None,
        }
    }
}

const OPERATORS: [Operator; 8] = [
    Operator::Eq,
    Operator::NotEq,
    Operator::Lt,
    Operator::LtEq,
    Operator::Gt,
    Operator::GtEq,
    Operator::IsDistinctFrom,
    Operator::IsNotDistinctFrom,
];

fn condition(kind: &Kind, name: &str, random: &mut Random, depth: usize) -> Expr {
    let column = || col(name);
    let value = |random: &mut Random| {
        let value = (kind.value)(random);
        // One in eight values is NULL.
        if random.below(8) == 0 { lit(ScalarValue::try_from(value.data_type()).unwrap()) } else { lit(value) }
    };
    match random.below(if depth == 0 { 8 } else { 12 }) {
        0..=2 => {
            let op = random.of(&OPERATORS);
            let (left, right) = (Box::new(column()), Box::new(value(random)));
            let (left, right) = if random.below(4) == 0 { (right, left) } else { (left, right) };
            Expr::BinaryExpr(BinaryExpr { left, op, right })
        }
        3 => column().between(value(random), value(random)),
        4 => {
            let list = (0..1 + random.below(3)).map(|_| value(random)).collect();
            column().in_list(list, random.below(2) == 0)
        }
        5 => column().is_null(),
        6 => column().is_not_null(),
        7 if kind.ty == PrimitiveType::String => {
            let patterns =
                ["가%", "가방끈%", "가방", "%끈", "a%", "ab_", "abc%d", "%", "", "🙂🙂%", "힣%", "가\\%%", "나_"];
            let pattern = lit(random.of(&patterns));
            if random.below(3) == 0 { column().not_like(pattern) } else { column().like(pattern) }
        }
        7 if kind.ty == PrimitiveType::Boolean => column(),
        7 => column().eq(value(random)),
        8 => !condition(kind, name, random, depth - 1),
        9 | 10 => condition(kind, name, random, depth - 1).and(condition(kind, name, random, depth - 1)),
        _ => condition(kind, name, random, depth - 1).or(condition(kind, name, random, depth - 1)),
    }
}

/// Whether the condition holds, for each row.
fn holds(condition: &Expr, rows: &RecordBatch) -> BooleanArray {
    let schema = DFSchema::try_from(rows.schema().as_ref().clone()).unwrap();
    let physical =
        create_physical_expr(condition, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default()).unwrap();
    let result = physical.evaluate(rows).unwrap().into_array(rows.num_rows()).unwrap();
    result.as_boolean().clone()
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test]
async fn pruning_keeps_each_matching_row() {
    let (seed, cases) = (env("BERGMILL_PRUNING_SEED").unwrap_or(SEED), env("BERGMILL_PRUNING_CASES").unwrap_or(CASES));
    println!("BERGMILL_PRUNING_SEED={seed} BERGMILL_PRUNING_CASES={cases}");
    let mut random = Random(seed);
    let (mut ruled_out, mut lists_ruled_out, mut fully_matched, mut conditions) = (0, 0, 0, 0);
    for case in 0..cases {
        let kind = &KINDS[random.below(KINDS.len())];
        let metrics = random.of(&["none", "counts", "full", "truncate(2)", "truncate(16)"]);
        let version = random.of(&[FormatVersion::V1, FormatVersion::V2, FormatVersion::V3]);
        let properties = vec![("write.metadata.metrics.default", metrics)];
        let layout = Layout { properties, ..Layout::default() };
        let mut table = Table::new(vec![field(1, "c", kind.ty.clone())], layout);
        let mut lists = Vec::new();
        for _ in 0..1 + random.below(2) {
            repartition(&mut table, kind, &mut random);
            let files = table.write(vec![vec![rows(kind, &mut random)]]).await.unwrap();
            lists.push(listed(&table, files, version, &mut random).await);
        }
        let (name, kind) = match random.below(3) {
            0 => ("c", kind.clone()),
            1 => ("d", kind.clone()),
            _ => ("d", kind.wider().unwrap_or_else(|| kind.clone())),
        };
        let columns = Schema::builder().with_fields([Arc::new(field(1, name, kind.ty.clone()))]).build().unwrap();
        let evolved = table.metadata.clone().into_builder(None).add_current_schema(columns).unwrap().build().unwrap();
        let (metadata, schema) = (&evolved.metadata, evolved.metadata.current_schema());
        let contents: Vec<Vec<RecordBatch>> =
            lists.iter().map(|(_, files)| files.iter().map(|file| as_column(file, name, &kind)).collect()).collect();
        for _ in 0..20 {
            let condition = condition(&kind, name, &mut random, 3);
            let predicate = Predicate::of(&condition, schema);
            let decided = pruning::is_decided_by_partition(&condition, metadata, schema);
            conditions += 1;
            for ((manifest, files), contents) in lists.iter().zip(&contents) {
                let may_list = pruning::may_list(&predicate, manifest, metadata);
                lists_ruled_out += usize::from(!may_list);
                for (file, rows) in files.iter().zip(contents) {
                    let matching = holds(&condition, rows).iter().filter(|h| *h == Some(true)).count();
                    let what = || {
                        format!(
                            "BERGMILL_PRUNING_SEED={seed} case {case}: {condition} ({predicate:?}) over {:?}, {metrics}, {version}, \
                             {:?}: {manifest:?} {file:?}\n{}",
                            kind.ty,
                            metadata.partition_specs_iter().collect::<Vec<_>>(),
                            text(rows)
                        )
                    };
                    assert!(may_list || matching == 0, "a manifest with {matching} rows is ruled out: {}", what());
                    let spec = manifest.partition_spec_id;
                    let may_match = pruning::may_match(&predicate, file, spec, metadata);
                    assert!(may_match || matching == 0, "a file with {matching} rows is ruled out: {}", what());
                    let fully_matches = pruning::fully_matches(&predicate, file, spec, metadata);
                    assert!(!fully_matches || matching == rows.num_rows(), "not all rows match: {}", what());
                    let is_kept = may_match && may_list;
                    assert!(
                        !decided || !is_kept || matching == rows.num_rows(),
                        "not decided by the partition: {}",
                        what()
                    );
                    let unknown = pruning::may_match(&predicate, file, UNKNOWN_SPEC, metadata);
                    assert!(unknown || matching == 0, "a file of an unknown spec is ruled out: {}", what());
                    ruled_out += usize::from(!may_match);
                    fully_matched += usize::from(fully_matches);
                }
            }
        }
    }
    println!(
        "{conditions} conditions, {ruled_out} files and {lists_ruled_out} manifests ruled out, {fully_matched} files fully matched"
    );
    assert!(ruled_out > conditions / 10, "{ruled_out} of {conditions}");
    assert!(fully_matched > conditions / 20, "{fully_matched} of {conditions}");
    assert!(lists_ruled_out > conditions / 20, "{lists_ruled_out} of {conditions}");
}

/// A spec that no table in these tests has.
const UNKNOWN_SPEC: i32 = 99;

/// Changes the partition spec to up to two transforms of the column.
fn repartition(table: &mut Table, kind: &Kind, random: &mut Random) {
    let mut spec = UnboundPartitionSpec::builder();
    // Two time transforms of a column are redundant, and refused.
    let is_part = |t: &Transform| matches!(t, Transform::Year | Transform::Month | Transform::Day | Transform::Hour);
    let mut transforms: Vec<Transform> = Vec::new();
    for _ in 0..random.of(&[0, 1, 1, 1, 2]) {
        let new = random.of(kind.transforms);
        if transforms.iter().all(|t| *t != new && !(is_part(t) && is_part(&new))) {
            transforms.push(new);
        }
    }
    for transform in transforms {
        let name = transform.to_string().replace(['[', ']'], "_");
        spec = spec.add_partition_field(1, format!("by_{name}"), transform).unwrap();
    }
    let builder = table.metadata.clone().into_builder(None).add_default_partition_spec(spec.build());
    table.metadata = builder.unwrap().build().unwrap().metadata;
}

fn rows(kind: &Kind, random: &mut Random) -> RecordBatch {
    let nulls = random.below(3);
    let values: Vec<ScalarValue> = (0..1 + random.below(12))
        .map(|_| {
            let value = (kind.value)(random);
            if random.below(6) < nulls { ScalarValue::try_from(value.data_type()).unwrap() } else { value }
        })
        .collect();
    batch(vec![("c", ScalarValue::iter_to_array(values).unwrap())])
}

/// The files as read from a manifest of that format version, and the manifest as read from its list.
async fn listed(
    table: &Table,
    files: Vec<DataFile>,
    version: FormatVersion,
    random: &mut Random,
) -> (ManifestFile, Vec<DataFile>) {
    let (io, metadata) = (FileIO::new_with_memory(), &table.metadata);
    let (schema, spec) = (metadata.current_schema().clone(), metadata.default_partition_spec().as_ref().clone());
    let builder = ManifestWriterBuilder::new(io.new_output("memory://manifest").unwrap(), Some(1), schema, spec);
    let mut writer = match version {
        FormatVersion::V1 => builder.build_v1(),
        FormatVersion::V2 => builder.build_v2_data(),
        FormatVersion::V3 => builder.build_v3_data(),
    };
    for file in files {
        writer.add_file(file, UNASSIGNED_SEQUENCE_NUMBER).unwrap();
    }
    let manifest = writer.write_manifest_file().await.unwrap();
    let list = io.new_output("memory://list").unwrap();
    let output = list.writer().await.unwrap();
    let mut writer = match version {
        FormatVersion::V1 => ManifestListWriter::v1(output, 1, None),
        FormatVersion::V2 => ManifestListWriter::v2(output, 1, None, 1),
        FormatVersion::V3 => ManifestListWriter::v3(output, 1, None, 1, Some(0)),
    };
    writer.add_manifests([manifest].into_iter()).unwrap();
    writer.close().await.unwrap();
    let read = list.to_input_file().read().await.unwrap();
    let list = ManifestList::parse_with_version(&read, version).unwrap();
    let mut manifest = list.consume_entries().into_iter().next().unwrap();
    let (entries, _) = manifest.load_manifest(&io).await.unwrap().into_parts();
    // Other writers leave some fields out.
    for summary in manifest.partitions.iter_mut().flatten() {
        summary.contains_nan = summary.contains_nan.filter(|_| random.below(2) == 0);
        summary.lower_bound = summary.lower_bound.take().filter(|_| random.below(8) > 0);
    }
    manifest.partitions = manifest.partitions.take().filter(|_| random.below(8) > 0);
    (manifest, entries.iter().map(|entry| entry.data_file().clone()).collect())
}

/// A file's rows with the table's column name and type.
fn as_column(file: &DataFile, name: &str, kind: &Kind) -> RecordBatch {
    let ty = (kind.value)(&mut Random(0)).data_type();
    batch(vec![(name, arrow::compute::cast(read(file).column(0), &ty).unwrap())])
}

#[test]
fn not_a_number_is_greater_than_any() {
    // The test above relies on this: rows compare as in queries.
    let rows = batch(vec![("c", Arc::new(Float64Array::from(vec![f64::NAN, 1.0])) as ArrayRef)]);
    let held = holds(&col("c").gt(lit(f64::INFINITY)), &rows);
    assert_eq!(held.iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
}
