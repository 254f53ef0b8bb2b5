SELECT {{ date }} AS date, p.product_id, p.views, p.carts, p.purchases,
       CAST(p.carts AS DOUBLE) / NULLIF(p.views, 0) AS view_to_cart,
       CAST(p.purchases AS DOUBLE) / NULLIF(p.carts, 0) AS cart_to_purchase,
       CAST(p.purchases AS DOUBLE) / NULLIF(p.views, 0) AS view_to_purchase
FROM (
  SELECT e.product_id,
         COUNT(*) FILTER (WHERE e.event_type = 'view') AS views,
         COUNT(*) FILTER (WHERE e.event_type = 'add_cart') AS carts,
         COUNT(*) FILTER (WHERE e.event_type = 'purchase') AS purchases
  FROM raw.shopping_events e
  WHERE e.timestamp >= {{ start }} AND e.timestamp < {{ end }}
    AND e.event_type IN ('view', 'add_cart', 'purchase') AND e.product_id IS NOT NULL
  GROUP BY e.product_id) p
