-- The ten most viewed products of each hour.
WITH v AS (
  SELECT CAST(e.timestamp AS DATE) AS day, EXTRACT(HOUR FROM e.timestamp) AS hour_of_day, e.product_id, COUNT(*) AS views
  FROM shopping_events e
  WHERE e.event_type = 'view'
  GROUP BY CAST(e.timestamp AS DATE), EXTRACT(HOUR FROM e.timestamp), e.product_id),
r AS (
  SELECT v.day, v.hour_of_day, v.product_id, v.views,
         ROW_NUMBER() OVER (PARTITION BY v.day, v.hour_of_day ORDER BY v.views DESC, v.product_id) AS place
  FROM v)
SELECT r.day, r.hour_of_day, r.place, r.product_id, r.views
FROM r
WHERE r.place <= 10
ORDER BY r.day, r.hour_of_day, r.place
