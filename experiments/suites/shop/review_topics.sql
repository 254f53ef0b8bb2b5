-- What reviews mention (delivery, quality, price, packaging), by rating: searches in text.
SELECT r.rating, COUNT(*) AS reviews,
       SUM(CASE WHEN r.text LIKE '%배송%' THEN 1 ELSE 0 END) AS delivery,
       SUM(CASE WHEN r.text LIKE '%품질%' THEN 1 ELSE 0 END) AS quality,
       SUM(CASE WHEN r.text LIKE '%가격%' THEN 1 ELSE 0 END) AS price,
       SUM(CASE WHEN r.text LIKE '%포장%' THEN 1 ELSE 0 END) AS packaging,
       SUM(CASE WHEN r.text IS NULL THEN 1 ELSE 0 END) AS without_text
FROM reviews r
GROUP BY r.rating
ORDER BY r.rating
