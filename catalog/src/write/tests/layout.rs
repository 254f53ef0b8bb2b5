use super::*;

#[tokio::test]
async fn rows_are_sorted_within_their_partitions() {
    let table = Table::new(shop(), shop_layout());
    let first = -2 * DAY;
    let parts: Vec<_> =
        (0..3).map(|i| vec![events(first + i * 1_000, 96), events(first + i * 1_000 + 500, 96)]).collect();
    let files = table.write(parts).await.unwrap();

    assert_eq!(files.iter().map(|f| f.record_count()).sum::<u64>(), 3 * 2 * 96);
    // Distribution by hash: one file per partition, although three tasks had rows of each.
    let partitions: Vec<_> = files.iter().map(|f| f.partition().clone()).collect();
    assert_eq!(partitions.len(), 4 * 4);
    assert_eq!(partitions.iter().collect::<std::collections::HashSet<_>>().len(), 16);
    for file in &files {
        let rows = read(file);
        let ts = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
        let days: BTreeSet<_> = ts.iter().map(|v| v.div_euclid(DAY)).collect();
        let types: BTreeSet<_> = rows.column(1).as_string::<i32>().iter().collect();
        assert_eq!((days.len(), types.len()), (1, 1));
        let kind = types.first().unwrap().map(Literal::string);
        assert_eq!(*file.partition(), Struct::from_iter([Some(Literal::date(*days.first().unwrap() as i32)), kind]));
        let products = rows.column(2).as_primitive::<Int64Type>().values();
        let keys: Vec<_> = ts.iter().zip(products).map(|(t, p)| (*t, -*p)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(file.sort_order_id(), Some(1));
        let sorting = footer(file).row_group(0).sorting_columns().cloned().unwrap();
        assert_eq!(sorting.iter().map(|s| (s.column_idx, s.descending)).collect::<Vec<_>>(), [(0, false), (2, true)]);
    }
    let purchases = Struct::from_iter([Some(Literal::date(-2)), Some(Literal::string("구매 / 결제*"))]);
    let path = files.iter().find(|f| *f.partition() == purchases).unwrap().file_path();
    let folder = "/data/ts_day=1969-12-30/event_type=%EA%B5%AC%EB%A7%A4+%2F+%EA%B2%B0%EC%A0%9C%2A/00";
    assert!(path.contains(folder), "{path}");
    assert!(files.iter().any(|f| f.file_path().contains("/event_type=null/")));
}

#[tokio::test]
async fn nested_fields_and_all_transforms_can_partition_and_sort() {
    let table = Table::new(
        shop(),
        Layout {
            partitions: vec![
                ("device.type", Transform::Identity),
                ("ts", Transform::Month),
                ("product_id", Transform::Bucket(3)),
                ("event_type", Transform::Truncate(1)),
            ],
            sort: vec![
                ("product_id", Transform::Truncate(5), SortDirection::Descending, NullOrder::First),
                ("ts", Transform::Hour, SortDirection::Ascending, NullOrder::Last),
            ],
            ..Layout::default()
        },
    );
    let files = table.write(vec![vec![events(-20 * DAY, 1_000)], vec![events(0, 500)]]).await.unwrap();
    assert_eq!(files.iter().map(|f| f.record_count()).sum::<u64>(), 1_500);
    for file in &files {
        let rows = read(file);
        let device = rows.column(3).as_struct().column(0).as_string::<i32>();
        let devices: BTreeSet<_> = device.iter().collect();
        assert_eq!(devices.len(), 1);
        assert_eq!(file.partition().fields()[0], Some(Literal::string(devices.first().unwrap().unwrap())));
        let keys: Vec<_> = rows
            .column(2)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .zip(rows.column(0).as_primitive::<TimestampMicrosecondType>().values())
            .map(|(p, t)| (-(p - p % 5), t.div_euclid(DAY / 24)))
            .collect();
        assert!(keys.is_sorted());
    }
    let path = files[0].file_path();
    assert!(
        path.contains("/device_type=") && path.contains("/ts_month=19") | path.contains("/ts_month=1970-0"),
        "{path}"
    );
}

#[tokio::test]
async fn rows_that_are_not_clustered_are_written_correctly() {
    let table = Table::new(shop(), shop_layout());
    let plan = Arc::new(IcebergWriteExec::try_new(input(vec![vec![events(0, 40)]]), Arc::new(table.spec())).unwrap());
    let files = table.run(plan).await.unwrap();
    assert!(files.len() > 8);
    assert_eq!(files.iter().map(|f| f.record_count()).sum::<u64>(), 40);
    for file in &files {
        let types: BTreeSet<_> =
            read(file).column(1).as_string::<i32>().iter().map(|v| v.map(str::to_string)).collect();
        assert_eq!(file.partition()[1], types.first().unwrap().as_ref().map(Literal::string));
    }
}

#[tokio::test]
async fn files_roll_at_the_target_size() {
    let table = Table::new(
        vec![field(1, "n", PrimitiveType::Long)],
        Layout {
            properties: vec![
                ("write.target-file-size-bytes", "100000"),
                ("write.parquet.compression-codec", "uncompressed"),
                ("write.parquet.dictionary-enabled", "false"),
                ("write.parquet.row-group-limit", "1000"),
            ],
            ..Layout::default()
        },
    );
    let batches =
        (0..10).map(|b| batch(vec![("n", Arc::new(Int64Array::from_iter_values(b * 8_000..(b + 1) * 8_000)))]));
    let files = table.write(vec![batches.collect()]).await.unwrap();
    assert_eq!(files.len(), 5);
    for file in &files {
        assert_eq!(file.record_count(), 16_000);
        let offsets = file.split_offsets().unwrap();
        assert_eq!(offsets.len(), 16);
        assert!(offsets.is_sorted() && offsets[0] == 4);
    }
    let bounds: BTreeSet<_> = files.iter().map(|f| f.lower_bounds()[&1].to_string()).collect();
    assert_eq!(bounds.len(), 5);
}

#[tokio::test]
async fn an_empty_input_writes_nothing() {
    let table = Table::new(shop(), shop_layout());
    let files = table.write(vec![vec![events(0, 10).slice(0, 0)]]).await.unwrap();
    assert!(files.is_empty() && table.folder.files().is_empty());
}

#[tokio::test]
async fn paths_are_hashed_if_the_table_says_so() {
    let elsewhere = Folder::new();
    let elsewhere_uri: &'static str = format!("file://{}", elsewhere.0.display()).leak();
    for (properties, data) in [
        (vec![("write.object-storage.enabled", "true")], None),
        (vec![("write.object-storage.enabled", "true"), ("write.data.path", elsewhere_uri)], Some(&elsewhere)),
    ] {
        let table = Table::new(shop(), Layout { properties, ..shop_layout() });
        let files = table.write(vec![vec![events(0, 96)]]).await.unwrap();
        assert!(files.len() > 1);
        let root = match data {
            Some(folder) => format!("file://{}", folder.0.display()),
            None => format!("{}/data", table.metadata.location()),
        };
        for file in &files {
            let path =
                file.file_path().strip_prefix(&format!("{root}/")).unwrap_or_else(|| panic!("{}", file.file_path()));
            let levels: Vec<&str> = path.split('/').collect();
            assert_eq!(levels[..4].iter().map(|bits| bits.len()).collect::<Vec<_>>(), [4, 4, 4, 8], "{path}");
            assert!(levels[..4].concat().bytes().all(|b| matches!(b, b'0' | b'1')), "{path}");
            // Data outside of the table's location may be mixed with that of other tables.
            let context = if data.is_some() { 2 } else { 0 };
            assert!(levels[4 + context].starts_with("ts_day="), "{path}");
            assert_eq!(read(file).num_rows() as u64, file.record_count());
        }
        assert_eq!(table.folder.files().len() + elsewhere.files().len(), files.len());
        // Files of a failed write are found by its id in their names.
        let runtime = SessionContext::new().runtime_env();
        assert_eq!(delete_orphan_files(&runtime, &table.spec(), &[]).await.unwrap(), 0, "of another write");
    }
}
