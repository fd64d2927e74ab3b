SELECT c.customer_id, c.full_name, COUNT(o.order_id) AS order_count, SUM(oi.quantity * oi.unit_price) AS total_spent
FROM customers AS c
LEFT JOIN orders AS o ON o.customer_id = c.customer_id AND o.created_at >= DATE '2024-01-01'
LEFT JOIN order_items AS oi ON oi.order_id = o.order_id
WHERE c.country_code IN ('DE', 'FR', 'PL') AND c.deleted_at IS NULL
GROUP BY c.customer_id, c.full_name
HAVING COUNT(o.order_id) > 3
ORDER BY total_spent DESC NULLS LAST
LIMIT 50 OFFSET 100;

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_orders_customer_created ON orders (customer_id, created_at DESC);
INSERT INTO audit_log (actor, action, subject_id, happened_at) VALUES ('system', 'REINDEX', 4711, NOW());
