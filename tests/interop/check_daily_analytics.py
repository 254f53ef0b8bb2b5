"""Compares the demo's tables with what DuckDB computes from the same Parquet files.

    check_daily_analytics.py FOLDER     the data folder that `bergmill demo` has filled
"""

import datetime
from decimal import Decimal

import daily_analytics
from harness import Tables, equal, main, same_rows, sql

DAY = datetime.date(2026, 2, 14)
RAW = ["shopping_events", "reviews", "products", "users", "categories", "brands", "ecommerce_logs"]

# The expected rows for the fifteen lines of ecommerce_logs.csv, computed by hand.
DAILY_REPORT = {
    "category_stats": [
        ("electronics", 6, 3, Decimal("299.99"), 1),
        ("clothing", 4, 2, Decimal("99.98"), 1),
        ("books", 3, 1, Decimal("59.97"), 1),
        ("home", 2, 1, Decimal("0.00"), 0),
    ],
    "hourly_activity": [(9, 13, 6), (10, 2, 2)],
    "funnel": [("view", 7), ("add_to_cart", 5), ("purchase", 3)],
    "user_behavior": [
        (101, 3, 1, Decimal("299.99"), 1),
        (102, 3, 1, Decimal("99.98"), 1),
        (103, 3, 1, Decimal("59.97"), 1),
        (104, 2, 1, Decimal("0.00"), 1),
        (105, 2, 1, Decimal("0.00"), 1),
        (106, 1, 1, Decimal("0.00"), 1),
        (107, 1, 1, Decimal("0.00"), 1),
    ],
}
REPORT_COLUMNS = {
    "category_stats": [("category", "VARCHAR"), ("total_events", "BIGINT"), ("unique_users", "BIGINT"),
                       ("total_revenue", "DECIMAL(18,2)"), ("purchases", "BIGINT")],
    "hourly_activity": [("hour", "INTEGER"), ("events", "BIGINT"), ("active_users", "BIGINT")],
    "funnel": [("event_type", "VARCHAR"), ("count", "BIGINT")],
    "user_behavior": [("user_id", "BIGINT"), ("total_events", "BIGINT"), ("sessions", "BIGINT"),
                      ("total_spent", "DECIMAL(18,2)"), ("categories_viewed", "BIGINT")],
}


def body(checks, folder):
    tables = Tables(folder)
    for name in RAW:
        with checks.check(f"raw.{name}: as many rows in the files as Bergmill counts"):
            view = tables.view(f"raw.{name}")
            [(rows,)] = tables.duck.execute(f"SELECT count(*) FROM {view}").fetchall()
            [answer] = sql(folder, f"SELECT count(*) AS n FROM raw.{name}")
            equal(rows, answer["n"], "rows")
            assert rows > 0, "no rows"

    daily_analytics.check_day(checks, tables, DAY, {DAY})

    exports = folder / "exports" / "2026" / "02" / "14"
    for name, rows in DAILY_REPORT.items():
        want = [(DAY, *row) for row in rows]
        export = f"read_parquet('{exports / name / f'{name}.parquet'}', hive_partitioning = false)"
        for what, relation in [("the table", tables.view(f"aggregated.{name}")), ("the export", f"(FROM {export})")]:
            with checks.check(f"aggregated.{name}: {what} has the right rows for the fifteen lines"):
                equal(tables.columns(relation), [("date", "DATE"), *REPORT_COLUMNS[name]], "columns")
                same_rows(tables.rows(relation), want, 2)
    with checks.check("daily_report has its title and the figures"):
        [report] = (folder / "reports" / "daily_report" / "2026" / "02" / "14").glob("*.txt")
        text = report.read_text()
        equal(text.splitlines()[0], "E-COMMERCE DAILY REPORT - 2026-02-14", "title")
        for part in ["electronics", "299.99", "99.98", "59.97"]:
            assert part in text, f"{part} is not in the report"


if __name__ == "__main__":
    main(body)
