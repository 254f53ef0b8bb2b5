-- Events and distinct sessions by hour and type: many distinct values in few groups.
SELECT EXTRACT(HOUR FROM e.timestamp) AS hour_of_day, e.event_type, COUNT(*) AS events,
       COUNT(DISTINCT e.session_id) AS sessions
FROM shopping_events e
GROUP BY EXTRACT(HOUR FROM e.timestamp), e.event_type
ORDER BY hour_of_day, e.event_type
