SELECT {{ date }} AS date,
       COALESCE(p.category, 'unknown') AS category,
       COUNT(*) AS orders,
       COUNT(DISTINCT p.user_id) AS buyers,
       SUM(p.quantity) AS units,
       CAST(SUM(p.amount) AS DECIMAL(18,2)) AS total_sales
FROM processed.purchases p
WHERE p.date = {{ date }}
GROUP BY COALESCE(p.category, 'unknown')
