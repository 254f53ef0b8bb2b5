use super::*;

fn all_types() -> Vec<NestedField> {
    let decimal =
        |id, precision, scale| field(id, &format!("decimal_{precision}"), PrimitiveType::Decimal { precision, scale });
    let device = StructType::new(vec![
        field(30, "type", PrimitiveType::String).into(),
        field(31, "version", PrimitiveType::Double).into(),
        NestedField::optional(
            32,
            "os",
            Type::Struct(StructType::new(vec![required(33, "name", PrimitiveType::String).into()])),
        )
        .into(),
    ]);
    let images = ListType::new(NestedField::list_element(34, Type::Primitive(PrimitiveType::String), true).into());
    let scores = MapType::new(
        NestedField::map_key_element(35, Type::Primitive(PrimitiveType::String)).into(),
        NestedField::map_value_element(36, Type::Primitive(PrimitiveType::Long), false).into(),
    );
    vec![
        field(1, "boolean", PrimitiveType::Boolean),
        field(2, "int", PrimitiveType::Int),
        field(3, "long", PrimitiveType::Long),
        field(4, "float", PrimitiveType::Float),
        field(5, "double", PrimitiveType::Double),
        decimal(6, 9, 2),
        decimal(7, 18, 0),
        decimal(8, 19, 4),
        decimal(9, 38, 10),
        field(10, "date", PrimitiveType::Date),
        field(11, "time", PrimitiveType::Time),
        field(12, "timestamp", PrimitiveType::Timestamp),
        field(13, "timestamptz", PrimitiveType::Timestamptz),
        field(14, "string", PrimitiveType::String),
        field(15, "uuid", PrimitiveType::Uuid),
        field(16, "fixed", PrimitiveType::Fixed(3)),
        field(17, "binary", PrimitiveType::Binary),
        NestedField::optional(18, "device", Type::Struct(device)),
        NestedField::optional(19, "images", Type::List(images)),
        NestedField::optional(20, "scores", Type::Map(scores)),
    ]
}

/// Three rows of every type: values, other values, nulls.
fn all_values() -> RecordBatch {
    let decimal = |values: [i128; 2], p, s| -> ArrayRef {
        let values = Decimal128Array::from(vec![Some(values[0]), Some(values[1]), None]);
        Arc::new(values.with_precision_and_scale(p, s).unwrap())
    };
    let os = StructArray::new(
        Fields::from(vec![Field::new("name", DataType::Utf8, true)]),
        vec![Arc::new(StringArray::from(vec![Some("안드로이드"), None, None]))],
        Some(vec![true, false, false].into()),
    );
    let device = StructArray::new(
        Fields::from(vec![
            Field::new("type", DataType::Utf8, true),
            Field::new("version", DataType::Float64, true),
            Field::new("os", os.data_type().clone(), true),
        ]),
        vec![
            Arc::new(StringArray::from(vec![Some("mobile"), None, Some("hidden by a null struct")])),
            Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0), Some(f64::NAN)])),
            Arc::new(os),
        ],
        Some(vec![true, true, false].into()),
    );
    let mut images = ListBuilder::new(StringBuilder::new());
    images.append_value([Some("a.jpg"), Some("나.jpg")]);
    images.append_value(Vec::<Option<&str>>::new());
    images.append_null();
    let mut scores = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    scores.keys().append_value("품질");
    scores.values().append_value(5);
    scores.keys().append_value("배송");
    scores.values().append_null();
    scores.append(true).unwrap();
    scores.append(true).unwrap();
    scores.append(false).unwrap();
    let fixed = |a: &[u8], b: &[u8], n| -> ArrayRef {
        let values = [Some(a), Some(b), None].into_iter();
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, n).unwrap())
    };
    batch(vec![
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("int", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(7), None]))),
        ("long", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-7), None]))),
        ("float", Arc::new(Float32Array::from(vec![Some(1.5), Some(f32::NAN), None]))),
        ("double", Arc::new(Float64Array::from(vec![Some(0.0), Some(-2.5), None]))),
        ("decimal_9", decimal([-123_456_789, 1_999], 9, 2)),
        ("decimal_18", decimal([123_456_789_012_345_678, -1], 18, 0)),
        ("decimal_19", decimal([-1_234_567_890_123_456_789, 5], 19, 4)),
        ("decimal_38", decimal([10i128.pow(38) - 1, -(10i128.pow(38) - 1)], 38, 10)),
        ("date", Arc::new(Date32Array::from(vec![Some(-719_162), Some(20_498), None]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_999), None]))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1_771_059_600_123_456), None]))),
        (
            "timestamptz",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(0), Some(1_771_059_600_000_001), None]).with_timezone("UTC"),
            ),
        ),
        (
            "string",
            Arc::new(StringArray::from(vec![Some("한국어 리뷰: 배송이 빨라요, 품질도 좋아요"), Some(""), None])),
        ),
        ("uuid", fixed(&[0xF0; 16], &[0x0F; 16], 16)),
        ("fixed", fixed(b"abc", b"\xFF\x00\x01", 3)),
        ("binary", Arc::new(BinaryArray::from(vec![Some(&b"\x00\x01"[..]), Some(&[0xFF; 20][..]), None]))),
        ("device", Arc::new(device)),
        ("images", Arc::new(images.finish())),
        ("scores", Arc::new(scores.finish())),
    ])
}

