-- Two passes: the day's events by session (one accumulator of flags tells all stages: 1 view, 2 cart, 4 purchase), and
-- the purchases of the look-back by buyer (first and last purchase tell whether they bought today, before, and on more
-- than one day, so no distinct count is needed).
{% set metrics = [
  ["sessions", "f.sessions", "1"],
  ["events_per_session", "f.events", "f.sessions"],
  ["view_rate", "f.viewed", "f.sessions"],
  ["view_to_cart_rate", "f.carted", "f.viewed"],
  ["cart_to_purchase_rate", "f.walked_through", "f.carted"],
  ["conversion_rate", "f.bought", "f.sessions"],
  ["repurchase_rate", "f.returned", "f.today"],
  ["repeat_buyer_rate", "f.on_several_days", "f.buyers"],
] %}
WITH sessions AS (
  SELECT e.session_id, COUNT(*) AS events,
         bit_or(CASE e.event_type WHEN 'view' THEN 1 WHEN 'add_cart' THEN 2 WHEN 'purchase' THEN 4 ELSE 0 END) AS stages
  FROM raw.shopping_events e
  WHERE e.timestamp >= {{ start }} AND e.timestamp < {{ end }} AND e.session_id IS NOT NULL
  GROUP BY e.session_id),
s AS (
  SELECT COUNT(*) AS sessions,
         CAST(COALESCE(SUM(events), 0) AS BIGINT) AS events,
         COUNT(*) FILTER (WHERE stages IN (1, 3, 5, 7)) AS viewed,
         COUNT(*) FILTER (WHERE stages IN (3, 7)) AS carted,
         COUNT(*) FILTER (WHERE stages = 7) AS walked_through,
         COUNT(*) FILTER (WHERE stages >= 4) AS bought
  FROM sessions),
buyers AS (
  SELECT e.user_id, MIN(e.timestamp) AS first_at, MAX(e.timestamp) AS last_at
  FROM raw.shopping_events e
  WHERE e.timestamp >= {{ days_before(lookback_days) }} AND e.timestamp < {{ end }}
    AND e.event_type = 'purchase' AND e.event_id IS NOT NULL AND e.user_id IS NOT NULL
    AND e.price >= 0 AND e.quantity > 0
  GROUP BY e.user_id),
b AS (
  SELECT COUNT(*) AS buyers,
         COUNT(*) FILTER (WHERE CAST(first_at AS DATE) < CAST(last_at AS DATE)) AS on_several_days,
         COUNT(*) FILTER (WHERE last_at >= {{ start }}) AS today,
         COUNT(*) FILTER (WHERE last_at >= {{ start }} AND first_at < {{ start }}) AS returned
  FROM buyers),
-- Arrays of equal length, unnested side by side: the row of figures becomes a row per metric.
metrics AS (
  SELECT
    unnest(make_array({% for m in metrics %}{{ m[0] }}{% if not loop.last %}, {% endif %}{% endfor %})) AS metric,
    unnest(make_array({% for m in metrics %}{{ m[1] | safe }}{% if not loop.last %}, {% endif %}{% endfor %})) AS numerator,
    unnest(make_array({% for m in metrics %}{{ m[2] | safe }}{% if not loop.last %}, {% endif %}{% endfor %})) AS denominator
  FROM (SELECT * FROM s CROSS JOIN b) f)
SELECT {{ date }} AS date, m.metric,
       CAST(m.numerator AS DOUBLE) / NULLIF(m.denominator, 0) AS value,
       m.numerator, m.denominator
FROM metrics m
