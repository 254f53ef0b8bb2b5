-- Users of each day and of the seven days until then: a join by a range, and a subquery that is read three times.
WITH u AS (
  SELECT DISTINCT CAST(e.timestamp AS DATE) AS day, e.user_id FROM shopping_events e),
d AS (
  SELECT u.day, COUNT(*) AS users FROM u GROUP BY u.day),
w AS (
  SELECT d.day, COUNT(DISTINCT u.user_id) AS users
  FROM d JOIN u ON u.day <= d.day AND u.day > d.day - INTERVAL '7' DAY
  GROUP BY d.day)
SELECT d.day, d.users AS of_day, w.users AS of_week
FROM d JOIN w ON d.day = w.day
ORDER BY d.day