#[tokio::test]
async fn every_type_round_trips() {
    let table = Table::new(all_types(), Layout::default());
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    assert_eq!(files.len(), 1);
    let file = &files[0];
    assert_eq!(file.record_count(), 3);
    assert_eq!(file.file_size_in_bytes(), std::fs::metadata(local(file)).unwrap().len());
    assert_eq!(text(&read(file)), text(&all_values()));
}

#[tokio::test]
async fn files_have_the_types_and_ids_of_the_table() {
    let table = Table::new(all_types(), Layout::default());
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    let metadata = footer(&files[0]);
    assert!(
        metadata.file_metadata().key_value_metadata().is_none_or(|all| all.iter().all(|kv| kv.key != "ARROW:schema"))
    );
    let schema = metadata.file_metadata().schema_descr();
    let leaf =
        |path: &str| schema.columns().iter().find(|c| c.path().string() == path).unwrap_or_else(|| panic!("{path}"));
    let table_schema = table.metadata.current_schema();
    for (path, name) in [
        ("int", "int"),
        ("device.type", "device.type"),
        ("device.os.name", "device.os.name"),
        ("images.list.element", "images.element"),
        ("scores.key_value.key", "scores.key"),
        ("scores.key_value.value", "scores.value"),
    ] {
        let id = table_schema.field_by_name(name).unwrap().id;
        assert_eq!(leaf(path).self_type().get_basic_info().id(), id, "{path}");
    }
    let groups: BTreeMap<_, _> =
        schema.root_schema().get_fields().iter().map(|f| (f.name(), f.get_basic_info().id())).collect();
    assert_eq!(groups["device"], table_schema.field_by_name("device").unwrap().id);
    assert_eq!(groups["scores"], table_schema.field_by_name("scores").unwrap().id);

    let physical = |path: &str| (leaf(path).physical_type(), leaf(path).type_length().max(0));
    assert_eq!(physical("decimal_9"), (PhysicalType::INT32, 0));
    assert_eq!(physical("decimal_18"), (PhysicalType::INT64, 0));
    assert_eq!(physical("decimal_19"), (PhysicalType::FIXED_LEN_BYTE_ARRAY, 9));
    assert_eq!(physical("decimal_38"), (PhysicalType::FIXED_LEN_BYTE_ARRAY, 16));
    assert_eq!(physical("uuid"), (PhysicalType::FIXED_LEN_BYTE_ARRAY, 16));
    assert_eq!(leaf("uuid").logical_type_ref(), Some(&LogicalType::Uuid));
    assert_eq!(leaf("string").logical_type_ref(), Some(&LogicalType::String));
    let adjusted = |path: &str| match leaf(path).logical_type_ref() {
        Some(LogicalType::Timestamp(t)) => t.is_adjusted_to_u_t_c,
        Some(LogicalType::Time(t)) => t.is_adjusted_to_u_t_c,
        other => panic!("{path}: {other:?}"),
    };
    assert!(!adjusted("timestamp") && adjusted("timestamptz") && !adjusted("time"));
    assert!(metadata.offset_index().is_some() || metadata.row_group(0).column(0).offset_index_offset().is_some());
}

