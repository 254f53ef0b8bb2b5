"""Runs daily_analytics on three days with generated and handwritten flaws, and compares it with DuckDB.

    check_flawed_days.py FOLDER     creates the data folder

The demo's single clean day has no duplicate to drop, no earlier day to look back at and no NULL to count. This small shop has.
"""

import datetime

import daily_analytics
from harness import Tables, bergmill, equal, main, serving, sql

DAYS = [datetime.date(2026, 2, 14) + datetime.timedelta(days=n) for n in range(3)]
EMPTY_DAY = datetime.date(2026, 3, 20)

# event_id, event_type, user_id, product_id, category, price, quantity, timestamp, session_id
EVENTS = """
    -- Of one event_id the first is kept, by time, then by the other columns, NULL last.
    ('later', 'purchase', 'u-a', 'p-x', 'books', 9.99, 1, '2026-02-16T05:00:01Z', 's-1'),
    ('later', 'purchase', 'u-b', 'p-x', 'books', 8.99, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('user', 'purchase', 'u-b', 'p-x', 'books', 10.00, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('user', 'purchase', 'u-a', 'p-z', 'books', 12.00, 2, '2026-02-16T05:00:00Z', 's-2'),
    ('session', 'purchase', 'u-a', 'p-x', 'books', 10.00, 1, '2026-02-16T05:00:00Z', NULL),
    ('session', 'purchase', 'u-a', 'p-x', 'books', 11.00, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('product', 'purchase', 'u-a', NULL, 'books', 10.00, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('product', 'purchase', 'u-a', 'p-x', 'books', 11.00, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('category', 'purchase', 'u-a', 'p-x', NULL, 10.00, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('category', 'purchase', 'u-a', 'p-x', '도서', 11.00, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('price', 'purchase', 'u-a', 'p-x', 'books', 11.00, 1, '2026-02-16T05:00:00Z', 's-1'),
    ('price', 'purchase', 'u-a', 'p-x', 'books', 9.00, 3, '2026-02-16T05:00:00Z', 's-1'),
    ('quantity', 'purchase', 'u-a', 'p-x', 'books', 9.00, 3, '2026-02-16T05:00:00Z', 's-1'),
    ('quantity', 'purchase', 'u-a', 'p-x', 'books', 9.00, 2, '2026-02-16T05:00:00Z', 's-1'),
    -- An event_id that also is of another day, and of an event that is no purchase.
    ('two-days', 'purchase', 'u-a', 'p-x', 'books', 9.00, 2, '2026-02-15T05:00:00Z', 's-0'),
    ('two-days', 'purchase', 'u-a', 'p-x', 'books', 9.00, 2, '2026-02-16T05:00:00Z', 's-1'),
    ('two-days', 'view', 'u-a', 'p-x', 'books', 9.00, NULL, '2026-02-16T04:00:00Z', 's-1'),
    -- No valid purchases, but for the free one.
    (NULL, 'purchase', 'u-a', 'p-x', 'books', 9.00, 2, '2026-02-16T06:00:00Z', 's-3'),
    ('no-user', 'purchase', NULL, 'p-x', 'books', 9.00, 2, '2026-02-16T06:00:00Z', 's-3'),
    ('zero', 'purchase', 'u-c', 'p-x', 'books', 9.00, 0, '2026-02-16T06:00:00Z', 's-3'),
    ('less', 'purchase', 'u-c', 'p-x', 'books', 9.00, -1, '2026-02-16T06:00:00Z', 's-3'),
    ('minus', 'purchase', 'u-c', 'p-x', 'books', -0.01, 1, '2026-02-16T06:00:00Z', 's-3'),
    ('no-price', 'purchase', 'u-c', 'p-x', 'books', NULL, 1, '2026-02-16T06:00:00Z', 's-3'),
    ('no-quantity', 'purchase', 'u-c', 'p-x', 'books', 1.00, NULL, '2026-02-16T06:00:00Z', 's-3'),
    ('free', 'purchase', 'u-d', 'p-free', NULL, 0.00, 1, '2026-02-16T06:00:00Z', NULL),
    ('dear', 'purchase', 'u-e', 'p-dear', 'books', 99999999.99, 1000000, '2026-02-16T06:00:00Z', 's-4'),
    -- Types and sessions.
    ('no-type', NULL, 'u-a', 'p-x', 'books', 9.00, NULL, '2026-02-16T07:00:00Z', 's-5'),
    ('odd-type', 'wishlist', 'u-a', 'p-y', 'books', 9.00, NULL, '2026-02-16T07:00:00Z', 's-5'),
    ('no-session', 'view', 'u-a', 'p-only-viewed', 'books', 9.00, NULL, '2026-02-16T07:00:00Z', NULL),
    ('bare-search', 'search', 'u-a', NULL, NULL, NULL, NULL, '2026-02-16T07:00:00Z', 's-6'),
    ('bare-view', 'view', 'u-a', NULL, NULL, NULL, NULL, '2026-02-16T07:00:00Z', 's-7'),
    ('cart-only', 'add_cart', 'u-a', 'p-only-carted', 'books', 9.00, NULL, '2026-02-16T07:00:00Z', 's-8'),
    -- The day's first and last microsecond, and those beside them.
    ('before', 'purchase', 'u-f', 'p-x', 'books', 9.00, 1, '2026-02-15T23:59:59.999999Z', 's-9'),
    ('first', 'purchase', 'u-g', 'p-x', 'books', 9.00, 1, '2026-02-16T00:00:00Z', 's-9'),
    ('last', 'purchase', 'u-h', 'p-x', 'books', 9.00, 1, '2026-02-16T23:59:59.999999Z', 's-9'),
    ('after', 'purchase', 'u-i', 'p-x', 'books', 9.00, 1, '2026-02-17T00:00:00Z', 's-9'),
    -- The first day that is looked back at, and the last that is not.
    ('back-in', 'purchase', 'u-g', 'p-x', 'books', 9.00, 1, '2026-01-17T00:00:00Z', 's-10'),
    ('back-out', 'purchase', 'u-h', 'p-x', 'books', 9.00, 1, '2026-01-16T23:59:59.999999Z', 's-10'),
    ('back-bad', 'purchase', 'u-d', 'p-x', 'books', 9.00, 0, '2026-02-01T00:00:00Z', 's-10'),
    -- No time, or one that cannot be.
    ('no-time', 'view', 'u-a', 'p-x', 'books', 9.00, NULL, NULL, 's-11'),
    ('old', 'view', 'u-a', 'p-x', 'books', 9.00, NULL, '1999-12-31T23:59:59.999999Z', 's-11'),
    ('not-too-old', 'view', 'u-a', 'p-x', 'books', 9.00, NULL, '2000-01-01T00:00:00Z', 's-11'),
    ('future', 'view', 'u-a', 'p-x', 'books', 9.00, NULL, '2999-01-01T00:00:00Z', 's-11')
"""
EVENT_COLUMNS = "event_id, event_type, user_id, product_id, category, price, quantity, timestamp, session_id"

