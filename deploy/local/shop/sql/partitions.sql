-- One partition of `orders` for each month of 2024 and 2025.
SELECT format(
    'CREATE TABLE orders_%s PARTITION OF orders FOR VALUES FROM (%L) TO (%L)',
    to_char(month, 'YYYY_MM'), month::date, (month + interval '1 month')::date
)
FROM generate_series(timestamp '2024-01-01', timestamp '2025-12-01', interval '1 month') AS month
ORDER BY month
