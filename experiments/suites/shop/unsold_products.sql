-- Products that are viewed but never bought: an anti join.
SELECT p.category, COUNT(*) AS products
FROM products p
WHERE EXISTS (SELECT 1 FROM shopping_events v WHERE v.product_id = p.product_id AND v.event_type = 'view')
  AND NOT EXISTS (SELECT 1 FROM shopping_events b WHERE b.product_id = p.product_id AND b.event_type = 'purchase')
GROUP BY p.category
ORDER BY p.category
