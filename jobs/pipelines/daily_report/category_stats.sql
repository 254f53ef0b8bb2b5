SELECT {{ date }} AS date, l.category,
       COUNT(*) AS total_events,
       COUNT(DISTINCT l.user_id) AS unique_users,
       CAST(COALESCE(SUM(CASE WHEN l.event_type = 'purchase' THEN CAST(l.price AS DECIMAL(18,2)) * l.quantity END), 0)
            AS DECIMAL(18,2)) AS total_revenue,
       COUNT(*) FILTER (WHERE l.event_type = 'purchase') AS purchases
FROM raw.ecommerce_logs l
WHERE l.timestamp >= {{ start }} AND l.timestamp < {{ end }}
GROUP BY l.category
