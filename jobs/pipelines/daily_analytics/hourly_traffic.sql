-- Only one distinct count: with a second one the engine could no longer turn it into two plain groupings.
SELECT {{ date }} AS date,
       CAST(EXTRACT(HOUR FROM e.timestamp) AS INT) AS hour,
       COALESCE(e.event_type, 'unknown') AS event_type,
       COUNT(*) AS events,
       COUNT(DISTINCT e.session_id) AS sessions
FROM raw.shopping_events e
WHERE e.timestamp >= {{ start }} AND e.timestamp < {{ end }}
GROUP BY CAST(EXTRACT(HOUR FROM e.timestamp) AS INT), COALESCE(e.event_type, 'unknown')
