-- What an analyst wants first. FINAL everywhere: of a row read twice the later read counts, at the price of some tens of per cent.

-- What the bits of a profile row's status are called, in all profiles.
CREATE VIEW profile_status_flags AS
SELECT flag.1 AS bit, flag.2 AS name
FROM
(
    SELECT arrayJoin([(0, 'CRITICAL_ERROR'), (1, 'CLOCK_INVALID'), (2, 'DATA_NOT_VALID'), (3, 'DAYLIGHT_SAVING'), (4, 'NOT_USED'),
        (5, 'CLOCK_ADJUSTED'), (6, 'RECOVERED_VALUE'), (7, 'POWER_DOWN')]) AS flag
);

-- Profile rows with the flags of their status by name.
CREATE VIEW energy_profile AS
WITH (SELECT groupArray(name) FROM (SELECT name FROM profile_status_flags ORDER BY bit)) AS flag_names
SELECT device_id, period, captured_at, import_total, export_total, import_rate1, import_rate2, export_rate1, export_rate2,
    status,
    arrayMap(bit -> flag_names[bit + 1], bitPositionsToArray(status)) AS status_flags, received_at, correlation_id
FROM energy_reads FINAL;

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
    status_flags
FROM
(
    SELECT
        device_id, captured_at, import_total, export_total, status, status_flags,
        lagInFrame(import_total) OVER w AS import_before,
        lagInFrame(export_total) OVER w AS export_before,
        lagInFrame(toNullable(captured_at)) OVER w AS before_at
    FROM energy_profile
    WHERE period = 'INTERVAL'
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
);

