"""Checks the front door with the ADBC driver for Flight SQL.

    check_adbc.py FOLDER     a data folder that `bergmill demo` has filled; a namespace is added
"""

import datetime
from decimal import Decimal

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa

from harness import catalog, contains, equal, main, serving

UTC = datetime.timezone.utc


def body(checks, folder):
    with serving(folder) as door, flight_sql.connect(f"grpc://{door}", autocommit=True) as connection:
        queries(checks, connection)
        statements(checks, connection)
        parameters(checks, connection, folder)
        sessions(checks, door)
        ingest(checks, connection, folder)
        catalog_calls(checks, connection)
        explain(checks, connection)
        errors(checks, connection)


def fetch(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()


def update(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.rowcount


def queries(checks, connection):
    with checks.check("SELECT of literals: types and values"):
        got = fetch(connection, """SELECT 1 AS i, '한국어' AS t, CAST(1.50 AS DECIMAL(5, 2)) AS d, DATE '2026-02-14' AS day,
                                   TIMESTAMP '2026-02-14T09:00:00Z' AS at, CAST(NULL AS TEXT) AS nothing, make_array(1, 2) AS l""")
        row = got.to_pylist()[0]
        at = row.pop("at")
        equal(row, {"i": 1, "t": "한국어", "d": Decimal("1.50"), "day": datetime.date(2026, 2, 14), "nothing": None,
                    "l": [1, 2]}, "row")
        equal(at.replace(tzinfo=UTC), datetime.datetime(2026, 2, 14, 9, tzinfo=UTC), "instant")
    with checks.check("SELECT of a table with nested columns"):
        got = fetch(connection, """SELECT event_id, timestamp, device, context FROM raw.shopping_events
                                   WHERE event_type = 'purchase' ORDER BY timestamp, event_id LIMIT 100""")
        equal(got.num_rows, 100, "rows")
        equal(set(got.to_pylist()[0]["device"]), {"type", "os", "app_version"}, "fields of device")
        equal(str(got.schema.field("timestamp").type), "timestamp[us, tz=UTC]", "type of timestamp")
    with checks.check("SELECT with more rows than a batch, read in batches"):
        [want] = fetch(connection, "SELECT count(*) AS n FROM raw.shopping_events")["n"].to_pylist()
        with connection.cursor() as cursor:
            cursor.execute("SELECT event_id, price FROM raw.shopping_events")
            batches = [batch.num_rows for batch in cursor.fetch_record_batch()]
        equal(sum(batches), want, "rows")
        assert len(batches) > 1, "all rows came in one batch"
    with checks.check("SELECT without rows has the columns"):
        got = fetch(connection, "SELECT * FROM raw.brands WHERE brand_id = 'none'")
        equal((got.num_rows, got.column_names), (0, ["brand_id", "name", "country", "category"]), "answer")
    with checks.check("the schema of a query without running it"):
        with connection.cursor() as cursor:
            schema = cursor.adbc_execute_schema("SELECT count(*) AS n, max(price) AS p FROM raw.shopping_events")
        equal([(f.name, str(f.type)) for f in schema], [("n", "int64"), ("p", "decimal128(10, 2)")], "schema")
    with checks.check("a prepared query, executed twice"):
        statement = "SELECT count(*) AS n FROM raw.brands"
        with connection.cursor() as cursor:
            cursor.adbc_prepare(statement)
            answers = []
            for _ in range(2):
                cursor.execute(statement)
                answers += cursor.fetchall()
        equal(len(answers), 2, "rows")
        equal(answers[0], answers[1], "answers")


def statements(checks, connection):
    with checks.check("DDL and INSERT, with the number of rows"):
        update(connection, "CREATE SCHEMA IF NOT EXISTS door")
        update(connection, """CREATE TABLE door.orders (id BIGINT NOT NULL, total DECIMAL(12, 2), placed TIMESTAMP WITH TIME ZONE)
                              PARTITIONED BY (day(placed)) SORTED BY (id)""")
        rows = update(connection, """INSERT INTO door.orders VALUES (1, 12.50, TIMESTAMP '2026-02-14T09:00:00Z'),
                                     (2, NULL, TIMESTAMP '2026-02-15T09:00:00Z')""")
        equal(rows, 2, "rows written")
        got = fetch(connection, "SELECT id, total FROM door.orders ORDER BY id").to_pylist()
        equal(got, [{"id": 1, "total": Decimal("12.50")}, {"id": 2, "total": None}], "rows")
    with checks.check("CREATE TABLE AS and DROP TABLE"):
        update(connection, "CREATE TABLE door.copy AS SELECT * FROM door.orders WHERE id = 2")
        equal(fetch(connection, "SELECT id FROM door.copy")["id"].to_pylist(), [2], "ids")
        update(connection, "DROP TABLE door.copy")
        got = fetch(connection, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'door'")
        equal(got["table_name"].to_pylist(), ["orders"], "tables")


def parameters(checks, connection, folder):
    def bound(statement, values):
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    with checks.check("a query with values, by number and in order"):
        for statement in ["SELECT $1 + 1, $2 || '!'", "SELECT ? + 1, ? || '!'"]:
            equal(bound(statement, (41, "hey")), [(42, "hey!")], statement)
        equal(bound("SELECT id FROM door.orders WHERE total = ?", (Decimal("12.50"),)), [(1,)], "by decimal")
        equal(bound("SELECT id FROM door.orders WHERE placed >= ?", (datetime.datetime(2026, 2, 15, tzinfo=UTC),)), [(2,)], "by time")
        equal(bound("SELECT id FROM door.orders WHERE id = ?", (1.5,)), [], "a value that no row has")
        equal(bound("SELECT count(*) FROM door.orders WHERE id = ?", (None,)), [(0,)], "NULL")
    with checks.check("the types of parameters are announced"):
        with connection.cursor() as cursor:
            schema = cursor.adbc_prepare("INSERT INTO door.orders VALUES (?, ?, ?)")
        equal([str(f.type) for f in schema], ["int64", "decimal128(12, 2)", "timestamp[us, tz=UTC]"], "types")
    with checks.check("executemany inserts all rows by one commit"):
        update(connection, "CREATE TABLE door.visits (id BIGINT NOT NULL, page TEXT, at DATE)")
        rows = [(n, None if n % 3 else f"page {n}", datetime.date(2026, 2, 1 + n % 28)) for n in range(1000)]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO door.visits VALUES (?, ?, ?)", rows)
            equal(cursor.rowcount, 1000, "rows written")
        equal(bound("SELECT id, page, at FROM door.visits WHERE id < ? ORDER BY id", (4,)), rows[:4], "rows")
        equal(len(catalog(folder).load_table("door.visits").metadata.snapshots), 1, "snapshots")
    with checks.check("executemany with an Arrow table"):
        more = pa.table({"a": [1000, 1001], "b": ["x", None], "c": [None, None]})
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO door.visits SELECT $1, $2, CAST($3 AS DATE)", more)
        equal(bound("SELECT count(*), count(page) FROM door.visits WHERE id >= $1", (1000,)), [(2, 1)], "rows")
    with checks.check("UPDATE and DELETE with values"):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE door.visits SET page = ? WHERE id = ?", ("home", 7))
            cursor.execute("DELETE FROM door.visits WHERE id = ?", (8,))
        equal(bound("SELECT id, page FROM door.visits WHERE id IN (?, ?)", (7, 8)), [(7, "home")], "rows")
    with checks.check("a value that is missing is an error"):
        try:
            bound("SELECT ? + ?", (1,))
        except flight_sql.Error as error:
            contains(str(error), "parameters up to $2")
        else:
            raise AssertionError("the statement has succeeded")


def sessions(checks, door):
    with checks.check("options of a session, by the driver and by SQL"):
        cookies = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
        with flight_sql.connect(f"grpc://{door}", db_kwargs=cookies, autocommit=True) as connection:
            connection.adbc_connection.set_options(**{"adbc.connection.db_schema": "door"})
            equal(fetch(connection, "SELECT count(*) AS n FROM orders").to_pylist(), [{"n": 2}], "rows")
            equal(connection.adbc_connection.get_option("adbc.connection.db_schema"), "door", "option")
            update(connection, "SET TIME ZONE 'Asia/Seoul'")
            got = fetch(connection, "SELECT CAST(TIMESTAMP '2026-02-14 09:00:00' AS TIMESTAMP WITH TIME ZONE) AS at")
            equal(str(got.schema.field("at").type.tz), "Asia/Seoul", "time zone")
        with flight_sql.connect(f"grpc://{door}", autocommit=True) as other:
            try:
                fetch(other, "SELECT * FROM orders")
            except flight_sql.Error as error:
                contains(str(error), "raw.orders")
            else:
                raise AssertionError("the option is for all sessions")


def ingest(checks, connection, folder):
    def send(table, mode, data):
        with connection.cursor() as cursor:
            return cursor.adbc_ingest(table, data, mode=mode, db_schema_name="door")

    def colours(order="SELECT sku, colour, tags FROM door.colours ORDER BY sku"):
        return fetch(connection, order).to_pylist()

    first = pa.table({"sku": ["a", "b"], "colour": ["빨강", None], "tags": pa.array([["x", None], None], pa.list_(pa.string()))})
    second = pa.table({"sku": ["c"], "colour": ["blue"], "tags": pa.array([[]], pa.list_(pa.string()))})
    with checks.check("adbc_ingest creates a table"):
        equal(send("colours", "create", first), 2, "rows written")
        equal(colours(), first.to_pylist(), "rows")
    with checks.check("adbc_ingest in mode create refuses an existing table"):
        try:
            send("colours", "create", second)
        except flight_sql.Error as error:
            contains(str(error), "colours")
        else:
            raise AssertionError("the table was created twice")
        equal(colours(), first.to_pylist(), "rows")
    with checks.check("adbc_ingest appends"):
        send("colours", "append", second)
        equal(colours(), first.to_pylist() + second.to_pylist(), "rows")
    with checks.check("adbc_ingest appends a stream of record batches in one commit"):
        batches = [pa.record_batch({"sku": [f"n{n}"], "colour": ["x"], "tags": pa.array([None], pa.list_(pa.string()))})
                   for n in range(5)]
        before = len(catalog(folder).load_table("door.colours").metadata.snapshots)
        send("colours", "create_append", pa.RecordBatchReader.from_batches(batches[0].schema, batches))
        equal(len(colours()), 8, "rows")
        equal(len(catalog(folder).load_table("door.colours").metadata.snapshots), before + 1, "snapshots")
    with checks.check("adbc_ingest replaces"):
        send("colours", "replace", second)
        equal(colours(), second.to_pylist(), "rows")
    with checks.check("adbc_ingest with an unknown column changes nothing"):
        try:
            send("colours", "append", pa.table({"sku": ["d"], "color": ["red"]}))
        except flight_sql.Error as error:
            contains(str(error), "color")
        else:
            raise AssertionError("the column was accepted")
        equal(colours(), second.to_pylist(), "rows")


def catalog_calls(checks, connection):
    with checks.check("adbc_get_objects: catalog, namespaces, tables and columns"):
        [found] = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        equal(found["catalog_name"], "bergmill", "catalog")
        schemas = {s["db_schema_name"]: s["db_schema_tables"] for s in found["catalog_db_schemas"]}
        assert {"raw", "processed", "aggregated", "door"} <= set(schemas), f"namespaces are {set(schemas)}"
        [orders] = [t for t in schemas["door"] if t["table_name"] == "orders"]
        equal([c["column_name"] for c in orders["table_columns"]], ["id", "total", "placed"], "columns")
    with checks.check("adbc_get_objects with filters"):
        [found] = connection.adbc_get_objects(depth="tables", db_schema_filter="door", table_name_filter="col%").read_all().to_pylist()
        [schema] = [s for s in found["catalog_db_schemas"] if s["db_schema_name"] == "door"]
        equal([t["table_name"] for t in schema["db_schema_tables"]], ["colours"], "tables")
    with checks.check("adbc_get_table_schema"):
        schema = connection.adbc_get_table_schema("orders", db_schema_filter="door")
        want = [("id", "int64"), ("total", "decimal128(12, 2)"), ("placed", "timestamp[us, tz=UTC]")]
        equal([(f.name, str(f.type)) for f in schema], want, "schema")
    with checks.check("adbc_get_table_types and adbc_get_info"):
        assert connection.adbc_get_table_types(), "no table types"
        contains(connection.adbc_get_info()["vendor_name"].lower(), "bergmill")


def explain(checks, connection):
    with checks.check("EXPLAIN ANALYZE reports operators, scans and executors"):
        rows = fetch(connection, """EXPLAIN ANALYZE SELECT count(DISTINCT session_id) FROM raw.shopping_events
                                    WHERE event_type = 'purchase'""").to_pylist()
        parts = {row["plan_type"]: row["plan"] for row in rows}
        equal(set(parts), {"plan_with_metrics", "scans", "executors"}, "parts")
        contains(parts["scans"], "shopping_events")
        contains(parts["scans"], "pruned")
    with checks.check("EXPLAIN shows a plan"):
        assert fetch(connection, "EXPLAIN SELECT * FROM raw.brands").num_rows > 0, "no rows"


def errors(checks, connection):
    for statement, part in [
        ("SELECT * FROM raw.shoping_events", "shopping_events"),  # typos:ignore
        ("SELECT prise FROM raw.products", "price"),  # typos:ignore
        ("SELEC 1", "SELEC"),
        ("SELECT 1 / 0", "zero"),
        ("CREATE TABLE door.orders (id INT)", "orders"),
    ]:
        with checks.check(f"an error that says what is wrong: {statement}"):
            try:
                fetch(connection, statement)
            except flight_sql.Error as error:
                contains(str(error).lower(), part.lower())
            else:
                raise AssertionError("the statement has succeeded")
    with checks.check("the connection works after errors"):
        equal(fetch(connection, "SELECT 1 AS one").to_pylist(), [{"one": 1}], "row")


if __name__ == "__main__":
    main(body)
