-- The products of which the largest share of views ends in a purchase.
WITH p AS (
  SELECT e.product_id,
         SUM(CASE WHEN e.event_type = 'view' THEN 1 ELSE 0 END) AS views,
         SUM(CASE WHEN e.event_type = 'purchase' THEN 1 ELSE 0 END) AS purchases
  FROM shopping_events e
  WHERE e.product_id IS NOT NULL
  GROUP BY e.product_id)
SELECT p.product_id, p.views, p.purchases, CAST(p.purchases AS DOUBLE) / p.views AS conversion
FROM p
WHERE p.views >= 20
ORDER BY conversion DESC, p.product_id
LIMIT 100
