-- One row, also for a day without a purchase.
SELECT {{ date }} AS date,
       CAST(COALESCE(SUM(p.amount), 0) AS DECIMAL(18,2)) AS total_sales,
       COUNT(*) AS orders,
       COUNT(DISTINCT p.user_id) AS buyers,
       CAST(SUM(p.amount) AS DOUBLE) / COUNT(*) AS avg_order
FROM processed.purchases p
WHERE p.date = {{ date }}
