SELECT {{ date }} AS date, CAST(EXTRACT(HOUR FROM l.timestamp) AS INT) AS hour,
       COUNT(*) AS events, COUNT(DISTINCT l.user_id) AS active_users
FROM raw.ecommerce_logs l
WHERE l.timestamp >= {{ start }} AND l.timestamp < {{ end }}
GROUP BY CAST(EXTRACT(HOUR FROM l.timestamp) AS INT)
