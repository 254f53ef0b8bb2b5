-- Smallest, largest and average prices by category.
SELECT e.category, COUNT(*) AS orders, SUM(e.quantity) AS pieces, MIN(e.price) AS lowest, MAX(e.price) AS highest,
       AVG(CAST(e.price AS DOUBLE)) AS average
FROM shopping_events e
WHERE e.event_type = 'purchase'
GROUP BY e.category
ORDER BY e.category
