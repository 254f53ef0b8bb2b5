SELECT {{ date }} AS date, l.event_type, COUNT(*) AS count
FROM raw.ecommerce_logs l
WHERE l.timestamp >= {{ start }} AND l.timestamp < {{ end }}
GROUP BY l.event_type
