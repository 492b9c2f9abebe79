-- Where each device is in its life, as last said by SetDeviceLifecycleStatus; a device without a row is NEW_IN_INVENTORY.
CREATE TABLE device_lifecycles
(
    device_id String,
    version UInt64,
    at DateTime64(3, 'UTC'),
    lifecycle LowCardinality(String)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY device_id
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE device_lifecycles_in
(
    device_id String,
    version UInt64,
    at Int64,
    lifecycle String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW device_lifecycles_mv TO device_lifecycles AS
SELECT device_id, version, fromUnixTimestamp64Milli(i.at, 'UTC') AS at, lifecycle
FROM device_lifecycles_in AS i;

-- The devices as they are known now.
CREATE OR REPLACE VIEW devices AS
SELECT
    r.device_id AS device_id,
    device_type, protocol, protocol_version, host, port, client_id, logical_device, security, system_title, key_kinds,
    if(z.version > r.version, z.time_zone, r.time_zone) AS time_zone,
    if(l.lifecycle = '', 'NEW_IN_INVENTORY', l.lifecycle) AS lifecycle,
    gateway_id, channel, mbus_identification, cell_id, labels,
    r.at AS registered_at,
    r.version AS registered_version
FROM (SELECT * FROM device_registrations FINAL) AS r
LEFT JOIN (SELECT * FROM device_time_zones FINAL) AS z ON z.device_id = r.device_id
LEFT JOIN (SELECT * FROM device_lifecycles FINAL) AS l ON l.device_id = r.device_id;
