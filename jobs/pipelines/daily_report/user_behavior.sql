-- Categories are those that the user has viewed; carts and purchases alone do not count.
SELECT {{ date }} AS date, l.user_id,
       COUNT(*) AS total_events,
       COUNT(DISTINCT l.session_id) AS sessions,
       CAST(COALESCE(SUM(CASE WHEN l.event_type = 'purchase' THEN CAST(l.price AS DECIMAL(18,2)) * l.quantity END), 0)
            AS DECIMAL(18,2)) AS total_spent,
       COUNT(DISTINCT CASE WHEN l.event_type = 'view' THEN l.category END) AS categories_viewed
FROM raw.ecommerce_logs l
WHERE l.timestamp >= {{ start }} AND l.timestamp < {{ end }}
GROUP BY l.user_id
