-- What an analyst asks of gas and of power quality.

-- Rows of any profile with the flags of their status by name.
CREATE VIEW profile_values AS
WITH (SELECT groupArray(name) FROM (SELECT name FROM profile_status_flags ORDER BY bit)) AS flag_names
SELECT device_id, profile, logical_name, quantity, captured_at, value, unit, value_at,
    status,
    arrayMap(bit -> flag_names[bit + 1], bitPositionsToArray(status)) AS status_flags, received_at, correlation_id
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
    status_flags
FROM
(
    SELECT
        device_id, captured_at, value, status, status_flags, value_at,
        lagInFrame(value) OVER w AS value_before,
        lagInFrame(toNullable(status)) OVER w AS status_before,
        lagInFrame(toNullable(value_at)) OVER w AS before_at
    FROM
    (
        SELECT device_id, captured_at, value, status, status_flags, coalesce(r.value_at, r.captured_at) AS value_at
        FROM profile_values AS r
        WHERE quantity = 'consumption' AND profile = 'MBUS_INTERVAL_PROFILE'
    )
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
);

-- The fleet's gas in each hour of one local day: gas_curve(day = '2026-11-01', zone = 'Europe/Amsterdam'). Of all hours of `gas_consumption`
-- it is the sum, but it reads the rows of that day's month alone. Gas meters take their values some minutes early or late: an hour is the
-- one in which most of it lies. Values are dated by the gas meter, usually an hour before the gateway stored them, so the last hour of a day
-- is there when the row of one o'clock of the next was read.
CREATE VIEW gas_curve AS
SELECT
    toStartOfHour(toDateTime(interval_start + INTERVAL 30 MINUTE, {zone:String})) AS hour,
    count() AS meters,
    sum(consumed) AS consumed_m3
FROM
(
    SELECT
        status, bitAnd(lagInFrame(status) OVER w, 4) AS before_not_valid,
        value - lagInFrame(value) OVER w AS consumed,
        lagInFrame(toNullable(value_at)) OVER w AS interval_start,
        dateDiff('second', interval_start, value_at) AS since
    FROM
    (
        SELECT device_id, captured_at, value, status, coalesce(r.value_at, r.captured_at) AS value_at
        FROM profile_reads AS r FINAL
        WHERE quantity = 'consumption' AND profile = 'MBUS_INTERVAL_PROFILE'
            AND captured_at >= toDateTime({day:Date}, {zone:String}) - INTERVAL 30 MINUTE
            AND captured_at <= toDateTime({day:Date} + 1, {zone:String}) + INTERVAL 90 MINUTE
    )
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE since BETWEEN 1800 AND 5400 AND consumed >= 0 AND bitAnd(status, 4) = 0 AND before_not_valid = 0
    AND hour >= toDateTime({day:Date}, {zone:String}) AND hour < toDateTime({day:Date} + 1, {zone:String})
GROUP BY hour
ORDER BY hour;

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
