-- The share of rows without a value, of many columns.
SELECT COUNT(*) AS events,
       AVG(CASE WHEN e.product_id IS NULL THEN 1.0E0 ELSE 0.0E0 END) AS product_id,
       AVG(CASE WHEN e.category IS NULL THEN 1.0E0 ELSE 0.0E0 END) AS category,
       AVG(CASE WHEN e.price IS NULL THEN 1.0E0 ELSE 0.0E0 END) AS price,
       AVG(CASE WHEN e.quantity IS NULL THEN 1.0E0 ELSE 0.0E0 END) AS quantity,
       AVG(CASE WHEN e.search_query IS NULL THEN 1.0E0 ELSE 0.0E0 END) AS search_query,
       AVG(CASE WHEN e.device['app_version'] IS NULL THEN 1.0E0 ELSE 0.0E0 END) AS app_version,
       AVG(CASE WHEN e.context['campaign']['id'] IS NULL THEN 1.0E0 ELSE 0.0E0 END) AS campaign
FROM shopping_events e
