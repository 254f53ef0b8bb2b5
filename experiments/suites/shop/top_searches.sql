-- The ten most frequent searches of each day.
WITH s AS (
  SELECT CAST(e.timestamp AS DATE) AS day, e.search_query, COUNT(*) AS searches
  FROM shopping_events e
  WHERE e.event_type = 'search'
  GROUP BY CAST(e.timestamp AS DATE), e.search_query),
r AS (
  SELECT s.day, s.search_query, s.searches,
         ROW_NUMBER() OVER (PARTITION BY s.day ORDER BY s.searches DESC, s.search_query) AS place
  FROM s)
SELECT r.day, r.place, r.search_query, r.searches
FROM r
WHERE r.place <= 10
ORDER BY r.day, r.place
