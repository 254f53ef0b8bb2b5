"""Computes the tables of the pipeline daily_analytics with DuckDB.

Written from the definitions in jobs/pipelines/daily_analytics/README.md and not from the pipeline's SQL, so as not to repeat
its mistakes. Only limits and word lists, which are data, are read from the pipeline's folder.
"""

import datetime
import tomllib
from pathlib import Path

from harness import DAY_MICROS, micros, same_rows

PIPELINE = Path(__file__).resolve().parents[2] / "jobs/pipelines/daily_analytics"

# Each table, and how many leading columns identify its rows.
KEYS = {
    "aggregated.data_quality": 3,
    "processed.purchases": 2,
    "aggregated.daily_sales": 1,
    "aggregated.category_sales": 2,
    "aggregated.hourly_traffic": 3,
    "aggregated.product_conversion": 2,
    "aggregated.review_mentions": 2,
    "aggregated.review_sentiment": 3,
    "aggregated.rating_distribution": 2,
    "aggregated.product_ratings": 2,
    "aggregated.daily_metrics": 2,
}

VALID_PURCHASE = """(event_type = 'purchase' AND event_id IS NOT NULL AND user_id IS NOT NULL AND price >= 0
                     AND quantity > 0)"""


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def expected_tables(tables, date, run_at):
    """Creates one table `want_<name>` for each output, for a run of `date` at the time `run_at`."""
    settings = tomllib.loads((PIPELINE / "pipeline.toml").read_text())["parameters"]
    lexicon = tomllib.loads((PIPELINE / "lexicon.toml").read_text())
    run, day = tables.duck.execute, f"DATE '{date}'"
    start, end = micros(date), micros(date) + DAY_MICROS
    lookback = start - settings["lookback_days"] * DAY_MICROS

    def define(name, select):
        run(f"CREATE OR REPLACE TEMP TABLE want_{name.split('.')[1]} AS {select}")

    events = tables.view("raw.shopping_events")
    reviews = tables.view("raw.reviews")
    run(f"""CREATE OR REPLACE TEMP TABLE events AS
            SELECT * EXCLUDE (device, context, search_query), epoch_us(timestamp) AS us FROM {events}""")
    run(f"CREATE OR REPLACE TEMP TABLE today AS FROM events WHERE us >= {start} AND us < {end}")
    run(f"""CREATE OR REPLACE TEMP TABLE opinions AS
            SELECT * FROM {reviews} WHERE epoch_us(created_at) BETWEEN {start} AND {end} - 1""")

    data_quality(define, day, settings, start, end, run_at)

    order = ", ".join(
        f"{c} ASC NULLS LAST" for c in ["us", "user_id", "session_id", "product_id", "category", "price", "quantity"]
    )
    define("processed.purchases", f"""
        WITH first AS (SELECT DISTINCT ON (event_id) * FROM today WHERE {VALID_PURCHASE} ORDER BY event_id, {order})
        SELECT {day} AS date, event_id, timestamp AS purchased_at, user_id, session_id, product_id, category, price,
               quantity::BIGINT AS quantity, (price * quantity)::DECIMAL(18,2) AS amount
        FROM first""")
    define("aggregated.daily_sales", f"""
        WITH sums AS (SELECT count(*) AS orders, count(DISTINCT user_id) AS buyers, coalesce(sum(amount), 0) AS total
                      FROM want_purchases)
        SELECT {day} AS date, total::DECIMAL(18,2) AS total_sales, orders, buyers,
               CASE WHEN orders > 0 THEN total::DOUBLE / orders END AS avg_order
        FROM sums""")
    define("aggregated.category_sales", f"""
        SELECT {day} AS date, coalesce(category, 'unknown') AS category, count(*) AS orders,
               count(DISTINCT user_id) AS buyers, sum(quantity)::BIGINT AS units, sum(amount)::DECIMAL(18,2) AS total_sales
        FROM want_purchases GROUP BY 2""")
    define("aggregated.hourly_traffic", f"""
        SELECT {day} AS date, ((us - {start}) // 3600000000)::INTEGER AS hour, coalesce(event_type, 'unknown') AS event_type,
               count(*) AS events, count(DISTINCT session_id) AS sessions
        FROM today GROUP BY 2, 3""")
    define("aggregated.product_conversion", f"""
        WITH counts AS (
            SELECT product_id, sum((event_type = 'view')::INT)::BIGINT AS views,
                   sum((event_type = 'add_cart')::INT)::BIGINT AS carts,
                   sum((event_type = 'purchase')::INT)::BIGINT AS purchases
            FROM today
            WHERE product_id IS NOT NULL AND event_type IN ('view', 'add_cart', 'purchase')
            GROUP BY product_id)
        SELECT {day} AS date, *, carts::DOUBLE / nullif(views, 0) AS view_to_cart,
               purchases::DOUBLE / nullif(carts, 0) AS cart_to_purchase,
               purchases::DOUBLE / nullif(views, 0) AS view_to_purchase
        FROM counts""")

    review_tables(define, day, lexicon)
    daily_metrics(define, run, day, start, end, lookback)


