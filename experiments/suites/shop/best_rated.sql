-- The best rated products with enough reviews in each category: a join above an aggregation, and a rank.
WITH a AS (
  SELECT r.product_id, COUNT(*) AS reviews, AVG(CAST(r.rating AS DOUBLE)) AS rating
  FROM reviews r
  GROUP BY r.product_id
  HAVING COUNT(*) >= 5),
b AS (
  SELECT p.category, p.product_id, a.reviews, a.rating,
         ROW_NUMBER() OVER (PARTITION BY p.category ORDER BY a.rating DESC, a.reviews DESC, p.product_id) AS place
  FROM a JOIN products p ON p.product_id = a.product_id)
SELECT b.category, b.place, b.product_id, b.reviews, b.rating
FROM b
WHERE b.place <= 5
ORDER BY b.category, b.place
