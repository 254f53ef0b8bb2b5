-- The day's purchases that money can be counted by: complete, not negative, and each event once. Of rows that share
-- an event_id the earliest counts; the further sort columns only make the choice the same on every run.
SELECT {{ date }} AS date, p.event_id, p.purchased_at, p.user_id, p.session_id, p.product_id, p.category, p.price,
       p.quantity, CAST(p.price * p.quantity AS DECIMAL(18,2)) AS amount
FROM (
  SELECT e.event_id, e.timestamp AS purchased_at, e.user_id, e.session_id, e.product_id, e.category, e.price,
         CAST(e.quantity AS BIGINT) AS quantity,
         ROW_NUMBER() OVER (
           PARTITION BY e.event_id
           ORDER BY e.timestamp, e.user_id, e.session_id, e.product_id, e.category, e.price, e.quantity) AS place
  FROM raw.shopping_events e
  WHERE e.timestamp >= {{ start }} AND e.timestamp < {{ end }}
    AND e.event_type = 'purchase' AND e.event_id IS NOT NULL AND e.user_id IS NOT NULL
    AND e.price >= 0 AND e.quantity > 0) p
WHERE p.place = 1
