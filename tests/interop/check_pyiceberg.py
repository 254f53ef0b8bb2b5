"""Checks PyIceberg and Bergmill on one catalog file and the same tables, both reading and both writing.

    check_pyiceberg.py FOLDER     the data folder that `bergmill demo` has filled; tables are added and changed
"""

import datetime
import threading
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import (
    BinaryType, BooleanType, DateType, DecimalType, DoubleType, FloatType, IntegerType, ListType, LongType, NestedField,
    StringType, StructType, TimestampType, TimestamptzType, TimeType,
)

from harness import arrow, catalog, equal, equal_rows, live_files, local_path, main, serving, sql

UTC = datetime.timezone.utc

TABLES = {
    "raw": {"shopping_events", "reviews", "products", "users", "categories", "brands", "ecommerce_logs"},
    "processed": {"purchases"},
    "aggregated": {
        "data_quality", "daily_sales", "category_sales", "hourly_traffic", "product_conversion", "review_mentions",
        "review_sentiment", "rating_distribution", "product_ratings", "daily_metrics", "category_stats",
        "hourly_activity", "funnel", "user_behavior",
    },
}
# Name and type of each column, as Iceberg writes types.
COLUMNS = {
    "raw.shopping_events": [
        ("event_id", "string"), ("event_type", "string"), ("user_id", "string"), ("product_id", "string"),
        ("category", "string"), ("price", "decimal(10, 2)"), ("quantity", "int"), ("timestamp", "timestamptz"),
        ("session_id", "string"), ("device", {"type": "string", "os": "string", "app_version": "string"}),
        ("context", {"referrer": "string", "campaign": {"id": "string", "name": "string"}}), ("search_query", "string"),
    ],
    "raw.reviews": [
        ("review_id", "string"), ("product_id", "string"), ("user_id", "string"), ("rating", "int"), ("text", "string"),
        ("images", ["string"]), ("created_at", "timestamptz"),
    ],
    "aggregated.daily_sales": [
        ("date", "date"), ("total_sales", "decimal(18, 2)"), ("orders", "long"), ("buyers", "long"),
        ("avg_order", "double"),
    ],
}
PARTITIONS = {
    "raw.shopping_events": [("timestamp", "day"), ("event_type", "identity")],
    "raw.reviews": [("created_at", "day")],
    "raw.ecommerce_logs": [("timestamp", "day")],
    "raw.products": [],
    "processed.purchases": [("date", "identity")],
    "aggregated.daily_sales": [("date", "identity")],
}
SORT = {
    "raw.shopping_events": ["timestamp", "product_id"],
    "raw.reviews": ["product_id", "created_at"],
    "raw.products": ["product_id"],
    "raw.users": ["user_id"],
    "raw.brands": [],
}


def body(checks, folder):
    shop = catalog(folder)
    layout(checks, shop)
    files(checks, shop)
    reading(checks, shop, folder)
    with serving(folder) as door:
        taking_turns(checks, shop, door)
        at_the_same_time(checks, shop, door)
        table_of_pyiceberg(checks, shop, door)
        tables_of_bergmill(checks, shop, door)
        branches_and_tags(checks, shop, door)


# ---------------------------------------------------------------------------------------------------------------------
# Catalog and metadata


def layout(checks, shop):
    with checks.check("namespaces and tables"):
        equal({".".join(n) for n in shop.list_namespaces()}, set(TABLES), "namespaces")
        for namespace, names in TABLES.items():
            equal({t[-1] for t in shop.list_tables(namespace)}, names, f"tables of {namespace}")
    for name, columns in COLUMNS.items():
        with checks.check(f"{name}: columns and types"):
            fields = shop.load_table(name).schema().fields
            equal([(f.name, shape(f.field_type)) for f in fields], columns, "columns")
    for name, want in PARTITIONS.items():
        with checks.check(f"{name}: partitioning"):
            table = shop.load_table(name)
            got = [(table.schema().find_column_name(f.source_id), str(f.transform)) for f in table.spec().fields]
            equal(got, want, "partition fields")
    for name, want in SORT.items():
        with checks.check(f"{name}: sort order"):
            table = shop.load_table(name)
            got = [
                (table.schema().find_column_name(f.source_id), str(f.transform), f.direction, f.null_order)
                for f in table.sort_order().fields
            ]
            equal(got, [(c, "identity", SortDirection.ASC, NullOrder.NULLS_LAST) for c in want], "sort fields")


def shape(kind):
    if isinstance(kind, StructType):
        return {f.name: shape(f.field_type) for f in kind.fields}
    if isinstance(kind, ListType):
        return [shape(kind.element_type)]
    return str(kind)


# ---------------------------------------------------------------------------------------------------------------------
# Data files


