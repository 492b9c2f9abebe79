-- Rows of all profiles but the electricity meter's energy profiles: gas by hour, day and month, power quality, and whatever profile was
-- asked for by its logical name. Narrow: one row a meter, quantity and capture time, as every meter stores other quantities.
--
-- The quantity comes first in the sort key: who asks for gas reads no row of voltages, and the other way round (docs/analytics.md).
CREATE TABLE profile_reads
(
    device_id LowCardinality(String) COMMENT 'of gas the gas meter''s own',
    profile LowCardinality(String) COMMENT 'MBUS_INTERVAL_PROFILE, POWER_QUALITY_PROFILE_1 ...; the logical name of one without a name',
    logical_name LowCardinality(String) COMMENT 'of the profile as the meter has it: 0-1:24.3.0.255',
    quantity LowCardinality(String) COMMENT 'consumption, average_voltage_l1 ...',
    captured_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'the clock of the meter (of gas: its gateway) when it stored the row',
    value Nullable(Decimal64(6)) CODEC(GCD, Delta, ZSTD(1)) COMMENT 'in `unit`; NULL when the meter gave none',
    unit LowCardinality(String) COMMENT 'm3, V, A, W, var, kWh ...; empty for a count',
    value_at Nullable(DateTime64(3, 'UTC')) CODEC(Delta, ZSTD(1)) COMMENT 'when an M-Bus meter took the value; NULL: not known, or the time of the row',
    status UInt8 CODEC(ZSTD(1)) COMMENT 'AMR profile status, one bit a flag: the views name them; 0 if the profile has none',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when the row came in; of two reads of one row the later wins',
    correlation_id UUID CODEC(ZSTD(1)) COMMENT 'the command that read it'
)
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(captured_at)
ORDER BY (quantity, profile, device_id, captured_at)
SETTINGS non_replicated_deduplication_window = 10000;

-- One row a record: its columns side by side, each as the little-endian bytes the record carries.
CREATE TABLE profile_reads_in
(
    device_id String,
    profile String,
    logical_name String,
    received_at Int64,
    correlation FixedString(16),
    times String,
    statuses String,
    quantities Array(String),
    units Array(String),
    packed_values Array(String),
    packed_value_times Array(String)
)
ENGINE = Null;

-- First a row a column, then a row a value. The least int64 stands for a missing one. A time of which DateTime64 knows nothing (the clock of a
-- gas meter may say anything) is no time.
CREATE MATERIALIZED VIEW profile_reads_mv TO profile_reads AS
WITH w >= -2208988800000 AND w < 10413792000000 AS known
SELECT
    c.device_id AS device_id,
    c.profile AS profile,
    c.logical_name AS logical_name,
    q AS quantity,
    fromUnixTimestamp64Milli(t, 'UTC') AS captured_at,
    if(v = -9223372036854775808, NULL, reinterpret(if(v = -9223372036854775808, 0, v), 'Decimal64(6)')) AS value,
    u AS unit,
    if(known, fromUnixTimestamp64Milli(if(known, w, 0), 'UTC'), NULL) AS value_at,
    s AS status,
    fromUnixTimestamp64Milli(c.received_at, 'UTC') AS received_at,
    reinterpret(c.correlation, 'UUID') AS correlation_id
FROM
(
    SELECT device_id, profile, logical_name, received_at, correlation, times, statuses, q, u, packed, taken
    FROM profile_reads_in
    ARRAY JOIN quantities AS q, units AS u, packed_values AS packed, packed_value_times AS taken
) AS c
ARRAY JOIN
    reinterpret(times, 'Array(Int64)') AS t,
    reinterpret(statuses, 'Array(UInt8)') AS s,
    reinterpret(packed, 'Array(Int64)') AS v,
    arrayResize(reinterpret(taken, 'Array(Int64)'), if(empty(taken), length(statuses), intDiv(length(taken), 8)), toInt64(-9223372036854775808)) AS w;

-- What an analyst asks of gas and of power quality. FINAL everywhere, as in 006_views.sql.

-- Rows of any profile with the flags of their status by name.
CREATE VIEW profile_values AS
SELECT device_id, profile, logical_name, quantity, captured_at, value, unit, value_at,
    status, arrayMap(bit -> ['CRITICAL_ERROR', 'CLOCK_INVALID', 'DATA_NOT_VALID', 'DAYLIGHT_SAVING', 'NOT_USED', 'CLOCK_ADJUSTED',
        'RECOVERED_VALUE', 'POWER_DOWN'][bit + 1], bitPositionsToArray(status)) AS status_flags, received_at, correlation_id
FROM profile_reads FINAL;

-- Gas (or hydrogen) used in each hour: the difference of two values, dated by when the gas meter took them, which is usually an hour before
-- the gateway stored the row. Telegrams may be some minutes early or late; over a gap, a value that is missing or not valid, or a register that
-- went down there is no figure, and `quality` says why.
CREATE VIEW gas_consumption AS
SELECT
    device_id,
    before_at AS interval_start,
    value_at AS interval_end,
    captured_at,
    if(quality = 'ok', value - value_before, NULL) AS consumed_m3,
    multiIf(
        before_at IS NULL, 'first',
        bitAnd(status, 4) != 0 OR bitAnd(status_before, 4) != 0, 'not valid',
        value IS NULL OR value_before IS NULL, 'missing',
        before_at = value_at, 'repeated',
        dateDiff('second', before_at, value_at) > 5400, 'gap',
        dateDiff('second', before_at, value_at) < 1800, 'short',
        value < value_before, 'went down',
        'ok') AS quality,
    status,
    arrayMap(bit -> ['CRITICAL_ERROR', 'CLOCK_INVALID', 'DATA_NOT_VALID', 'DAYLIGHT_SAVING', 'NOT_USED', 'CLOCK_ADJUSTED',
        'RECOVERED_VALUE', 'POWER_DOWN'][bit + 1], bitPositionsToArray(status)) AS status_flags
