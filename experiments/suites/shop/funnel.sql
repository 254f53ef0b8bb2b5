-- Visits, which end after 30 minutes without an event, and how far they get: a window over a window over all events.
WITH p AS (
  SELECT e.user_id, e.event_id, e.timestamp AS happened_at, e.event_type,
         LAG(e.timestamp) OVER (PARTITION BY e.user_id ORDER BY e.timestamp, e.event_id) AS previous
  FROM shopping_events e),
v AS (
  SELECT p.user_id, p.event_type,
         SUM(CASE WHEN p.previous IS NULL OR p.previous + INTERVAL '30' MINUTE < p.happened_at THEN 1 ELSE 0 END)
           OVER (PARTITION BY p.user_id ORDER BY p.happened_at, p.event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
           AS visit
  FROM p),
f AS (
  SELECT v.user_id, v.visit, COUNT(*) AS events,
         MAX(CASE WHEN v.event_type = 'view' THEN 1 ELSE 0 END) AS viewed,
         MAX(CASE WHEN v.event_type = 'add_cart' THEN 1 ELSE 0 END) AS carted,
         MAX(CASE WHEN v.event_type = 'purchase' THEN 1 ELSE 0 END) AS bought
  FROM v
  GROUP BY v.user_id, v.visit)
SELECT COUNT(*) AS visits, AVG(CAST(f.events AS DOUBLE)) AS events, SUM(f.viewed) AS viewed, SUM(f.carted) AS carted,
       SUM(f.bought) AS bought
FROM f
