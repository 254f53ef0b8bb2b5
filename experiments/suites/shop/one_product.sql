-- All events of one product.
SELECT e.event_type, COUNT(*) AS events, SUM(e.price) AS prices, MIN(e.timestamp) AS first_at, MAX(e.timestamp) AS last_at
FROM shopping_events e
WHERE e.product_id = 'pd_007554'
GROUP BY e.event_type
ORDER BY e.event_type