def files(checks, shop):
    for name in ["raw.shopping_events", "raw.reviews", "aggregated.daily_sales"]:
        with checks.check(f"{name}: the files' field ids are those of the schema"):
            table = shop.load_table(name)
            want = iceberg_ids(table.schema().as_struct())
            for path in live_files(table):
                equal(parquet_ids(pq.read_schema(path)), want, f"field ids of {path}")
    for name, order in SORT.items():
        if not order:
            continue
        with checks.check(f"{name}: rows are sorted within each file"):
            for path in live_files(shop.load_table(name)):
                rows = pq.ParquetFile(path).read(columns=order)
                assert in_order(rows, [(c, "ascending", "at_end") for c in order]), f"{path} is not sorted"
    for name, column in [("raw.shopping_events", "timestamp"), ("raw.reviews", "product_id")]:
        with checks.check(f"{name}: manifests have the right row counts, null counts and bounds"):
            for file in shop.load_table(name).inspect.files().to_pylist():
                path = local_path(file["file_path"])
                rows = pq.ParquetFile(path).read(columns=[column])[column]
                metrics = file["readable_metrics"][column]
                equal(file["record_count"], len(rows), f"rows of {path}")
                equal(metrics["value_count"], len(rows), f"values of {path}")
                equal(metrics["null_value_count"], rows.null_count, f"nulls of {path}")
                least, greatest = pc.min_max(rows).as_py().values()
                assert metrics["lower_bound"] <= least, f"{path}: {metrics['lower_bound']} > {least}"
                assert metrics["upper_bound"] >= greatest, f"{path}: {metrics['upper_bound']} < {greatest}"


def iceberg_ids(struct, prefix=""):
    ids = {}
    for f in struct.fields:
        ids[prefix + f.name] = f.field_id
        if isinstance(f.field_type, StructType):
            ids |= iceberg_ids(f.field_type, f"{prefix}{f.name}.")
        if isinstance(f.field_type, ListType):
            ids[f"{prefix}{f.name}[]"] = f.field_type.element_id
    return ids


def parquet_ids(fields, prefix=""):
    def number(field):
        return int((field.metadata or {}).get(b"PARQUET:field_id", -1))

    ids = {}
    for f in fields:
        ids[prefix + f.name] = number(f)
        if pa.types.is_struct(f.type):
            ids |= parquet_ids(f.type.fields, f"{prefix}{f.name}.")
        if pa.types.is_list(f.type):
            ids[f"{prefix}{f.name}[]"] = number(f.type.value_field)
    return ids


def in_order(rows, keys):
    """Whether sorting would move no row; the sort is stable, so rows with equal keys do not count."""
    positions = pc.sort_indices(rows.combine_chunks(), sort_keys=keys)
    return positions.equals(pa.array(range(rows.num_rows), pa.uint64()))


# ---------------------------------------------------------------------------------------------------------------------
# The same rows


