-- Orders, buyers and sales of each day.
SELECT CAST(e.timestamp AS DATE) AS day, COUNT(*) AS orders, COUNT(DISTINCT e.user_id) AS buyers,
       SUM(e.price * e.quantity) AS sales
FROM shopping_events e
WHERE e.event_type = 'purchase'
GROUP BY CAST(e.timestamp AS DATE)
ORDER BY day
