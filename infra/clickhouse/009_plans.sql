-- Reading plans, every version of each, as they are on their topic.
CREATE TABLE plan_versions
(
    name LowCardinality(String),
    version UInt32,
    at DateTime64(3, 'UTC') COMMENT 'when it was applied',
    deleted Bool,
    zone String,
    device_types Array(String) COMMENT 'of this and the next four all have to hold; an empty one always does',
    profiles Array(String),
    cells Array(String),
    labels Map(String, String),
    device_ids Array(String),
    window_begin UInt16 COMMENT 'minute of the local day',
    window_end UInt16,
    read_names Array(String),
    read_operations Array(String),
    read_profiles Array(String) COMMENT 'INTERVAL, DAILY, MONTHLY; empty for what is no profile',
    read_days Array(UInt16) COMMENT 'how many days back what is missing is asked for',
    source String COMMENT 'the file it was applied from'
)
ENGINE = ReplacingMergeTree
ORDER BY (name, version)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE plan_versions_in
(
    name String,
    version UInt32,
    at Int64,
    deleted Bool,
    zone String,
    device_types Array(String),
    profiles Array(String),
    cells Array(String),
    label_names Array(String),
    label_values Array(String),
    device_ids Array(String),
    window_begin UInt16,
    window_end UInt16,
    read_names Array(String),
    read_operations Array(String),
    read_profiles Array(String),
    read_days Array(UInt16),
    source String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW plan_versions_mv TO plan_versions AS
SELECT
    name, version,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at,
    deleted, zone, device_types, profiles, cells,
    mapFromArrays(label_names, label_values) AS labels,
    device_ids, window_begin, window_end, read_names, read_operations, read_profiles, read_days, source
FROM plan_versions_in AS i;

-- The plans by which is read now.
CREATE VIEW plans AS
SELECT * FROM
(
    SELECT * FROM plan_versions FINAL ORDER BY version DESC LIMIT 1 BY name
)
WHERE NOT deleted;

-- Which devices each plan reads. An M-Bus meter belongs to what its own registration says, and to what its gateway's does: the gas of a street
-- is asked for with the street's electricity meters. A device is there only if some read of the plan can be asked of its kind.
CREATE VIEW plan_devices AS
WITH
    chosen AS
    (
        SELECT p.name AS plan, p.read_operations AS read_operations, d.device_id AS device_id, d.registered_at AS registered_at,
            d.device_type IN ('SMART_METER_G', 'SMART_METER_W') AS mbus
        FROM devices AS d
        CROSS JOIN plans AS p
        WHERE (empty(p.device_types) OR has(p.device_types, d.device_type))
            AND (empty(p.profiles) OR has(p.profiles, concat(d.protocol, ' ', d.protocol_version)))
            AND (empty(p.cells) OR has(p.cells, d.cell_id))
            AND (empty(p.device_ids) OR has(p.device_ids, d.device_id))
            AND arrayAll((k, v) -> d.labels[k] = v, mapKeys(p.labels), mapValues(p.labels))
    )
SELECT DISTINCT plan, device_id, registered_at
FROM
(
    SELECT plan, device_id, registered_at
    FROM chosen
    WHERE arrayExists(o -> endsWith(o, 'Gas') = mbus, read_operations)
    UNION ALL
    SELECT g.plan AS plan, m.device_id AS device_id, m.registered_at AS registered_at
    FROM (SELECT device_id, registered_at, gateway_id FROM devices WHERE gateway_id != '') AS m
    INNER JOIN (SELECT plan, device_id FROM chosen WHERE arrayExists(o -> endsWith(o, 'Gas'), read_operations)) AS g
        ON g.device_id = m.gateway_id
);

-- What a plan has of each device, by read that is a profile and by local day, or by month: rows that the period has (96 quarter-hours of
-- electricity, 24 hours of gas, more and fewer on the nights of daylight saving), and rows that are stored:
-- plan_completeness(plan = 'nightly', zone = 'Europe/Amsterdam', from_day = '2026-11-01', to_day = '2026-11-07'), both days included;
-- `zone` is the plan's (a view can compute in one zone only). A row belongs to the period its capture time lies in, midnight to the period
-- it begins; a month is told under its first day. Devices without any row are there with 0.
CREATE VIEW plan_completeness AS
SELECT
    {plan:String} AS plan,
    w.read AS read,
    w.device_id AS device_id,
    w.day AS day,
    toUInt32(if(w.profile LIKE '%INTERVAL%',
        intDiv(dateDiff('minute', toDateTime(w.day, {zone:String}), toDateTime(w.day + 1, {zone:String})), if(w.mbus, 60, 15)), 1)) AS expected,
    toUInt32(ifNull(r.present, 0)) AS present,
    greatest(toInt32(expected) - toInt32(present), 0) AS missing
FROM
(
    SELECT
        d.device_id AS device_id, d.mbus AS mbus, p.read AS read, p.profile AS profile,
        arrayJoin(arrayFilter(x -> p.profile NOT LIKE '%MONTHLY%' OR toDayOfMonth(x) = 1,
            arrayMap(n -> {from_day:Date} + n, range(toUInt32({to_day:Date} - {from_day:Date} + 1))))) AS day
    FROM
    (
        SELECT device_id, device_type IN ('SMART_METER_G', 'SMART_METER_W') AS mbus
        FROM devices WHERE device_id IN (SELECT device_id FROM plan_devices WHERE plan = {plan:String})
    ) AS d
    CROSS JOIN
    (
        SELECT r.1 AS read, endsWith(r.2, 'Gas') AS of_gas, if(of_gas, concat('MBUS_', r.3, '_PROFILE'), r.3) AS profile
        FROM plans ARRAY JOIN arrayZip(read_names, read_operations, read_profiles) AS r
        WHERE name = {plan:String} AND r.3 != ''
    ) AS p
    WHERE p.of_gas = d.mbus
) AS w
LEFT JOIN
(
    SELECT
        toString(device_id) AS device_id,
        toString(period) AS profile,
        if(profile = 'MONTHLY', toStartOfMonth(toDate(captured_at, {zone:String})), toDate(captured_at, {zone:String})) AS day,
        countIf(period != 'INTERVAL' OR toUnixTimestamp64Milli(captured_at) % 900000 = 0) AS present
    FROM energy_reads FINAL
    WHERE captured_at >= toDateTime({from_day:Date}, {zone:String}) AND captured_at < toDateTime({to_day:Date} + 32, {zone:String})
    GROUP BY device_id, profile, day
    UNION ALL
    SELECT
        toString(g.device_id) AS device_id,
        toString(g.profile) AS profile,
        if(profile = 'MBUS_MONTHLY_PROFILE', toStartOfMonth(toDate(captured_at, {zone:String})), toDate(captured_at, {zone:String})) AS day,
        countIf(g.profile != 'MBUS_INTERVAL_PROFILE' OR toUnixTimestamp64Milli(captured_at) % 3600000 = 0) AS present
    FROM profile_reads AS g FINAL
    WHERE quantity = 'consumption' AND g.profile IN ('MBUS_INTERVAL_PROFILE', 'MBUS_DAILY_PROFILE', 'MBUS_MONTHLY_PROFILE')
        AND captured_at >= toDateTime({from_day:Date}, {zone:String}) AND captured_at < toDateTime({to_day:Date} + 32, {zone:String})
    GROUP BY device_id, profile, day
) AS r ON r.device_id = w.device_id AND r.profile = w.profile AND r.day = w.day;
