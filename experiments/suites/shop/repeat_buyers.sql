-- Which share of the buyers of a category buys there on several days.
WITH b AS (
  SELECT e.category, e.user_id, COUNT(DISTINCT CAST(e.timestamp AS DATE)) AS days
  FROM shopping_events e
  WHERE e.event_type = 'purchase'
  GROUP BY e.category, e.user_id)
SELECT b.category, COUNT(*) AS buyers, SUM(CASE WHEN b.days > 1 THEN 1 ELSE 0 END) AS repeated
FROM b
GROUP BY b.category
ORDER BY b.category