FROM
(
    SELECT
        device_id, captured_at, value, status, value_at,
        lagInFrame(value) OVER w AS value_before,
        lagInFrame(toNullable(status)) OVER w AS status_before,
        lagInFrame(toNullable(value_at)) OVER w AS before_at
    FROM
    (
        SELECT device_id, captured_at, value, status, coalesce(r.value_at, r.captured_at) AS value_at
        FROM profile_reads AS r FINAL
        WHERE quantity = 'consumption' AND profile = 'MBUS_INTERVAL_PROFILE'
    )
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
);

-- Hours of gas present of those a local day has (24, on the nights of daylight saving 23 or 25), for each gas and hydrogen meter whose zone is
-- `zone` or not known: gas_completeness(zone = 'Europe/Amsterdam', from_day = '2026-03-28', to_day = '2026-03-30'), both days included. Meters
-- without any row are there with 0.
CREATE VIEW gas_completeness AS
SELECT
    d.device_id AS device_id,
    d.day AS day,
    toUInt32(dateDiff('hour', toDateTime(day, {zone:String}), toDateTime(day + 1, {zone:String}))) AS expected,
    toUInt32(ifNull(p.present, 0)) AS present,
    toUInt32(ifNull(p.flagged, 0)) AS flagged,
    greatest(toInt32(expected) - toInt32(present), 0) AS missing
FROM
(
    SELECT device_id, arrayJoin(arrayMap(n -> {from_day:Date} + n, range(toUInt32({to_day:Date} - {from_day:Date} + 1)))) AS day
    FROM devices
    WHERE device_type IN ('SMART_METER_G', 'SMART_METER_W') AND (time_zone = {zone:String} OR time_zone = '')
) AS d
LEFT JOIN
(
    SELECT
        toString(device_id) AS device_id,
        toDate(captured_at, {zone:String}) AS day,
        countIf(toUnixTimestamp64Milli(captured_at) % 3600000 = 0 AND value IS NOT NULL) AS present,
        countIf(bitAnd(status, 7) != 0) AS flagged
    FROM profile_reads FINAL
    WHERE quantity = 'consumption' AND profile = 'MBUS_INTERVAL_PROFILE'
        AND captured_at >= toDateTime({from_day:Date}, {zone:String})
        AND captured_at < toDateTime({to_day:Date} + 1, {zone:String})
    GROUP BY device_id, day
) AS p ON p.device_id = d.device_id AND p.day = d.day;

-- The hours that gas_completeness misses, one row each: what to ask for again.
CREATE VIEW gas_missing AS
SELECT d.device_id AS device_id, d.captured_at AS captured_at
FROM
(
    SELECT
        device_id,
        toDateTime64(toDateTime({from_day:Date}, {zone:String}), 3, 'UTC') AS first,
        arrayJoin(arrayMap(n -> first + toIntervalHour(n),
            range(toUInt32(dateDiff('hour', toDateTime({from_day:Date}, {zone:String}), toDateTime({to_day:Date} + 1, {zone:String})))))) AS captured_at
    FROM devices
    WHERE device_type IN ('SMART_METER_G', 'SMART_METER_W') AND (time_zone = {zone:String} OR time_zone = '')
) AS d
LEFT ANTI JOIN
(
    SELECT toString(device_id) AS device_id, captured_at
    FROM profile_reads FINAL
    WHERE quantity = 'consumption' AND profile = 'MBUS_INTERVAL_PROFILE' AND value IS NOT NULL
        AND captured_at >= toDateTime({from_day:Date}, {zone:String})
        AND captured_at < toDateTime({to_day:Date} + 1, {zone:String})
) AS p ON p.device_id = d.device_id AND p.captured_at = d.captured_at;

-- Average voltages of each local day by phase, from whichever power-quality profile has them, against the limits of EN 50160 for low voltage
-- (230 V, 10 % up and down): voltage_quality(zone = 'Europe/Amsterdam', from_day = '2026-11-01', to_day = '2026-11-07'). A row is the average of
-- the period that ends with it, so midnight's belongs to the day that ends.
CREATE VIEW voltage_quality AS
SELECT
    device_id,
    toDate(captured_at - INTERVAL 1 SECOND, {zone:String}) AS day,
    upper(substring(quantity, 17)) AS phase,
    profile,
    count(value) AS samples,
    min(value) AS lowest_v,
    toDecimal64(round(avg(value), 3), 3) AS mean_v,
    max(value) AS highest_v,
    countIf(value < 207) AS below,
    countIf(value > 253) AS above,
    round(100 * (samples - below - above) / samples, 2) AS percent_within
FROM profile_reads FINAL
WHERE quantity IN ('average_voltage_l1', 'average_voltage_l2', 'average_voltage_l3')
    AND captured_at > toDateTime({from_day:Date}, {zone:String})
    AND captured_at <= toDateTime({to_day:Date} + 1, {zone:String})
GROUP BY device_id, day, phase, profile
HAVING samples > 0;

-- As before, and the last value of a gas meter's profiles.
CREATE OR REPLACE VIEW latest_reads AS
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
