-- What an analyst wants first. FINAL everywhere: of a row read twice the later read counts, at the price of some tens of per cent.

-- Profile rows with the flags of their status by name.
CREATE VIEW energy_profile AS
SELECT device_id, period, captured_at, import_total, export_total, import_rate1, import_rate2, export_rate1, export_rate2,
    status, arrayMap(bit -> ['CRITICAL_ERROR', 'CLOCK_INVALID', 'DATA_NOT_VALID', 'DAYLIGHT_SAVING', 'NOT_USED', 'CLOCK_ADJUSTED',
        'RECOVERED_VALUE', 'POWER_DOWN'][bit + 1], bitPositionsToArray(status)) AS status_flags, received_at, correlation_id
FROM energy_reads FINAL;

-- The devices as they are known now.
CREATE VIEW devices AS
SELECT
    r.device_id AS device_id,
    device_type, protocol, protocol_version, host, port, client_id, logical_device, security, system_title, key_kinds,
    if(z.version > r.version, z.time_zone, r.time_zone) AS time_zone,
    gateway_id, channel, mbus_identification, cell_id, labels,
    r.at AS registered_at,
    r.version AS registered_version
FROM (SELECT * FROM device_registrations FINAL) AS r
LEFT JOIN (SELECT * FROM device_time_zones FINAL) AS z ON z.device_id = r.device_id;

-- The last known state of every register of every device. A read from a clock more than a day ahead would stay the latest for ever: left out.
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
) AS reads
GROUP BY device_id, quantity;

-- What was used in the quarter-hour that ends at captured_at: the difference of two readings 15 minutes apart.
-- Over a gap, a missing value or a register that went down there is no figure, and `quality` says why.
CREATE VIEW interval_consumption AS
SELECT
    device_id,
    captured_at - INTERVAL 15 MINUTE AS interval_start,
    captured_at,
    if(quality = 'ok', import_total - import_before, NULL) AS imported_kwh,
    if(quality = 'ok', export_total - export_before, NULL) AS exported_kwh,
    multiIf(
        before_at IS NULL, 'first',
        dateDiff('millisecond', before_at, captured_at) > 900000, 'gap',
        dateDiff('millisecond', before_at, captured_at) < 900000, 'short',
        import_total IS NULL OR import_before IS NULL, 'missing',
        import_total < import_before OR export_total < export_before, 'went down',
        'ok') AS quality,
    status,
    arrayMap(bit -> ['CRITICAL_ERROR', 'CLOCK_INVALID', 'DATA_NOT_VALID', 'DAYLIGHT_SAVING', 'NOT_USED', 'CLOCK_ADJUSTED',
        'RECOVERED_VALUE', 'POWER_DOWN'][bit + 1], bitPositionsToArray(status)) AS status_flags
FROM
(
    SELECT
        device_id, captured_at, import_total, export_total, status,
        lagInFrame(import_total) OVER w AS import_before,
        lagInFrame(export_total) OVER w AS export_before,
        lagInFrame(toNullable(captured_at)) OVER w AS before_at
    FROM energy_reads FINAL
    WHERE period = 'INTERVAL'
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
);

-- The fleet's load in each quarter-hour of one local day: load_curve(day = '2026-03-28', zone = 'Europe/Amsterdam').
CREATE VIEW load_curve AS
SELECT
    toDateTime(interval_start, {zone:String}) AS interval_start,
    count() AS meters,
    sum(imported) AS imported_kwh,
    sum(exported) AS exported_kwh,
    4 * imported_kwh AS import_kw,
    4 * exported_kwh AS export_kw