def reading(checks, shop, folder):
    with checks.check("every table: a scan of PyIceberg returns as many rows as Bergmill counts"):
        names = [f"{namespace}.{table}" for namespace, tables in TABLES.items() for table in sorted(tables)]
        counts = sql(folder, " UNION ALL ".join(f"SELECT '{n}' AS name, count(*) AS n FROM {n}" for n in names))
        got = {n: shop.load_table(n).scan(selected_fields=(column_of(shop, n),)).to_arrow().num_rows for n in names}
        equal(got, {row["name"]: row["n"] for row in counts}, "rows")

    with checks.check("raw.shopping_events: sums, bounds and nested fields"):
        fields = ("price", "quantity", "timestamp", "event_id", "device", "context", "search_query")
        rows = shop.load_table("raw.shopping_events").scan(selected_fields=fields).to_arrow()
        campaign = pc.struct_field(rows["context"], ["campaign", "id"])
        got = {
            "price": str(pc.sum(rows["price"].cast(pa.decimal128(30, 2)))),
            "quantity": pc.sum(rows["quantity"]).as_py(),
            "ids": pc.count_distinct(rows["event_id"]).as_py(),
            "least": pc.min(rows["timestamp"]).cast(pa.int64()).as_py(),
            "greatest": pc.max(rows["timestamp"]).cast(pa.int64()).as_py(),
            "systems": pc.count_distinct(pc.struct_field(rows["device"], "os")).as_py(),
            "campaigns": pc.count(campaign).as_py(),
            "letters": pc.sum(pc.utf8_length(rows["search_query"])).as_py(),
        }
        [want] = sql(folder, """
            SELECT CAST(sum(price) AS TEXT) AS price, sum(quantity) AS quantity, count(DISTINCT event_id) AS ids,
                   CAST(to_unixtime(min(timestamp)) AS BIGINT) AS least, CAST(to_unixtime(max(timestamp)) AS BIGINT) AS greatest,
                   count(DISTINCT device['os']) AS systems, count(context['campaign']['id']) AS campaigns,
                   sum(character_length(search_query)) AS letters
            FROM raw.shopping_events""")
        got |= {bound: got[bound] // 1_000_000 for bound in ("least", "greatest")}
        equal(got, want, "sums")

    with checks.check("raw.reviews: all columns of a product's rows, with Korean text and lists"):
        [best] = sql(folder, "SELECT product_id AS p FROM raw.reviews GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
        got = shop.load_table("raw.reviews").scan(row_filter=EqualTo("product_id", best["p"])).to_arrow()
        want = sql(folder, f"""
            SELECT review_id, product_id, user_id, rating, text, images, CAST(created_at AS TEXT) AS created_at
            FROM raw.reviews WHERE product_id = '{best['p']}'""")
        assert want, "no rows"
        for row in want:
            row["created_at"] = datetime.datetime.fromisoformat(row["created_at"])
        by_id = lambda row: row["review_id"]
        equal_rows(sorted(got.to_pylist(), key=by_id), sorted(want, key=by_id))

    with checks.check("raw.shopping_events: PyIceberg prunes files by partition"):
        scan = shop.load_table("raw.shopping_events").scan(
            row_filter=And(EqualTo("event_type", "purchase"), GreaterThanOrEqual("timestamp", "2026-02-14T12:00:00+00:00")),
            selected_fields=("quantity",),
        )
        types = {task.file.partition[1] for task in scan.plan_files()}
        equal(types, {"purchase"}, "event types of the planned files")
        [want] = sql(folder, """SELECT count(*) AS n FROM raw.shopping_events
                                WHERE event_type = 'purchase' AND timestamp >= TIMESTAMP '2026-02-14T12:00:00Z'""")
        equal(scan.to_arrow().num_rows, want["n"], "rows")


def column_of(shop, name):
    return shop.load_table(name).schema().fields[0].name


# ---------------------------------------------------------------------------------------------------------------------
# Both engines write


def brands(*rows):
    columns = ["brand_id", "name", "country", "category"]
    schema = pa.schema([(column, pa.string()) for column in columns])
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema=schema)


def taking_turns(checks, shop, door):
    names = "SELECT name FROM raw.brands WHERE brand_id LIKE 'turn-%' ORDER BY brand_id"
    with checks.check("raw.brands: PyIceberg appends and Bergmill reads"):
        equal(sql(door, names), [], "rows before")
        table = shop.load_table("raw.brands")
        table.append(brands(("turn-1", "하늘 상점", "KR", "books"), ("turn-2", None, None, None)))
        equal([row["name"] for row in sql(door, names)], ["하늘 상점", None], "names")
    with checks.check("raw.brands: Bergmill inserts and PyIceberg reads"):
        sql(door, "INSERT INTO raw.brands VALUES ('turn-3', '바다 ''상점''', 'KR', NULL)")
        rows = shop.load_table("raw.brands").scan(row_filter=EqualTo("brand_id", "turn-3")).to_arrow().to_pylist()
        want = {"brand_id": "turn-3", "name": "바다 '상점'", "country": "KR", "category": None}
        equal(rows, [want], "rows")
    with checks.check("raw.brands: PyIceberg's history has both writers' snapshots, one after the other"):
        # The order of snapshots in metadata is arbitrary.
        snapshots = sorted(shop.load_table("raw.brands").metadata.snapshots, key=lambda s: s.sequence_number)
        for before, after in zip(snapshots, snapshots[1:]):
            equal(after.parent_snapshot_id, before.snapshot_id, "parent")
            assert after.sequence_number > before.sequence_number, "two snapshots have the same sequence number"
        rows = shop.load_table("raw.brands").scan().to_arrow().num_rows
        equal(int(snapshots[-1].summary.additional_properties["total-records"]), rows, "total-records")
    with checks.check("raw.brands: a table that PyIceberg loaded before Bergmill's commit loses no rows"):
        stale = shop.load_table("raw.brands")
        sql(door, "INSERT INTO raw.brands VALUES ('turn-4', 'four', NULL, NULL)")
        try:
            stale.append(brands(("turn-5", "five", None, None)))
        except CommitFailedException:
            shop.load_table("raw.brands").append(brands(("turn-5", "five", None, None)))
        equal(len(sql(door, names)), 5, "rows")


def at_the_same_time(checks, shop, door):
    with checks.check("raw.brands: both write at the same time, and every row is written once"):
        rounds = 6
        errors = []

        def bergmill_writes():
            try:
                for n in range(rounds):
                    sql(door, f"INSERT INTO raw.brands VALUES ('concurrent-b{n}', 'b', NULL, NULL)")
            except Exception as error:
                errors.append(error)

        writer = threading.Thread(target=bergmill_writes)
        writer.start()
        for n in range(rounds):
            while True:
                try:
                    shop.load_table("raw.brands").append(brands((f"concurrent-p{n}", "p", None, None)))
                    break
                except CommitFailedException:
                    # Bergmill's commit won; users of PyIceberg have to retry.
                    continue
        writer.join()
        equal(errors, [], "errors of bergmill")
        want = sorted(f"concurrent-{writer}{n}" for writer in "bp" for n in range(rounds))
        got = sql(door, "SELECT brand_id FROM raw.brands WHERE brand_id LIKE 'concurrent-%' ORDER BY brand_id")
        equal([row["brand_id"] for row in got], want, "rows that Bergmill reads")
        read = shop.load_table("raw.brands").scan().to_arrow()["brand_id"].to_pylist()
        equal(sorted(b for b in read if b.startswith("concurrent-")), want, "rows that PyIceberg reads")


# ---------------------------------------------------------------------------------------------------------------------
# A table of PyIceberg with all types


def all_types():
    geo = StructType(NestedField(22, "lat", DoubleType()), NestedField(23, "lon", DoubleType()))
    place = StructType(NestedField(20, "city", StringType()), NestedField(21, "geo", geo))
    stop = StructType(NestedField(31, "at", TimestamptzType()), NestedField(32, "fee", DecimalType(9, 3)))
    return Schema(
        NestedField(1, "id", LongType(), required=True),
        NestedField(2, "kind", StringType()),
        NestedField(3, "happened", TimestamptzType()),
        NestedField(4, "wall_clock", TimestampType()),
        NestedField(5, "due", DateType()),
        NestedField(6, "amount", DecimalType(12, 2)),
        NestedField(7, "huge", DecimalType(38, 10)),
        NestedField(8, "tags", ListType(24, StringType(), element_required=False)),
        NestedField(9, "place", place),
        NestedField(10, "stops", ListType(30, stop, element_required=False)),
        NestedField(11, "good", BooleanType()),
        NestedField(12, "small", IntegerType()),
        NestedField(13, "ratio", FloatType()),
        NestedField(14, "share", DoubleType()),
        NestedField(15, "opens", TimeType()),
        NestedField(16, "bytes", BinaryType()),
    )


def instant(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


ROWS = [
    {
        "id": 1, "kind": "전자 제품/1", "happened": instant("2026-02-14T23:59:59.999999"),
        "wall_clock": datetime.datetime(2026, 2, 14, 8, 59, 59, 999999), "due": datetime.date(2026, 2, 28),
        "amount": Decimal("9999999999.99"), "huge": Decimal("1234567890123456789012345678.0123456789"),
        "tags": ["빠른 배송", "", None], "place": {"city": "서울", "geo": {"lat": 37.5665, "lon": 126.978}},
        "stops": [{"at": instant("2026-02-15T00:00:00"), "fee": Decimal("0.001")}, None], "good": True, "small": -(2**31),
        "ratio": 0.5, "share": 0.1, "opens": datetime.time(9, 30, 0, 1), "bytes": b"\x00\xff",
    },
    {
        "id": 2, "kind": "a'b %41=c", "happened": instant("1969-12-31T23:59:59.999999"),
        "wall_clock": datetime.datetime(1900, 1, 1), "due": datetime.date(1, 1, 1), "amount": Decimal("-0.01"),
        "huge": Decimal("-0.0000000001"), "tags": [], "place": {"city": None, "geo": None}, "stops": [], "good": False,
        "small": 2**31 - 1, "ratio": -1.25, "share": 1e300, "opens": datetime.time(0), "bytes": b"",
    },
    {
        "id": 3, **dict.fromkeys(["kind", "happened", "wall_clock", "due", "amount", "huge", "tags", "place", "stops", "good",
                                  "small", "ratio", "share", "opens", "bytes"]),
        # PyIceberg writes an empty list where a list of structs is NULL, and reads one; see `as_pyiceberg_reads`.
        "stops": [],
    },
]
# The first row again, in SQL, with another id and day, and some rows out of order.
INSERT = """
INSERT INTO processed.shapes
SELECT 10, '전자 제품/1', TIMESTAMP '2026-02-16T01:02:03.000004Z', TIMESTAMP '2026-02-14T08:59:59.999999', DATE '2026-02-28',
       9999999999.99, CAST('1234567890123456789012345678.0123456789' AS DECIMAL(38, 10)), make_array('빠른 배송', '', NULL),
       named_struct('city', '서울', 'geo', named_struct('lat', 37.5665, 'lon', 126.978)),
       make_array(named_struct('at', TIMESTAMP '2026-02-15T00:00:00Z', 'fee', CAST(0.001 AS DECIMAL(9, 3)))),
       true, -2147483648, CAST(0.5 AS REAL), 0.1, TIME '09:30:00.000001', X'00ff'
"""
SMALL_INSERT = """
INSERT INTO processed.shapes (id, kind, happened, share) VALUES
  (20, 'k', '2026-03-01T05:00:00Z', 0.5), (21, 'k', '2026-03-01T01:00:00Z', 0.5), (23, 'k', '2026-03-01T05:00:00Z', 0.5),
  (22, 'k', '2026-03-02T00:00:00Z', 0.5)
"""
INSERTED = ROWS[0] | {"id": 10, "happened": instant("2026-02-16T01:02:03.000004"), "stops": ROWS[0]["stops"][:1]}


def blank(**values):
    return dict.fromkeys(ROWS[0]) | values


def as_pyiceberg_reads(rows):
    return [row | {"stops": row["stops"] or []} for row in rows]


def rows_by_id(table):
    return sorted(table.to_pylist(), key=lambda row: row["id"])


def table_of_pyiceberg(checks, shop, door):
    name = "processed.shapes"
    spec = PartitionSpec(
        PartitionField(3, 1000, DayTransform(), "happened_day"), PartitionField(2, 1001, IdentityTransform(), "kind")
    )
    order = SortOrder(
        SortField(3, IdentityTransform(), SortDirection.ASC, NullOrder.NULLS_FIRST),
        SortField(1, IdentityTransform(), SortDirection.DESC, NullOrder.NULLS_LAST),
    )
    table = shop.create_table(name, all_types(), partition_spec=spec, sort_order=order)
    with checks.check(f"{name}: Bergmill reads an empty table of PyIceberg"):
        equal(sql(door, f"SELECT count(*) AS n FROM {name}"), [{"n": 0}], "rows")
    table.append(pa.Table.from_pylist(ROWS, schema=table.schema().as_arrow()))
    want = list(ROWS)
    with checks.check(f"{name}: Bergmill reads all types as PyIceberg wrote them"):
        equal_rows(rows_by_id(arrow(door, f"SELECT * FROM {name}")), want)
    with checks.check(f"{name}: Bergmill filters by partition and by nested field"):
        found = arrow(door, f"SELECT id FROM {name} WHERE kind = '전자 제품/1' AND place['geo']['lat'] > 37")
        equal(found["id"].to_pylist(), [1], "ids")
        found = arrow(door, f"SELECT id FROM {name} WHERE happened < TIMESTAMP '1970-01-01T00:00:00Z'")
        equal(found["id"].to_pylist(), [2], "ids before 1970")
        found = arrow(door, f"SELECT id FROM {name} WHERE kind IS NULL")
        equal(found["id"].to_pylist(), [3], "ids without a kind")

    with checks.check(f"{name}: Bergmill writes all types and PyIceberg reads them"):
        sql(door, INSERT)
        sql(door, SMALL_INSERT)
        want.append(INSERTED)
        for n, at in [(20, "2026-03-01T05"), (21, "2026-03-01T01"), (22, "2026-03-02T00"), (23, "2026-03-01T05")]:
            want.append(blank(id=n, kind="k", happened=instant(f"{at}:00:00"), share=0.5))
        want.sort(key=lambda row: row["id"])
        equal_rows(rows_by_id(arrow(door, f"SELECT * FROM {name}")), want)
        equal_rows(rows_by_id(shop.load_table(name).scan().to_arrow()), as_pyiceberg_reads(want))
    with checks.check(f"{name}: Bergmill's files have the partitioning and the order that PyIceberg has set"):
        table = shop.load_table(name)
        day = (datetime.date(2026, 3, 1) - datetime.date(1970, 1, 1)).days
        [task] = [t for t in table.scan().plan_files() if (t.file.partition[0], t.file.partition[1]) == (day, "k")]
        equal(pq.ParquetFile(local_path(task.file.file_path)).read()["id"].to_pylist(), [21, 23, 20], "ids")
    with checks.check(f"{name}: PyIceberg's filters find Bergmill's rows by partition and bounds"):
        table = shop.load_table(name)
        for condition, ids in [
            ("kind = 'k' and happened >= '2026-03-02T00:00:00+00:00'", [22]),
            ("amount > 1", [1, 10]),
            ("due = '2026-02-28' and id > 5", [10]),
            ("happened < '1970-01-01T00:00:00+00:00'", [2]),
        ]:
            got = table.scan(row_filter=condition, selected_fields=("id",)).to_arrow()["id"].to_pylist()
            equal(sorted(got), ids, condition)
    with checks.check(f"{name}: INSERT OVERWRITE replaces the partitions of its rows and no other"):
        sql(door, f"""INSERT OVERWRITE {name} (id, kind, happened, share)
                      SELECT 30, 'k', TIMESTAMP '2026-03-01T12:00:00Z', 0.25""")
        ids = shop.load_table(name).scan(selected_fields=("id",)).to_arrow()["id"].to_pylist()
        equal(sorted(ids), [1, 2, 3, 10, 22, 30], "ids")
    with checks.check(f"{name}: a column without a value for a required column is refused"):
        before = shop.load_table(name).metadata.current_snapshot_id
        try:
            sql(door, f"INSERT INTO {name} (kind) VALUES ('k')")
        except AssertionError as refused:
            assert "id" in str(refused), f"the column is not named: {refused}"
        else:
            raise AssertionError("the statement has succeeded")
        equal(shop.load_table(name).metadata.current_snapshot_id, before, "snapshot")

    columns_change(checks, shop, door, name)


def columns_change(checks, shop, door, name):
    with checks.check(f"{name}: Bergmill reads old files after PyIceberg has added, widened and dropped columns"):
        with shop.load_table(name).update_schema() as update:
            update.add_column("note", StringType())
            update.update_column("small", LongType())
            update.delete_column("good")
        sql(door, f"""INSERT INTO {name} (id, kind, happened, share, note, small)
                      SELECT 40, 'k', TIMESTAMP '2026-03-05T00:00:00Z', 0.75, '새 열', 5000000000""")
        want = rows_by_id(shop.load_table(name).scan().to_arrow())
        equal([row["share"] for row in want], [0.1, 1e300, None, 0.1, 0.5, 0.25, 0.75], "what PyIceberg reads")
        equal([row["note"] for row in want][-2:], [None, "새 열"], "what PyIceberg reads")
        equal_rows(as_pyiceberg_reads(rows_by_id(arrow(door, f"SELECT * FROM {name}"))), want)
    with checks.check(f"{name}: Bergmill reads columns that PyIceberg has renamed, nested ones too"):
        with shop.load_table(name).update_schema() as update:
            update.rename_column("share", "portion")
            update.rename_column("note", "share")
        with shop.load_table(name).update_schema() as update:
            update.move_first("portion")
            update.add_column("box", StructType(NestedField(1, "width", IntegerType(), required=False)))
        sql(door, f"""INSERT INTO {name} (id, kind, happened, portion, box)
                      SELECT 41, 'k', TIMESTAMP '2026-03-05T00:00:00Z', 2, named_struct('width', 7)""")
        with shop.load_table(name).update_schema() as update:
            update.rename_column("box.width", "breadth")
            update.add_column(("box", "height"), LongType())
        want = rows_by_id(shop.load_table(name).scan().to_arrow())
        equal([row["portion"] for row in want][-2:], [0.75, 2], "what PyIceberg reads")
        equal(want[-1]["box"], {"breadth": 7, "height": None}, "what PyIceberg reads")
        equal_rows(as_pyiceberg_reads(rows_by_id(arrow(door, f"SELECT * FROM {name}"))), want)
        got = arrow(door, f"SELECT id FROM {name} WHERE portion > 0.7 AND portion < 10 ORDER BY id")["id"].to_pylist()
        equal(got, [40, 41], "rows by a renamed column")


# ---------------------------------------------------------------------------------------------------------------------
# Tables of Bergmill


def tables_of_bergmill(checks, shop, door):
    with checks.check("processed.buckets: PyIceberg appends to a table with transforms of Bergmill"):
        sql(door, """CREATE TABLE processed.buckets (id BIGINT, name TEXT, at TIMESTAMP WITH TIME ZONE, tags TEXT[])
                     PARTITIONED BY (bucket(4, id), truncate(2, name), month(at)) SORTED BY (id DESC)""")
        sql(door, """INSERT INTO processed.buckets VALUES
                     (1, '가나다', '2026-01-31T23:59:59Z', make_array('가')), (2, 'xyz', '2026-02-01T00:00:00Z', make_array('x')),
                     (3, NULL, NULL, NULL)""")
        table = shop.load_table("processed.buckets")
        equal([str(f.transform) for f in table.spec().fields], ["bucket[4]", "truncate[2]", "month"], "transforms")
        partitions = {str(t.file.partition) for t in table.scan().plan_files()}
        rows = [
            {"id": n + 10, "name": name, "at": at, "tags": None if name is None else [name]}
            for n, name, at in [
                (1, "가나다", instant("2026-01-01T00:00:00")), (2, "xyz", instant("2026-02-27T00:00:00")), (3, None, None),
            ]
        ]
        table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
        assert len(partitions) == 3, f"partitions of Bergmill's files: {partitions}"
        got = rows_by_id(arrow(door, "SELECT * FROM processed.buckets"))
        equal_rows(got[3:], rows)
        equal_rows(got, rows_by_id(shop.load_table("processed.buckets").scan().to_arrow()))
    with checks.check("processed.altered: PyIceberg reads a table that Bergmill has altered as Bergmill does"):
        altered = "processed.altered"
        for statement in [
            f"""CREATE TABLE {altered} (id INT, name TEXT, price DECIMAL(6, 2), s STRUCT<x INT, y TEXT>,
                                        l STRUCT<k INT, v TEXT>[]) PARTITIONED BY (name)""",
            f"""INSERT INTO {altered}
                SELECT 1, 'a', 1.5, named_struct('x', 1, 'y', 'y'), make_array(named_struct('k', 1, 'v', 'v'))
                UNION ALL SELECT 2, 'b', NULL, NULL, make_array()""",
            f"ALTER TABLE {altered} RENAME COLUMN name TO title",
            f"ALTER TABLE {altered} ADD COLUMN note TEXT COMMENT 'another' AFTER id",
            f"ALTER TABLE {altered} ALTER COLUMN id TYPE BIGINT",
            f"ALTER TABLE {altered} ALTER COLUMN price TYPE DECIMAL(12, 2)",
            f"ALTER TABLE {altered} RENAME COLUMN s.y TO z",
            f"ALTER TABLE {altered} ADD COLUMN s.w BIGINT FIRST",
            f"ALTER TABLE {altered} RENAME COLUMN l.element.v TO u",
            f"ALTER TABLE {altered} ADD PARTITION FIELD bucket(4, id)",
            f"ALTER TABLE {altered} WRITE ORDERED BY id DESC",
            f"ALTER TABLE {altered} DROP COLUMN l.element.k",
            f"""INSERT INTO {altered} SELECT 5000000000, 'n', 'a', 123456.75, named_struct('w', 1, 'x', 2, 'z', 'z'),
                                             make_array(named_struct('u', 'u'))""",
        ]:
            sql(door, statement)
        table = shop.load_table(altered)
        equal([str(f.transform) for f in table.spec().fields], ["identity", "bucket[4]"], "transforms")
        equal([f.field_id for f in table.spec().fields], [1000, 1001], "partition field ids")
        equal(table.schema().find_field("note").doc, "another", "comment")
        equal_rows(rows_by_id(arrow(door, f"SELECT * FROM {altered}")), rows_by_id(table.scan().to_arrow()))
        got = sorted(table.scan(row_filter="title = 'a'").to_arrow()["id"].to_pylist())
        equal(got, [1, 5000000000], "rows by a partition that was renamed")
    with checks.check("processed.altered: PyIceberg reads a table that Bergmill has replaced"):
        uuid = shop.load_table(altered).metadata.table_uuid
        sql(door, f"CREATE OR REPLACE TABLE {altered} AS SELECT id, 'new' AS label FROM {altered}")
        table = shop.load_table(altered)
        equal(table.metadata.table_uuid, uuid, "identity")
        equal(sorted(table.scan().to_arrow()["id"].to_pylist()), [1, 2, 5000000000], "ids")
        equal(table.schema().find_field("id").field_id, 1, "id of the column that stayed")
        assert table.schema().find_field("label").field_id > 10, "a column of another name has an id that was used"
        old = min(table.metadata.snapshots, key=lambda s: s.sequence_number)
        equal(len(table.scan(snapshot_id=old.snapshot_id).to_arrow()), 2, "rows of the first snapshot")
        table.append(pa.Table.from_pylist([{"id": 9, "label": "py"}], schema=table.schema().as_arrow()))
        equal(arrow(door, f"SELECT label FROM {altered} WHERE id = 9")["label"].to_pylist(), ["py"], "rows of PyIceberg")
    with checks.check("processed.added: files without field ids are read by names, also after a column was renamed"):
        added = "processed.added"
        sql(door, f"CREATE TABLE {added} (id BIGINT, name TEXT, s STRUCT<x INT, y TEXT>)")
        rows = [{"id": 1, "name": "가", "s": {"x": 1, "y": "z"}}, {"id": 2, "name": None, "s": None}]
        table = shop.load_table(added)
        file = local_path(table.location()) + "/others.parquet"
        fields = [pa.field("x", pa.int32()), pa.field("y", pa.string())]
        columns = [("id", pa.int64()), ("name", pa.string()), ("s", pa.struct(fields))]
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), file)
        table.add_files([file])
        sql(door, f"ALTER TABLE {added} RENAME COLUMN name TO title")
        sql(door, f"ALTER TABLE {added} RENAME COLUMN s.y TO text")
        sql(door, f"ALTER TABLE {added} ADD COLUMN note TEXT")
        sql(door, f"INSERT INTO {added} SELECT 3, 't', named_struct('x', 3, 'text', 'u'), 'n'")
        want = rows_by_id(shop.load_table(added).scan().to_arrow())
        equal([row["title"] for row in want], ["가", None, "t"], "what PyIceberg reads")
        equal_rows(rows_by_id(arrow(door, f"SELECT * FROM {added}")), want)
    with checks.check("processed.buckets: both put the same ids into the same partitions"):
        sql(door, "CREATE TABLE processed.mine (id BIGINT, name TEXT) PARTITIONED BY (bucket(8, id), truncate(1, name))")
        sql(door, """INSERT INTO processed.mine SELECT value, CASE WHEN value % 3 = 0 THEN '가각' ELSE 'zed' END
                     FROM generate_series(1, 40)""")
        mine = shop.load_table("processed.mine")
        theirs = shop.create_table("processed.theirs", mine.schema(), partition_spec=mine.spec())
        theirs.append(mine.scan().to_arrow())

        def ids(table):
            return {
                str(task.file.partition): sorted(
                    pq.ParquetFile(local_path(task.file.file_path)).read(columns=["id"])["id"].to_pylist()
                )
                for task in table.scan().plan_files()
            }

        equal(ids(mine), ids(theirs), "ids by partition")