#[tokio::test]
async fn bounds_and_counts_are_those_of_the_data() {
    let table = Table::new(all_types(), Layout::default());
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    let file = &files[0];
    let schema = table.metadata.current_schema();
    let id = |name: &str| schema.field_by_name(name).unwrap_or_else(|| panic!("{name}")).id;
    let lower = |name: &str| file.lower_bounds().get(&id(name)).cloned();
    let upper = |name: &str| file.upper_bounds().get(&id(name)).cloned();
    let check = |name: &str, low: Datum, high: Datum| {
        assert_eq!((lower(name), upper(name)), (Some(low), Some(high)), "{name}");
    };
    let decimal = |v: i128, precision, scale| {
        Datum::try_from_bytes(&v.to_be_bytes(), PrimitiveType::Decimal { precision, scale }).unwrap()
    };
    check("boolean", Datum::bool(false), Datum::bool(true));
    check("int", Datum::int(i32::MIN), Datum::int(7));
    check("long", Datum::long(-7), Datum::long(i64::MAX));
    check("float", Datum::float(1.5), Datum::float(1.5));
    check("decimal_9", decimal(-123_456_789, 9, 2), decimal(1_999, 9, 2));
    check("decimal_18", decimal(-1, 18, 0), decimal(123_456_789_012_345_678, 18, 0));
    check("decimal_19", decimal(-1_234_567_890_123_456_789, 19, 4), decimal(5, 19, 4));
    check("decimal_38", decimal(-(10i128.pow(38) - 1), 38, 10), decimal(10i128.pow(38) - 1, 38, 10));
    check("date", Datum::date(-719_162), Datum::date(20_498));
    check("time", Datum::time_micros(0).unwrap(), Datum::time_micros(86_399_999_999).unwrap());
    check("timestamp", Datum::timestamp_micros(-1), Datum::timestamp_micros(1_771_059_600_123_456));
    check("timestamptz", Datum::timestamptz_micros(0), Datum::timestamptz_micros(1_771_059_600_000_001));
    // The first 16 characters of the greatest value, with the last one, a comma, incremented.
    check("string", Datum::string(""), Datum::string("한국어 리뷰: 배송이 빨라요-"));
    check("uuid", Datum::uuid(uuid::Uuid::from_bytes([0x0F; 16])), Datum::uuid(uuid::Uuid::from_bytes([0xF0; 16])));
    check("device.type", Datum::string("mobile"), Datum::string("mobile"));
    // Only longer values are above 16 bytes of 0xFF: no bound.
    assert_eq!((lower("binary"), upper("binary")), (Some(Datum::binary(*b"\x00\x01")), None));
    // A zero bound in a column of floats includes both zeros.
    let double = |d: Option<Datum>| d.unwrap().to_bytes().unwrap().to_vec();
    assert_eq!(double(upper("double")), 0.0f64.to_le_bytes());
    assert_eq!(double(lower("device.version")), (-0.0f64).to_le_bytes());
    assert_eq!(double(upper("device.version")), 0.0f64.to_le_bytes());
    for repeated in ["images.element", "scores.key", "scores.value"] {
        assert_eq!((lower(repeated), upper(repeated)), (None, None), "{repeated}");
    }

    let counts = |name: &str| {
        let of = |counts: &HashMap<i32, u64>| counts.get(&id(name)).copied();
        (of(file.value_counts()), of(file.null_value_counts()), of(file.nan_value_counts()))
    };
    assert_eq!(counts("int"), (Some(3), Some(1), None));
    assert_eq!(counts("float"), (Some(3), Some(1), Some(1)));
    assert_eq!(counts("double"), (Some(3), Some(1), Some(0)));
    assert_eq!(counts("device.type"), (Some(3), Some(2), None));
    // The NaN under the null struct does not count.
    assert_eq!(counts("device.version"), (Some(3), Some(1), Some(1)));
    assert!(file.column_sizes()[&id("images.element")] > 0);
    assert_eq!(file.split_offsets(), Some(&[4i64][..]));
    assert_eq!(file.sort_order_id(), Some(0));
}

