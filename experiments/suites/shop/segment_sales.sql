-- Events and sales by properties of products and users: a join of all events with two tables.
SELECT p.category, u.age_group, u.segment, COUNT(*) AS events,
       SUM(CASE WHEN e.event_type = 'purchase' THEN e.price * e.quantity ELSE 0 END) AS sales
FROM shopping_events e
JOIN products p ON e.product_id = p.product_id
JOIN users u ON e.user_id = u.user_id
GROUP BY p.category, u.age_group, u.segment
ORDER BY p.category, u.age_group, u.segment