FROM
(
    SELECT
        captured_at - INTERVAL 15 MINUTE AS interval_start,
        import_total - lagInFrame(import_total) OVER w AS imported,
        ifNull(export_total - lagInFrame(export_total) OVER w, 0) AS exported,
        dateDiff('millisecond', lagInFrame(toNullable(captured_at)) OVER w, captured_at) AS since_ms
    FROM energy_reads FINAL
    WHERE period = 'INTERVAL'
        AND captured_at >= toDateTime({day:Date}, {zone:String})
        AND captured_at <= toDateTime({day:Date} + 1, {zone:String})
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE since_ms = 900000 AND imported >= 0 AND exported >= 0
GROUP BY interval_start
ORDER BY interval_start;

-- Consumption of each day, from the meter's own daily readings: what was used between one reading and the next, a day later.
-- A local day has 23 to 25 hours; over a gap there is no figure.
CREATE VIEW daily_totals AS
SELECT
    device_id,
    before_at AS day_start,
    captured_at AS day_end,
    if(quality = 'ok', import_total - import_before, NULL) AS imported_kwh,
    if(quality = 'ok', export_total - export_before, NULL) AS exported_kwh,
    if(quality = 'ok', import_rate1 - import_rate1_before, NULL) AS imported_rate1_kwh,
    if(quality = 'ok', import_rate2 - import_rate2_before, NULL) AS imported_rate2_kwh,
    if(quality = 'ok', export_rate1 - export_rate1_before, NULL) AS exported_rate1_kwh,
    if(quality = 'ok', export_rate2 - export_rate2_before, NULL) AS exported_rate2_kwh,
    multiIf(
        before_at IS NULL, 'first',
        dateDiff('hour', before_at, captured_at) > 25, 'gap',
        dateDiff('hour', before_at, captured_at) < 23, 'short',
        import_total IS NULL OR import_before IS NULL, 'missing',
        import_total < import_before, 'went down',
        'ok') AS quality,
    status,
    arrayMap(bit -> ['CRITICAL_ERROR', 'CLOCK_INVALID', 'DATA_NOT_VALID', 'DAYLIGHT_SAVING', 'NOT_USED', 'CLOCK_ADJUSTED',
        'RECOVERED_VALUE', 'POWER_DOWN'][bit + 1], bitPositionsToArray(status)) AS status_flags
FROM
(
    SELECT
        device_id, captured_at, status, import_rate1, import_rate2, export_rate1, export_rate2,
        coalesce(energy_reads.import_total, import_rate1 + import_rate2) AS import_total,
        coalesce(energy_reads.export_total, export_rate1 + export_rate2) AS export_total,
        lagInFrame(import_total) OVER w AS import_before,
        lagInFrame(export_total) OVER w AS export_before,
        lagInFrame(import_rate1) OVER w AS import_rate1_before,
        lagInFrame(import_rate2) OVER w AS import_rate2_before,
        lagInFrame(export_rate1) OVER w AS export_rate1_before,
        lagInFrame(export_rate2) OVER w AS export_rate2_before,
        lagInFrame(toNullable(captured_at)) OVER w AS before_at
    FROM energy_reads FINAL
    WHERE period = 'DAILY'
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
);

-- Quarter-hours present of those a local day has (96, on the nights of daylight saving 92 or 100), for each device whose clock runs in
-- `zone` or whose zone is not known: completeness(zone = 'Europe/Amsterdam', from_day = '2026-03-28', to_day = '2026-03-30'), both days
-- included. A row belongs to the day its capture time lies in, midnight to the day it begins. Devices without any row are there with 0.
CREATE VIEW completeness AS
SELECT
    d.device_id AS device_id,
    d.day AS day,
    toUInt32(intDiv(dateDiff('minute', toDateTime(day, {zone:String}), toDateTime(day + 1, {zone:String})), 15)) AS expected,
    toUInt32(ifNull(p.present, 0)) AS present,
    toUInt32(ifNull(p.flagged, 0)) AS flagged,
    greatest(toInt32(expected) - toInt32(present), 0) AS missing
FROM
(
    SELECT device_id, arrayJoin(arrayMap(n -> {from_day:Date} + n, range(toUInt32({to_day:Date} - {from_day:Date} + 1)))) AS day
    FROM devices
    WHERE device_type != 'SMART_METER_G' AND device_type != 'SMART_METER_W' AND (time_zone = {zone:String} OR time_zone = '')
) AS d
LEFT JOIN
(
    SELECT
        toString(device_id) AS device_id,
        toDate(captured_at, {zone:String}) AS day,
        countIf(toUnixTimestamp64Milli(captured_at) % 900000 = 0) AS present,
        countIf(bitAnd(status, 7) != 0) AS flagged
    FROM energy_reads FINAL
    WHERE period = 'INTERVAL'
        AND captured_at >= toDateTime({from_day:Date}, {zone:String})
        AND captured_at < toDateTime({to_day:Date} + 1, {zone:String})
    GROUP BY device_id, day
) AS p ON p.device_id = d.device_id AND p.day = d.day;

-- How long commands took, from their arrival to their outcome. An outcome told again is the outcome of the first.
CREATE VIEW command_durations AS
SELECT
    device_id,
    correlation_id,
    operation,
    status,
    fault_name,
    attempts,
    received_at,
    settled_at,
    dateDiff('millisecond', received_at, settled_at) / 1000 AS seconds
FROM responses FINAL
WHERE NOT repeated;
