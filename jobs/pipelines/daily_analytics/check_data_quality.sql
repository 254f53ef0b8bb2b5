-- One row per check. Three queries give one row of figures each, and the list of checks picks from them, so the day's
-- events are read twice: once for all conditions, once more (event_id only) for duplicates.
--
-- Rows with absurd timestamps stand in other days' partitions, or in none. They are looked for in the whole table, which
-- partition bounds make cheap, and every date shows them until they are removed.
{% set checks = [
  {"name": "no_events", "failed": "CASE WHEN f.n = 0 THEN 1 ELSE 0 END", "total": "1"},
  {"name": "null_ratio", "column": "event_id", "failed": "f.no_event_id", "total": "f.n"},
  {"name": "null_ratio", "column": "event_type", "failed": "f.no_event_type", "total": "f.n"},
  {"name": "null_ratio", "column": "user_id", "failed": "f.no_user_id", "total": "f.n"},
  {"name": "null_ratio", "column": "session_id", "failed": "f.no_session_id", "total": "f.n"},
  {"name": "null_ratio", "column": "product_id", "failed": "f.no_product_id", "total": "f.about_product"},
  {"name": "null_ratio", "column": "category", "failed": "f.no_category", "total": "f.about_product"},
  {"name": "null_ratio", "column": "price", "failed": "f.no_price", "total": "f.about_product"},
  {"name": "null_ratio", "column": "quantity", "failed": "f.no_quantity", "total": "f.about_quantity"},
  {"name": "null_ratio", "column": "timestamp", "failed": "f.no_timestamp", "total": "f.n + f.no_timestamp"},
  {"name": "missing_required", "failed": "f.missing", "total": "f.n"},
  {"name": "duplicate_event_ids", "column": "event_id", "failed": "f.extra", "total": "f.n"},
  {"name": "invalid_timestamps", "column": "timestamp", "failed": "f.stray", "total": "f.n + f.stray"},
  {"name": "unknown_event_types", "column": "event_type", "failed": "f.unknown_type", "total": "f.n"},
  {"name": "negative_prices", "column": "price", "failed": "f.negative_price", "total": "f.n"},
  {"name": "bad_quantities", "column": "quantity", "failed": "f.bad_quantity", "total": "f.n"},
] %}
{% macro list(words) %}{% for word in words %}{{ word }}{% if not loop.last %}, {% endif %}{% endfor %}{% endmacro %}
WITH day AS (
  SELECT COUNT(*) AS n,
    COUNT(*) - COUNT(e.event_id) AS no_event_id,
    COUNT(*) - COUNT(e.event_type) AS no_event_type,
    COUNT(*) - COUNT(e.user_id) AS no_user_id,
    COUNT(*) - COUNT(e.session_id) AS no_session_id,
    COUNT(*) FILTER (WHERE e.event_type <> 'search') AS about_product,
    COUNT(*) FILTER (WHERE e.event_type <> 'search' AND e.product_id IS NULL) AS no_product_id,
    COUNT(*) FILTER (WHERE e.event_type <> 'search' AND e.category IS NULL) AS no_category,
    COUNT(*) FILTER (WHERE e.event_type <> 'search' AND e.price IS NULL) AS no_price,
    COUNT(*) FILTER (WHERE e.event_type IN ('add_cart', 'purchase')) AS about_quantity,
    COUNT(*) FILTER (WHERE e.event_type IN ('add_cart', 'purchase') AND e.quantity IS NULL) AS no_quantity,
    COUNT(*) FILTER (WHERE e.event_id IS NULL OR e.event_type IS NULL OR e.user_id IS NULL OR e.session_id IS NULL
      OR (e.event_type <> 'search' AND (e.product_id IS NULL OR e.category IS NULL OR e.price IS NULL))
      OR (e.event_type IN ('add_cart', 'purchase') AND e.quantity IS NULL)) AS missing,
    COUNT(*) FILTER (WHERE e.event_type NOT IN ({{ list(event_types) }})) AS unknown_type,
    COUNT(*) FILTER (WHERE e.price < 0) AS negative_price,
    COUNT(*) FILTER (WHERE e.quantity <= 0) AS bad_quantity
  FROM raw.shopping_events e
  WHERE e.timestamp >= {{ start }} AND e.timestamp < {{ end }}),
duplicates AS (
  SELECT COALESCE(SUM(d.n - 1), 0) AS extra
  FROM (
    SELECT e.event_id, COUNT(*) AS n
    FROM raw.shopping_events e
    WHERE e.timestamp >= {{ start }} AND e.timestamp < {{ end }} AND e.event_id IS NOT NULL
    GROUP BY e.event_id) d
  WHERE d.n > 1),
strays AS (
  SELECT COUNT(e.timestamp) AS stray, COUNT(*) - COUNT(e.timestamp) AS no_timestamp
  FROM raw.shopping_events e
  WHERE e.timestamp IS NULL
     OR e.timestamp < TIMESTAMP {{ earliest_timestamp }}
     OR e.timestamp >= {{ days_ahead(clock_skew_days) }}),
-- Arrays of equal length, unnested side by side: one row of figures becomes one row per check without asking again.
checks AS (
  SELECT
    unnest(make_array({% for c in checks %}{{ c.name }}{% if not loop.last %}, {% endif %}{% endfor %})) AS check_name,
    unnest(make_array({% for c in checks %}CAST({{ c.column | default(none) }} AS TEXT){% if not loop.last %}, {% endif %}{% endfor %})) AS column_name,
    unnest(make_array({% for c in checks %}CAST({{ thresholds[c.name].warn | default(none) }} AS DOUBLE){% if not loop.last %}, {% endif %}{% endfor %})) AS warn_above,
    unnest(make_array({% for c in checks %}CAST({{ thresholds[c.name].fail | default(none) }} AS DOUBLE){% if not loop.last %}, {% endif %}{% endfor %})) AS fail_above,
    unnest(make_array({% for c in checks %}CAST({{ c.failed | safe }} AS BIGINT){% if not loop.last %}, {% endif %}{% endfor %})) AS failed_rows,
    unnest(make_array({% for c in checks %}CAST({{ c.total | safe }} AS BIGINT){% if not loop.last %}, {% endif %}{% endfor %})) AS total_rows
  FROM (SELECT * FROM day CROSS JOIN duplicates CROSS JOIN strays) f),
judged AS (
  SELECT c.*, COALESCE(CAST(c.failed_rows AS DOUBLE) / NULLIF(c.total_rows, 0), 0) AS value FROM checks c)
SELECT {{ date }} AS date, j.check_name, j.column_name, j.value, j.warn_above, j.fail_above,
       CASE WHEN j.value > j.fail_above THEN 'fail' WHEN j.value > j.warn_above THEN 'warn' ELSE 'ok' END AS level,
       j.failed_rows, j.total_rows
FROM judged j
