-- The rows of one product on one day, with a field of a struct.
SELECT e.timestamp AS happened_at, e.event_id, e.event_type, e.user_id, e.price, e.device['os'] AS os
FROM shopping_events e
WHERE e.product_id = 'pd_007554'
  AND e.timestamp >= TIMESTAMP '2024-06-10 00:00:00' AND e.timestamp < TIMESTAMP '2024-06-11 00:00:00'
ORDER BY happened_at, event_id