# ---------------------------------------------------------------------------------------------------------------------
# Branches, tags and metadata


def branches_and_tags(checks, shop, door):
    name = "processed.turns"
    sql(door, f"CREATE TABLE {name} (id BIGINT, day DATE) PARTITIONED BY (day)")
    for n in (1, 2):
        sql(door, f"INSERT INTO {name} VALUES ({n}, DATE '2026-02-0{n}'), ({n + 10}, NULL)")
    sql(door, f"ALTER TABLE {name} CREATE TAG ours RETAIN 2 DAYS")
    sql(door, f"ALTER TABLE {name} CREATE BRANCH trial WITH SNAPSHOT RETENTION 3 SNAPSHOTS 4 HOURS")
    sql(door, f"INSERT INTO {name}.branch_trial VALUES (3, DATE '2026-02-03')")
    sql(door, f"INSERT OVERWRITE {name} PARTITION (day = DATE '2026-02-01') VALUES (4, DATE '2026-02-01')")

    def ids(ref):
        rows = shop.load_table(name).scan().use_ref(ref) if ref != "main" else shop.load_table(name).scan()
        return sorted(rows.to_arrow()["id"].to_pylist())

    with checks.check("processed.turns: PyIceberg reads the branches and tags of Bergmill"):
        refs = shop.load_table(name).refs()
        equal({n: str(r.snapshot_ref_type) for n, r in refs.items()}, {"main": "branch", "ours": "tag", "trial": "branch"}, "refs")
        equal(refs["ours"].max_ref_age_ms, 2 * 24 * 3600 * 1000, "age of the tag")
        trial = refs["trial"]
        equal((trial.min_snapshots_to_keep, trial.max_snapshot_age_ms), (3, 4 * 3600 * 1000), "retention of the branch")
        for ref, want in [("main", [2, 4, 11, 12]), ("ours", [1, 2, 11, 12]), ("trial", [1, 2, 3, 11, 12])]:
            equal(ids(ref), want, f"ids of {ref}")
    with checks.check("processed.turns: Bergmill reads the branches and tags of PyIceberg, and writes to them"):
        table = shop.load_table(name)
        first = min(table.metadata.snapshots, key=lambda s: s.sequence_number)
        table.manage_snapshots().create_tag(first.snapshot_id, "theirs").create_branch(first.snapshot_id, "side").commit()
        equal(sorted(r["id"] for r in sql(door, f"SELECT id FROM {name} VERSION AS OF 'theirs'")), [1, 11], "ids of theirs")
        sql(door, f"INSERT INTO {name}.branch_side VALUES (5, NULL)")
        equal(ids("side"), [1, 5, 11], "ids of side")
        came = sql(door, f"SELECT id FROM table_changes('{name}', 'theirs', 'side')")
        equal([r["id"] for r in came], [5], "ids added to side")
    with checks.check("processed.turns: metadata tables agree with PyIceberg's"):
        table = shop.load_table(name)

        def same(query, rows, what):
            got = [tuple(r.values()) for r in arrow(door, query).to_pylist()]
            equal(sorted(got, key=repr), sorted(rows, key=repr), what)

        def rows(of, *columns):
            return [tuple(row[c] for c in columns) for row in of.to_pylist()]

        def metadata(kind):
            namespace, short = name.split(".")
            return f'{namespace}."{short}${kind}"'

        columns = ["snapshot_id", "parent_id", "operation", "manifest_list"]
        same(f"SELECT {', '.join(columns)} FROM {metadata('snapshots')}", rows(table.inspect.snapshots(), *columns), "snapshots")
        columns = ["snapshot_id", "parent_id", "is_current_ancestor"]
        same(f"SELECT {', '.join(columns)} FROM {metadata('history')}", rows(table.inspect.history(), *columns), "history")
        columns = ["name", "type", "snapshot_id", "max_reference_age_in_ms", "min_snapshots_to_keep", "max_snapshot_age_in_ms"]
        same(f"SELECT {', '.join(columns)} FROM {metadata('refs')}", rows(table.inspect.refs(), *columns), "refs")
        columns = ["content", "path", "length", "partition_spec_id", "added_snapshot_id", "added_data_files_count",
                   "existing_data_files_count", "deleted_data_files_count", "added_delete_files_count"]
        same(f"SELECT {', '.join(columns)} FROM {metadata('manifests')}", rows(table.inspect.manifests(), *columns), "manifests")
        columns = ["content", "file_path", "file_format", "spec_id", "record_count", "file_size_in_bytes", "sort_order_id"]
        same(f"SELECT {', '.join(columns)} FROM {metadata('files')}", rows(table.inspect.files(), *columns), "files")
        maps = ["value_counts", "null_value_counts"]
        got = arrow(door, f"SELECT file_path, {', '.join(maps)} FROM {metadata('files')} ORDER BY 1").to_pylist()
        want = sorted(rows(table.inspect.files(), "file_path", *maps))
        equal([(r["file_path"], *(dict(r[m]) for m in maps)) for r in got], [(p, *map(dict, m)) for p, *m in want], "counts")
        columns = ["record_count", "file_count", "total_data_file_size_in_bytes", "last_updated_snapshot_id"]
        want = [
            (f"day={row['partition']['day'] or 'null'}", *(row[c] for c in columns))
            for row in table.inspect.partitions().to_pylist()
        ]
        same(f"SELECT partition, {', '.join(columns)} FROM {metadata('partitions')}", want, "partitions")
        columns = ["status", "snapshot_id", "sequence_number", "file_sequence_number"]
        want = [(*(row[c] for c in columns), row["data_file"]["file_path"]) for row in table.inspect.entries().to_pylist()]
        same(f"SELECT {', '.join(columns)}, data_file['file_path'] AS p FROM {metadata('entries')}", want, "entries")


if __name__ == "__main__":
    main(body)