-- What each meter used in each quarter-hour of one local day; no row where it cannot be told: interval_load(day = '2026-03-28',
-- zone = 'Europe/Amsterdam'). Of all quarter-hours that is `interval_consumption`; this one reads a day.
CREATE VIEW interval_load AS
SELECT device_id, interval_start, imported_kwh, exported_kwh
FROM
(
    SELECT
        device_id,
        captured_at - INTERVAL 15 MINUTE AS interval_start,
        import_total - lagInFrame(import_total) OVER w AS imported_kwh,
        ifNull(export_total - lagInFrame(export_total) OVER w, 0) AS exported_kwh,
        dateDiff('millisecond', lagInFrame(toNullable(captured_at)) OVER w, captured_at) AS since_ms
    FROM energy_reads FINAL
    WHERE period = 'INTERVAL'
        AND captured_at >= toDateTime({day:Date}, {zone:String})
        AND captured_at <= toDateTime({day:Date} + 1, {zone:String})
    WINDOW w AS (PARTITION BY device_id ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE since_ms = 900000 AND imported_kwh >= 0 AND exported_kwh >= 0;

-- The fleet's load in each quarter-hour of one local day: load_curve(day = '2026-03-28', zone = 'Europe/Amsterdam').
CREATE VIEW load_curve AS
SELECT
    toDateTime(l.interval_start, {zone:String}) AS interval_start,
    count() AS meters,
    sum(l.imported_kwh) AS imported_kwh,
    sum(l.exported_kwh) AS exported_kwh,
    4 * imported_kwh AS import_kw,
    4 * exported_kwh AS export_kw
FROM interval_load(day = {day:Date}, zone = {zone:String}) AS l
GROUP BY interval_start
ORDER BY interval_start;

-- The load of a group in each quarter-hour of one local day, each meter while it belonged to it:
-- group_load_curve(day = '2026-03-28', zone = 'Europe/Amsterdam', name = 'street', value = 'Long Lane').
CREATE VIEW group_load_curve AS
WITH members AS
(
    SELECT device_id, valid_from, valid_to FROM device_groups WHERE name = {name:String} AND value = {value:String}
)
SELECT
    toDateTime(l.interval_start, {zone:String}) AS interval_start,
    count() AS meters,
    sum(l.imported_kwh) AS imported_kwh,
    sum(l.exported_kwh) AS exported_kwh,
    4 * imported_kwh AS import_kw,
    4 * exported_kwh AS export_kw
FROM
(
    SELECT toString(device_id) AS device_id, interval_start, imported_kwh, exported_kwh
    FROM interval_load(day = {day:Date}, zone = {zone:String})
    WHERE device_id IN (SELECT device_id FROM members)
) AS l
INNER JOIN members ON members.device_id = l.device_id
WHERE l.interval_start >= valid_from AND l.interval_start < valid_to
GROUP BY interval_start
ORDER BY interval_start;

-- Consumption between two readings of the daily or the monthly profile, by tariff. A local day has 23 to 25 hours, a month 28 to 31
-- days and an hour less or more; over a gap there is no figure.
CREATE VIEW period_totals AS
SELECT
    device_id, period,
    before_at AS period_start,
    captured_at AS period_end,
    if(quality = 'ok', import_total - import_before, NULL) AS imported_kwh,
    if(quality = 'ok', export_total - export_before, NULL) AS exported_kwh,
    if(quality = 'ok', import_rate1 - import_rate1_before, NULL) AS imported_rate1_kwh,
    if(quality = 'ok', import_rate2 - import_rate2_before, NULL) AS imported_rate2_kwh,
    if(quality = 'ok', export_rate1 - export_rate1_before, NULL) AS exported_rate1_kwh,
    if(quality = 'ok', export_rate2 - export_rate2_before, NULL) AS exported_rate2_kwh,
    multiIf(
        before_at IS NULL, 'first',
        dateDiff('hour', before_at, captured_at) > if(period = 'DAILY', 25, 31 * 24 + 1), 'gap',
        dateDiff('hour', before_at, captured_at) < if(period = 'DAILY', 23, 28 * 24 - 1), 'short',
        import_total IS NULL OR import_before IS NULL, 'missing',
        import_total < import_before, 'went down',
        'ok') AS quality,
    status,
    status_flags
FROM
(
    SELECT
        device_id, period, captured_at, status, status_flags, import_rate1, import_rate2, export_rate1, export_rate2,
        coalesce(p.import_total, import_rate1 + import_rate2) AS import_total,
        coalesce(p.export_total, export_rate1 + export_rate2) AS export_total,
        lagInFrame(import_total) OVER w AS import_before,
        lagInFrame(export_total) OVER w AS export_before,
        lagInFrame(import_rate1) OVER w AS import_rate1_before,
        lagInFrame(import_rate2) OVER w AS import_rate2_before,
        lagInFrame(export_rate1) OVER w AS export_rate1_before,
        lagInFrame(export_rate2) OVER w AS export_rate2_before,
        lagInFrame(toNullable(captured_at)) OVER w AS before_at
    FROM energy_profile AS p
    WHERE period != 'INTERVAL'
    WINDOW w AS (PARTITION BY device_id, period ORDER BY captured_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
);

CREATE VIEW daily_totals AS
SELECT period_start AS day_start, period_end AS day_end, * EXCEPT (period, period_start, period_end)
FROM period_totals WHERE period = 'DAILY';

CREATE VIEW monthly_totals AS
SELECT period_start AS month_start, period_end AS month_end, * EXCEPT (period, period_start, period_end)
FROM period_totals WHERE period = 'MONTHLY';

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

-- Stretches of quarter-hours that are not there, by device: missing_intervals(zone = 'Europe/Amsterdam', from_day = '2026-03-28',
-- to_day = '2026-03-30'). First and last missing capture time, and how many; for the devices and days of `completeness`.
CREATE VIEW missing_intervals AS
SELECT
    device_id,
    toDateTime(stretch[1], 'UTC') AS first_missing,
    toDateTime(stretch[-1], 'UTC') AS last_missing,
    length(stretch) AS intervals
FROM
(
    SELECT
        d.device_id AS device_id,
        arraySort(bitmapToArray(bitmapAndnot(
            bitmapBuild(range(
                toUInt32(toDateTime({from_day:Date}, {zone:String})),
                toUInt32(toDateTime({to_day:Date} + 1, {zone:String})),
                900)),
            bitmapBuild(p.present)))) AS missing
    FROM
    (
        SELECT device_id FROM devices
        WHERE device_type != 'SMART_METER_G' AND device_type != 'SMART_METER_W' AND (time_zone = {zone:String} OR time_zone = '')
    ) AS d
    LEFT JOIN
    (
        SELECT toString(device_id) AS device_id, groupUniqArray(toUInt32(toDateTime(captured_at, 'UTC'))) AS present
        FROM energy_reads
        WHERE period = 'INTERVAL'
            AND captured_at >= toDateTime({from_day:Date}, {zone:String})
            AND captured_at < toDateTime({to_day:Date} + 1, {zone:String})
            AND toUnixTimestamp64Milli(captured_at) % 900000 = 0
        GROUP BY device_id
    ) AS p ON p.device_id = d.device_id
)
ARRAY JOIN arraySplit((at, since) -> since != 900, missing, arrayDifference(missing)) AS stretch
WHERE notEmpty(missing)
ORDER BY device_id, first_missing;

-- Rows of profiles that the meter itself does not vouch for: any flag but that of daylight saving.
CREATE VIEW flagged_intervals AS
SELECT device_id, period, captured_at, import_total, export_total, status, status_flags
FROM energy_profile
WHERE bitAnd(status, 247) != 0;