def data_quality(define, day, settings, start, end, run_at):
    now = int(run_at.timestamp() * 1_000_000)
    latest = max(now, end) + settings["clock_skew_days"] * DAY_MICROS
    earliest = int(datetime.datetime.fromisoformat(settings["earliest_timestamp"]).timestamp() * 1_000_000)
    known = ", ".join(map(quoted, settings["event_types"]))
    all_day = "SELECT count(*) FROM today"
    product, item = "event_type <> 'search'", "event_type IN ('add_cart', 'purchase')"

    # Check, column, failed rows and total rows, each as a separate query.
    checks = [("no_events", None, "SELECT (count(*) = 0)::BIGINT FROM today", "SELECT 1")]
    requirements = [(c, "true") for c in ["event_id", "event_type", "user_id", "session_id"]]
    requirements += [(c, product) for c in ["product_id", "category", "price"]] + [("quantity", item)]
    for column, among in requirements:
        rows = f"SELECT count(*) FROM today WHERE {among}"
        checks.append(("null_ratio", column, f"{rows} AND {column} IS NULL", rows))
    checks.append(("null_ratio", "timestamp", "SELECT count(*) FROM events WHERE us IS NULL",
                   "SELECT (SELECT count(*) FROM today) + (SELECT count(*) FROM events WHERE us IS NULL)"))
    missing = " OR ".join(f"(({among}) IS TRUE AND {column} IS NULL)" for column, among in requirements)
    checks.append(("missing_required", None, f"{all_day} WHERE {missing}", all_day))
    checks.append(("duplicate_event_ids", "event_id",
                   "SELECT count(event_id) - count(DISTINCT event_id) FROM today", all_day))
    stray = f"SELECT count(*) FROM events WHERE us < {earliest} OR us >= {latest}"
    checks.append(("invalid_timestamps", "timestamp", stray, f"SELECT ({all_day}) + ({stray})"))
    checks.append(("unknown_event_types", "event_type", f"{all_day} WHERE event_type NOT IN ({known})", all_day))
    checks.append(("negative_prices", "price", f"{all_day} WHERE price < 0", all_day))
    checks.append(("bad_quantities", "quantity", f"{all_day} WHERE quantity <= 0", all_day))

    rows = []
    for name, column, failed, total in checks:
        limits = settings["thresholds"].get(name, {})
        warn, fail = (f"{limits[k]!r}::DOUBLE" if k in limits else "NULL::DOUBLE" for k in ("warn", "fail"))
        rows.append(f"""SELECT {quoted(name)} AS check_name, {quoted(column) if column else 'NULL'}::VARCHAR AS column_name,
            {warn} AS warn_above, {fail} AS fail_above, ({failed}) AS failed_rows, ({total}) AS total_rows""")
    define("aggregated.data_quality", f"""
        WITH counts AS ({' UNION ALL '.join(rows)}),
             valued AS (SELECT *, CASE WHEN total_rows = 0 THEN 0::DOUBLE ELSE failed_rows::DOUBLE / total_rows END AS value
                        FROM counts)
        SELECT {day} AS date, check_name, column_name, value, warn_above, fail_above,
               CASE WHEN value > fail_above THEN 'fail' WHEN value > warn_above THEN 'warn' ELSE 'ok' END AS level,
               failed_rows::BIGINT AS failed_rows, total_rows::BIGINT AS total_rows
        FROM valued""")


