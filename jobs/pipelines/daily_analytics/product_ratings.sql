SELECT {{ date }} AS date, r.product_id, COUNT(*) AS reviews, AVG(CAST(r.rating AS DOUBLE)) AS avg_rating
FROM raw.reviews r
WHERE r.created_at >= {{ start }} AND r.created_at < {{ end }} AND r.product_id IS NOT NULL AND r.rating IS NOT NULL
GROUP BY r.product_id
