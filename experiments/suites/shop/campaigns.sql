-- Events and purchases by device, referrer and campaign: fields of nested structs.
SELECT e.device['type'] AS device, e.context['referrer'] AS referrer, e.context['campaign']['name'] AS campaign,
       COUNT(*) AS events, SUM(CASE WHEN e.event_type = 'purchase' THEN 1 ELSE 0 END) AS purchases
FROM shopping_events e
GROUP BY e.device['type'], e.context['referrer'], e.context['campaign']['name']
ORDER BY events DESC, device, referrer, campaign
