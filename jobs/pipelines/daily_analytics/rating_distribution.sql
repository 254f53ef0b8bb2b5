SELECT {{ date }} AS date, d.rating, d.reviews,
       CAST(d.reviews AS DOUBLE) / SUM(d.reviews) OVER () AS share
FROM (
  SELECT CAST(r.rating AS INT) AS rating, COUNT(*) AS reviews
  FROM raw.reviews r
  WHERE r.created_at >= {{ start }} AND r.created_at < {{ end }} AND r.rating IS NOT NULL
  GROUP BY CAST(r.rating AS INT)) d