# review_id, product_id, user_id, rating, text, created_at
REVIEWS = """
    ('r1', 'p-x', 'u-a', 5, NULL, '2026-02-16T00:00:00Z'),
    ('r2', 'p-x', 'u-a', NULL, '추천 안해요', '2026-02-16T01:00:00Z'),
    ('r3', 'p-x', 'u-a', 3, '배송은 추천, 포장은 추천 안해요. 추천!', '2026-02-16T02:00:00Z'),
    ('r4', 'p-y', 'u-a', 1, '안 좋아요', '2026-02-16T03:00:00Z'),
    ('r5', 'p-y', 'u-a', 5, '좋아요 좋아요 배송 배달 택배', '2026-02-16T04:00:00Z'),
    ('r6', NULL, 'u-a', 2, '가격도 품질도 나쁘지 않아요', '2026-02-16T05:00:00Z'),
    ('r7', 'p-unrated', NULL, NULL, '', '2026-02-16T06:00:00Z'),
    ('r8', 'p-z', 'u-a', 4, '만족', '2026-02-16T23:59:59.999999Z'),
    ('r9', 'p-z', 'u-a', 4, '만족', '2026-02-17T00:00:00Z'),
    ('r10', 'p-z', 'u-a', 4, '만족', NULL)
"""
REVIEW_COLUMNS = "review_id, product_id, user_id, rating, text, created_at"


def insert(table, columns, values):
    rows = "\n".join(line for line in values.splitlines() if not line.strip().startswith("--"))
    return f"INSERT INTO {table} ({columns}) VALUES {rows}"


def body(checks, folder):
    bergmill("demo", "--data", folder, "--events", 60000, "--reviews", 3000, "--days", len(DAYS), "--dirty", "0.01",
             "--start", DAYS[0])
    with serving(folder) as door:
        sql(door, insert("raw.shopping_events", EVENT_COLUMNS, EVENTS))
        sql(door, insert("raw.reviews", REVIEW_COLUMNS, REVIEWS))
        run = ["job", "run", "daily_analytics", "--data", folder, "--connect", door, "--date"]
        # The last day again, which must replace its rows and not add to them.
        for day in [*DAYS, DAYS[-1]]:
            bergmill(*run, day)
        empty = bergmill(*run, EMPTY_DAY, succeeds=None)

    tables = Tables(folder)
    ran = {*DAYS, EMPTY_DAY}
    for day in DAYS:
        daily_analytics.check_day(checks, tables, day, ran)
    with checks.check("the flaws are found"):
        worst = tables.duck.execute("""SELECT check_name FROM want_data_quality WHERE failed_rows > 0""").fetchall()
        equal({name for (name,) in worst}, {
            "null_ratio", "missing_required", "duplicate_event_ids", "invalid_timestamps", "unknown_event_types",
            "negative_prices", "bad_quantities",
        }, "checks with failed rows")

    with checks.check("a day without events fails and records its verdict"):
        assert empty.returncode != 0, "the job has succeeded"
        assert "no_events" in empty.stderr + empty.stdout, f"no_events is not named: {empty.stderr}"
    daily_analytics.check_day(checks, tables, EMPTY_DAY, ran, only={"aggregated.data_quality"})
    with checks.check("a day without events changes no other table"):
        for name in daily_analytics.KEYS.keys() - {"aggregated.data_quality"}:
            dates = {row[0] for row in tables.rows(tables.view(name))}
            assert EMPTY_DAY not in dates, f"{name} has rows of {EMPTY_DAY}"


if __name__ == "__main__":
    main(body)
