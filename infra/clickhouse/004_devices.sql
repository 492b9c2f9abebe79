-- The log of every device, one row an event, without secrets and without the bytes of commands.
CREATE TABLE device_events
(
    device_id LowCardinality(String),
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)) COMMENT 'of the device after the decision this event belongs to; 0 when it changed nothing',
    kind LowCardinality(String) COMMENT 'the event''s name, in the past tense',
    cause String CODEC(ZSTD(3)) COMMENT 'topic@offset of the message decided, or dispatch',
    correlation_id Nullable(UUID) CODEC(ZSTD(1)) COMMENT 'the command it is about, if it is about one',
    detail String CODEC(ZSTD(3)) COMMENT 'the event as JSON',
    topic_partition UInt32,
    topic_offset UInt64 CODEC(Delta, ZSTD(1)),
    number UInt16 COMMENT 'place of the event within its record, from 0',
    INDEX by_correlation correlation_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (device_id, at, topic_partition, topic_offset, number)
SETTINGS non_replicated_deduplication_window = 10000;

-- The latest registration of a device, without its keys.
CREATE TABLE device_registrations
(
    device_id String,
    version UInt64,
    at DateTime64(3, 'UTC'),
    device_type LowCardinality(String),
    protocol LowCardinality(String),
    protocol_version LowCardinality(String),
    host String,
    port UInt16,
    client_id UInt16,
    logical_device UInt16,
    security LowCardinality(String),
    system_title String COMMENT 'hex',
    key_kinds Array(LowCardinality(String)) COMMENT 'which secrets are known, never the secrets',
    time_zone LowCardinality(String) COMMENT 'empty when not known',
    gateway_id String,
    channel Nullable(UInt8),
    mbus_identification String,
    cell_id LowCardinality(String),
    labels Map(LowCardinality(String), String),
    polyphase Bool COMMENT 'has phases L2 and L3',
    communication_method LowCardinality(String) COMMENT 'which modem: GPRS, CDMA, LTE; empty when not known'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY device_id
SETTINGS non_replicated_deduplication_window = 10000;

-- The zone a device's clock runs in, as learnt from the device after it was registered.
CREATE TABLE device_time_zones
(
    device_id String,
    version UInt64,
    at DateTime64(3, 'UTC'),
    time_zone LowCardinality(String)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY device_id
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE device_events_in
(
    device_id String,
    at Int64,
    version UInt64,
    kind String,
    cause String,
    correlation Nullable(FixedString(16)),
    detail String,
    topic_partition UInt32,
    topic_offset UInt64,
    number UInt16
)
ENGINE = Null;

CREATE MATERIALIZED VIEW device_events_mv TO device_events AS
SELECT
    device_id,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at,
    version, kind, cause,
    reinterpret(correlation, 'UUID') AS correlation_id,
    detail, topic_partition, topic_offset, number
FROM device_events_in AS i;

CREATE TABLE device_registrations_in
(
    device_id String,
    version UInt64,
    at Int64,
    device_type String,
    protocol String,
    protocol_version String,
    host String,
    port UInt16,
    client_id UInt16,
    logical_device UInt16,
    security String,
    system_title String,
    key_kinds Array(String),
    time_zone String,
    gateway_id String,
    channel Nullable(UInt8),
    mbus_identification String,
    cell_id String,
    label_names Array(String),
    label_values Array(String),
    polyphase Bool,
    communication_method String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW device_registrations_mv TO device_registrations AS
SELECT
    device_id, version,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at,
    device_type, protocol, protocol_version, host, port, client_id, logical_device, security, system_title, key_kinds,
    time_zone, gateway_id, channel, mbus_identification, cell_id,
    mapFromArrays(CAST(label_names, 'Array(LowCardinality(String))'), label_values) AS labels,
    polyphase, communication_method
FROM device_registrations_in AS i;

CREATE TABLE device_time_zones_in
(
    device_id String,
    version UInt64,
    at Int64,
    time_zone String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW device_time_zones_mv TO device_time_zones AS
SELECT device_id, version, fromUnixTimestamp64Milli(i.at, 'UTC') AS at, time_zone
FROM device_time_zones_in AS i;

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
CREATE VIEW devices AS
SELECT
    r.device_id AS device_id,
    device_type, protocol, protocol_version, host, port, client_id, logical_device, security, system_title, key_kinds,
    if(z.version > r.version, z.time_zone, r.time_zone) AS time_zone,
    if(l.lifecycle = '', 'NEW_IN_INVENTORY', l.lifecycle) AS lifecycle,
    gateway_id, channel, mbus_identification, cell_id, labels, polyphase, communication_method,
    r.at AS registered_at,
    r.version AS registered_version
FROM (SELECT * FROM device_registrations FINAL) AS r
LEFT JOIN (SELECT * FROM device_time_zones FINAL) AS z ON z.device_id = r.device_id
LEFT JOIN (SELECT * FROM device_lifecycles FINAL) AS l ON l.device_id = r.device_id;

-- Every registration a device ever had, where `device_registrations` keeps the last.
CREATE TABLE device_registration_history
(
    device_id String,
    version UInt64 COMMENT 'of the device with this registration',
    at DateTime64(3, 'UTC'),
    device_type LowCardinality(String),
    protocol LowCardinality(String),
    protocol_version LowCardinality(String),
    host String,
    port UInt16,
    time_zone LowCardinality(String) COMMENT 'empty when not known',
    gateway_id String,
    channel Nullable(UInt8),
    mbus_identification String,
    cell_id LowCardinality(String),
    labels Map(LowCardinality(String), String),
    polyphase Bool COMMENT 'has phases L2 and L3',
    communication_method LowCardinality(String) COMMENT 'which modem: GPRS, CDMA, LTE; empty when not known'
)
ENGINE = ReplacingMergeTree
ORDER BY (device_id, version)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW device_registration_history_mv TO device_registration_history AS
SELECT
    device_id, version,
    fromUnixTimestamp64Milli(i.at, 'UTC') AS at,
    device_type, protocol, protocol_version, host, port, time_zone, gateway_id, channel, mbus_identification, cell_id,
    mapFromArrays(CAST(label_names, 'Array(LowCardinality(String))'), label_values) AS labels,
    polyphase, communication_method
FROM device_registrations_in AS i;

-- What was known of a device, from when to when. The first registration also holds for all time before: reads are older than it.
CREATE VIEW device_history AS
SELECT
    device_id, version,
    if(lagInFrame(version) OVER w = 0, toDateTime64(0, 3, 'UTC'), at) AS valid_from,
    leadInFrame(at, 1, toDateTime64('2200-01-01 00:00:00', 3, 'UTC')) OVER w AS valid_to,
    device_type, protocol, protocol_version, host, port, time_zone, gateway_id, channel, mbus_identification, cell_id, labels,
    polyphase, communication_method
FROM device_registration_history FINAL
WINDOW w AS (PARTITION BY device_id ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);

-- Who belongs to what, from when to when: every label, and device_type, protocol, cell_id, gateway_id.
CREATE VIEW device_groups AS
SELECT device_id, g.1 AS name, g.2 AS value, valid_from, valid_to
FROM device_history
ARRAY JOIN arrayConcat(
    arrayZip(CAST(mapKeys(labels), 'Array(String)'), mapValues(labels)),
    [('device_type', toString(device_type)), ('protocol', concat(protocol, ' ', protocol_version)), ('cell_id', toString(cell_id)),
        ('gateway_id', gateway_id)]) AS g
WHERE value != '';
