-- The last known state of every register of every device, and the last value of each profile of energy and gas. A read from a clock more
-- than a day ahead would stay the latest for ever: left out.
CREATE VIEW latest_reads AS
SELECT
    device_id,
    quantity,
    argMax(reads.value, (reads.captured_at, received_at)) AS value,
    argMax(reads.unit, (reads.captured_at, received_at)) AS unit,
    max(reads.captured_at) AS captured_at,
    argMax(reads.correlation_id, (reads.captured_at, received_at)) AS correlation_id
FROM
(
    SELECT device_id, quantity, value, unit, captured_at, received_at, correlation_id
    FROM register_reads
    WHERE captured_at <= received_at + INTERVAL 1 DAY AND value IS NOT NULL
    UNION ALL
    SELECT device_id, concat('profile_', lower(toString(period)), '_', v.1) AS quantity, v.2 AS value, 'kWh' AS unit,
        captured_at, received_at, correlation_id
    FROM energy_reads
    ARRAY JOIN [('import_total', import_total), ('export_total', export_total), ('import_rate1', import_rate1),
        ('import_rate2', import_rate2), ('export_rate1', export_rate1), ('export_rate2', export_rate2)] AS v
    WHERE captured_at <= received_at + INTERVAL 1 DAY AND v.2 IS NOT NULL
    UNION ALL
    SELECT device_id, concat('profile_', lower(extract(profile, '^MBUS_(.*)_PROFILE$')), '_consumption') AS quantity, r.value AS value,
        r.unit AS unit, captured_at, received_at, correlation_id
    FROM profile_reads AS r
    WHERE r.quantity = 'consumption' AND captured_at <= received_at + INTERVAL 1 DAY AND r.value IS NOT NULL AND bitAnd(status, 4) = 0
) AS reads
GROUP BY device_id, quantity;