def review_tables(define, day, lexicon):
    # Every entry of the lexicon is a row of literals; reviews are matched to entries by a join.
    topics = ", ".join(
        f"({quoted(topic)}, [{', '.join(map(quoted, words))}])" for topic, words in lexicon["topics"].items()
    )
    define("aggregated.review_mentions", f"""
        SELECT {day} AS date, topic, count(rid) AS reviews,
               coalesce(sum((rating <= 2)::INT), 0)::BIGINT AS low_ratings,
               coalesce(sum((rating >= 4)::INT), 0)::BIGINT AS high_ratings, avg(rating) AS avg_rating
        FROM (VALUES {topics}) AS topics(topic, words)
        LEFT JOIN (SELECT rowid AS rid, * FROM opinions)
          ON len(list_filter(words, lambda w: instr(text, w) > 0)) > 0
        GROUP BY topic""")
    entries = ", ".join(
        f"({quoted(polarity)}, {quoted(e['word'])}, [{', '.join(map(quoted, e.get('except', [])))}]::VARCHAR[])"
        for polarity in ("positive", "negative")
        for e in lexicon[polarity]
    )
    define("aggregated.review_sentiment", f"""
        SELECT {day} AS date, polarity, word, count(rid) AS reviews
        FROM (VALUES {entries}) AS entries(polarity, word, denials)
        LEFT JOIN (SELECT rowid AS rid, text FROM opinions WHERE text IS NOT NULL)
          ON instr(text, word) > 0 AND len(list_filter(denials, lambda d: instr(text, d) > 0)) = 0
        GROUP BY polarity, word""")
    define("aggregated.rating_distribution", f"""
        SELECT {day} AS date, rating, count(*) AS reviews, count(*) / sum(count(*)) OVER ()::DOUBLE AS share
        FROM opinions WHERE rating IS NOT NULL GROUP BY rating""")
    define("aggregated.product_ratings", f"""
        SELECT {day} AS date, product_id, count(rating) AS reviews, sum(rating)::DOUBLE / count(rating) AS avg_rating
        FROM opinions WHERE product_id IS NOT NULL GROUP BY product_id HAVING count(rating) > 0""")


def daily_metrics(define, run, day, start, end, lookback):
    run("""CREATE OR REPLACE TEMP TABLE visits AS
           SELECT session_id, count(*) AS n, list_contains(list(event_type), 'view') AS viewed,
                  list_contains(list(event_type), 'add_cart') AS carted,
                  list_contains(list(event_type), 'purchase') AS bought
           FROM today WHERE session_id IS NOT NULL GROUP BY session_id""")
    run(f"""CREATE OR REPLACE TEMP TABLE purchase_days AS
            SELECT DISTINCT user_id, us // {DAY_MICROS} AS day
            FROM events WHERE us >= {lookback} AND us < {end} AND {VALID_PURCHASE}""")
    sessions = "SELECT count(*) FROM visits"
    viewed = f"{sessions} WHERE viewed"
    carted = f"{viewed} AND carted"
    buyers = f"SELECT DISTINCT user_id FROM events WHERE us >= {start} AND us < {end} AND {VALID_PURCHASE}"
    earlier = f"SELECT user_id FROM events WHERE us >= {lookback} AND us < {start} AND {VALID_PURCHASE}"
    metrics = {
        "sessions": (sessions, "SELECT 1"),
        "events_per_session": ("SELECT coalesce(sum(n), 0) FROM visits", sessions),
        "view_rate": (viewed, sessions),
        "view_to_cart_rate": (carted, viewed),
        "cart_to_purchase_rate": (f"{carted} AND bought", carted),
        "conversion_rate": (f"{sessions} WHERE bought", sessions),
        "repurchase_rate": (
            f"SELECT count(*) FROM ({buyers} INTERSECT {earlier})",
            f"SELECT count(*) FROM ({buyers})",
        ),
        "repeat_buyer_rate": (
            "SELECT count(*) FROM (SELECT user_id FROM purchase_days GROUP BY user_id HAVING count(*) >= 2)",
            "SELECT count(DISTINCT user_id) FROM purchase_days",
        ),
    }
    rows = [f"SELECT {quoted(m)} AS metric, ({n})::BIGINT AS numerator, ({d})::BIGINT AS denominator"
            for m, (n, d) in metrics.items()]
    define("aggregated.daily_metrics", f"""
        SELECT {day} AS date, metric,
               CASE WHEN denominator <> 0 THEN numerator::DOUBLE / denominator END AS value, numerator, denominator
        FROM ({' UNION ALL '.join(rows)})""")


def run_at(tables, date):
    """The time of the last run of `date`, from its snapshot summary."""
    summaries = tables.summaries("aggregated.data_quality")
    times = [s["bergmill.started-at"] for s in summaries if s.get("bergmill.interval") == str(date)]
    assert times, f"no snapshot of aggregated.data_quality is of {date}"
    return max(map(datetime.datetime.fromisoformat, times))


def check_day(checks, tables, date, dates, only=None):
    """Compares each output's partition of `date`; `dates` are all dates that have run, no others may exist."""
    expected_tables(tables, date, run_at(tables, date))
    for name, key in KEYS.items():
        if only and name not in only:
            continue
        with checks.check(f"{name} of {date} equals DuckDB's result"):
            want = f"want_{name.split('.')[1]}"
            got = tables.view(name)
            want_rows = tables.rows(want)
            if got is None:
                assert not want_rows, f"the table is empty, expected {len(want_rows)} rows"
                continue
            types = tables.columns(got)
            assert types == tables.columns(want), f"columns are {types}, expected {tables.columns(want)}"
            found = tables.rows(got)
            others = {row[0] for row in found} - set(dates)
            assert not others, f"rows of other dates: {others}"
            same_rows([row for row in found if row[0] == date], want_rows, key)
