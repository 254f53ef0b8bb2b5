-- Two hours of one day.
SELECT COUNT(*) AS events, SUM(e.price) AS prices, COUNT(DISTINCT e.session_id) AS sessions
FROM shopping_events e
WHERE e.timestamp >= TIMESTAMP '2024-06-10 18:00:00' AND e.timestamp < TIMESTAMP '2024-06-10 20:00:00'