#[tokio::test]
async fn metrics_modes_are_honoured() {
    let fields = || {
        vec![
            field(1, "a", PrimitiveType::String),
            field(2, "b", PrimitiveType::String),
            field(3, "c", PrimitiveType::String),
            field(4, "d", PrimitiveType::String),
        ]
    };
    let long = "x".repeat(200);
    let column = || -> ArrayRef { Arc::new(StringArray::from(vec![long.as_str()])) };
    let rows = batch(vec![("a", column()), ("b", column()), ("c", column()), ("d", column())]);
    let table = Table::new(
        fields(),
        Layout {
            properties: vec![
                ("write.metadata.metrics.default", "full"),
                ("write.metadata.metrics.column.b", "truncate(3)"),
                ("write.metadata.metrics.column.c", "counts"),
                ("write.metadata.metrics.column.d", "none"),
            ],
            ..Layout::default()
        },
    );
    let files = table.write(vec![vec![rows]]).await.unwrap();
    let upper = |id: i32| files[0].upper_bounds().get(&id).cloned();
    assert_eq!(upper(1), Some(Datum::string(&long)));
    assert_eq!(upper(2), Some(Datum::string("xxy")));
    assert_eq!((upper(3), upper(4)), (None, None));
    assert_eq!(files[0].value_counts().keys().collect::<BTreeSet<_>>(), BTreeSet::from([&1, &2, &3]));

    let wrong = Table::new(
        fields(),
        Layout { properties: vec![("write.metadata.metrics.default", "some")], ..Layout::default() },
    );
    assert_eq!(WriteSpec::from_metadata(&wrong.metadata).unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn partition_values_of_every_type_round_trip() {
    let types = [
        "boolean",
        "int",
        "long",
        "decimal_9",
        "decimal_38",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "string",
        "fixed",
        "binary",
    ];
    let table = Table::new(
        all_types(),
        Layout { partitions: types.into_iter().map(|name| (name, Transform::Identity)).collect(), ..Layout::default() },
    );
    let files = table.write(vec![vec![all_values()]]).await.unwrap();
    assert_eq!(files.len(), 3);
    let nulls = files.iter().find(|f| f.partition().is_null_at_index(0)).unwrap();
    assert!(nulls.partition().iter().all(|v| v.is_none()));
    let first = files.iter().find(|f| f.partition()[0] == Some(Literal::bool(true))).unwrap();
    let expected = [
        Literal::bool(true),
        Literal::int(i32::MIN),
        Literal::long(i64::MAX),
        Literal::decimal(-123_456_789),
        Literal::decimal(10i128.pow(38) - 1),
        Literal::date(-719_162),
        Literal::time(0),
        Literal::timestamp(-1),
        Literal::timestamptz(0),
        Literal::string("한국어 리뷰: 배송이 빨라요, 품질도 좋아요"),
        Literal::fixed(*b"abc"),
        Literal::binary(*b"\x00\x01"),
    ];
    assert_eq!(*first.partition(), Struct::from_iter(expected.map(Some)));
    let path = first.file_path();
    assert!(
        path.contains("/decimal_9=-1234567.89/decimal_38=9999999999999999999999999999.9999999999/date=0001-01-01/"),
        "{path}"
    );
    assert!(path.contains("/time=00%3A00%3A00/timestamp=1969-12-31T23%3A59%3A59.999999/"), "{path}");
    assert!(local(first).exists());
}

#[tokio::test]
async fn settings_come_from_the_properties() {
    use parquet::basic::Compression;
    let fields = || vec![field(1, "id", PrimitiveType::Long), field(2, "name", PrimitiveType::String)];
    let rows = || {
        batch(vec![
            ("id", Arc::new(Int64Array::from_iter_values(0..1_000))),
            ("name", Arc::new(StringArray::from_iter_values((0..1_000).map(|i| format!("n{i}"))))),
        ])
    };
    let table = Table::new(fields(), Layout::default());
    let usual = footer(&table.write(vec![vec![rows()]]).await.unwrap()[0]);
    assert!(matches!(usual.row_group(0).column(0).compression(), Compression::ZSTD(_)));
    assert!(usual.row_group(0).column(0).bloom_filter_offset().is_none());

    let table = Table::new(
        fields(),
        Layout {
            properties: vec![
                ("write.parquet.compression-codec", "SNAPPY"),
                ("write.parquet.bloom-filter-enabled.column.id", "true"),
                ("write.parquet.row-group-limit", "300"),
                ("write.data.path", "file:///nowhere/"),
            ],
            ..Layout::default()
        },
    );
    let mut spec = table.spec();
    assert_eq!(spec.data_location, "file:///nowhere");
    spec.data_location = format!("file://{}/elsewhere", table.folder.0.display());
    let plan = plan_write(input(vec![vec![rows()]]), &spec, &ConfigOptions::default()).unwrap();
    let files = table.run(plan).await.unwrap();
    let footer = footer(&files[0]);
    assert_eq!(footer.num_row_groups(), 4);
    assert_eq!(footer.row_group(0).column(0).compression(), Compression::SNAPPY);
    assert!(footer.row_group(0).column(0).bloom_filter_offset().is_some());
    assert!(footer.row_group(0).column(1).bloom_filter_offset().is_none());

    for (key, value) in [
        ("write.parquet.compression-codec", "best"),
        ("write.parquet.compression-level", "99"),
        ("write.target-file-size-bytes", "big"),
        ("write.distribution-mode", "everywhere"),
        ("write.parquet.bloom-filter-fpp.column.id", "2"),
    ] {
        let properties = vec![(key, value), ("write.parquet.bloom-filter-enabled.column.id", "true")];
        let wrong = Table::new(fields(), Layout { properties, ..Layout::default() });
        assert_eq!(WriteSpec::from_metadata(&wrong.metadata).unwrap_err().kind(), ErrorKind::Invalid, "{key}");
    }
    let avro = Table::new(fields(), Layout { properties: vec![("write.format.default", "avro")], ..Layout::default() });
    assert_eq!(WriteSpec::from_metadata(&avro.metadata).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn columns_are_found_by_name_and_cast() {
    let table = Table::new(
        vec![
            field(1, "a", PrimitiveType::Int),
            field(2, "b", PrimitiveType::Decimal { precision: 10, scale: 2 }),
            field(3, "c", PrimitiveType::Timestamptz),
            field(4, "d", PrimitiveType::String),
        ],
        Layout { partitions: vec![("c", Transform::Day)], ..Layout::default() },
    );
    let rows = batch(vec![
        ("c", Arc::new(TimestampNanosecondArray::from(vec![1_771_059_600_000_000_999]).with_timezone("Asia/Seoul"))),
        ("b", Arc::new(Float64Array::from(vec![19.99]))),
        ("a", Arc::new(Int64Array::from(vec![7]))),
    ]);
    let files = table.write(vec![vec![rows]]).await.unwrap();
    let back = read(&files[0]);
    assert_eq!(back.column(0).as_primitive::<Int32Type>().value(0), 7);
    assert_eq!(back.column(1).as_primitive::<arrow::datatypes::Decimal128Type>().value(0), 1_999);
    assert_eq!(back.column(2).as_primitive::<TimestampMicrosecondType>().value(0), 1_771_059_600_000_000);
    assert!(back.column(3).is_null(0));

    let refused = |columns: Vec<(&str, ArrayRef)>| {
        plan_write(input(vec![vec![batch(columns)]]), &table.spec(), &ConfigOptions::default()).unwrap_err()
    };
    let int = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let error = refused(vec![("a", int()), ("z", int())]);
    assert!(error.to_string().contains("no column z"), "{error}");
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]));
    let error = refused(vec![("a", list)]);
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("column a"), "{error}");
    // A value that does not fit is an error, not a null.
    let rows = batch(vec![("a", Arc::new(Int64Array::from(vec![i64::MAX])))]);
    assert!(table.write(vec![vec![rows]]).await.is_err());
}

