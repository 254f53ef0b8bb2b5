-- Events with the id of another: a group for almost every row.
SELECT COUNT(*) AS ids, SUM(d.n - 1) AS extra_rows
FROM (SELECT e.event_id, COUNT(*) AS n FROM shopping_events e GROUP BY e.event_id HAVING COUNT(*) > 1) d
