-- Sales of each day, their average over seven days, and the rank of the category on that day.
WITH d AS (
  SELECT e.category, CAST(e.timestamp AS DATE) AS day, CAST(SUM(e.price * e.quantity) AS DOUBLE) AS sales
  FROM shopping_events e
  WHERE e.event_type = 'purchase'
  GROUP BY e.category, CAST(e.timestamp AS DATE))
SELECT d.category, d.day, d.sales,
       AVG(d.sales) OVER (PARTITION BY d.category ORDER BY d.day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS average,
       RANK() OVER (PARTITION BY d.day ORDER BY d.sales DESC) AS place
FROM d
ORDER BY d.category, d.day