#[tokio::test]
async fn lists_of_other_layouts_are_accepted() {
    let element = NestedField::list_element(2, Type::Primitive(PrimitiveType::String), true);
    let table = Table::new(
        vec![NestedField::optional(1, "tags", Type::List(ListType::new(element.into())))],
        Layout::default(),
    );
    let mut tags = LargeListBuilder::new(StringViewBuilder::new());
    tags.append_value([None::<&str>]);
    tags.append_value([Some("a"), Some("나")]);
    tags.append_null();
    // The null is outside the slice.
    let rows = batch(vec![("tags", Arc::new(tags.finish()))]).slice(1, 2);
    let files = table.write(vec![vec![rows]]).await.unwrap();
    assert!(text(&read(&files[0])).contains("[a, 나]"));
    assert_eq!(files[0].record_count(), 2);
}

#[tokio::test]
async fn bounds_include_all_row_groups() {
    let fields = vec![
        field(1, "n", PrimitiveType::Long),
        field(2, "x", PrimitiveType::Double),
        field(3, "s", PrimitiveType::String),
    ];
    let properties = vec![("write.parquet.row-group-limit", "64")];
    let table = Table::new(fields, Layout { properties, ..Layout::default() });
    let number = |i: i64| (i * 7_919) % 1_009 - 500;
    // The first row groups have only nulls and NaN.
    let value = |i: i64| (i >= 128).then(|| number(i));
    let rows = batch(vec![
        ("n", Arc::new(Int64Array::from_iter((0..1_000).map(value)))),
        ("x", Arc::new(Float64Array::from_iter((0..1_000).map(|i| value(i).map_or(f64::NAN, |v| v as f64))))),
        ("s", Arc::new(StringArray::from_iter((0..1_000).map(|i| value(i).map(|v| format!("{v:+05}")))))),
    ]);
    let files = table.write(vec![vec![rows]]).await.unwrap();
    let file = &files[0];
    let low = (128..1_000).map(number).min().unwrap();
    let high = (128..1_000).map(number).max().unwrap();
    let text = || (128..1_000).map(|i| format!("{:+05}", number(i)));
    let bounds = |id: i32| (file.lower_bounds()[&id].clone(), file.upper_bounds()[&id].clone());
    assert_eq!(footer(file).num_row_groups(), 16);
    assert_eq!(bounds(1), (Datum::long(low), Datum::long(high)));
    assert_eq!(bounds(2), (Datum::double(low as f64), Datum::double(high as f64)));
    assert_eq!(bounds(3), (Datum::string(text().min().unwrap()), Datum::string(text().max().unwrap())));
    assert_eq!(
        (file.null_value_counts()[&1], file.nan_value_counts()[&2], file.null_value_counts()[&2]),
        (128, 128, 0)
    );
}

#[test]
fn partitions_that_cannot_be_listed_are_refused_before_anything_is_written() {
    let fields = || vec![field(1, "uuid", PrimitiveType::Uuid), field(2, "ns", PrimitiveType::TimestampNs)];
    let check = |column: &'static str, transform: Transform, expected: Option<ErrorKind>| {
        let table = Table::new(fields(), Layout { partitions: vec![(column, transform)], ..Layout::default() });
        assert_eq!(WriteSpec::from_metadata(&table.metadata).err().map(|e| e.kind()), expected, "{column} {transform}");
    };
    check("uuid", Transform::Identity, Some(ErrorKind::Unsupported));
    check("uuid", Transform::Bucket(4), None);
    check("ns", Transform::Identity, Some(ErrorKind::Unsupported));
    check("ns", Transform::Hour, None);
}
