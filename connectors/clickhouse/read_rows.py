"""Reads to the rows ClickHouse is sent, pure: each read is one row, however many rows its profile had.

The record's packed columns go on as they are, checked, and a materialized view expands them
(`infra/clickhouse/001_energy_reads.sql`, `006_profile_reads.sql`). That is faster than sending ready columns.
"""

import struct
from typing import Final

from connectors.clickhouse.rows import INT64_MAX, Row, SetAside, correlation, device, moment
from schemas.records import NO_VALUE, EnergyReads, ProfileReads, RegisterReads

# The upper bytes of a little-endian time from 2004-11-03 to 2074-07-11: a whole column is checked with three slices.
_BYTE_5: Final = bytes((1, 2))

PERIODS: Final = {"INTERVAL": b"INTERVAL", "DAILY": b"DAILY", "MONTHLY": b"MONTHLY"}

# Columns of the tables as `Target` inserts them; the rows below are in this order.
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "energy_reads_in": (
        "device_id",
        "period",
        "received_at",
        "correlation",
        "times",
        "statuses",
        "packed_import_total",
        "packed_export_total",
        "packed_import_rate1",
        "packed_import_rate2",
        "packed_export_rate1",
        "packed_export_rate2",
    ),
    "profile_reads_in": (
        "device_id",
        "profile",
        "logical_name",
        "received_at",
        "correlation",
        "times",
        "statuses",
        "quantities",
        "units",
        "packed_values",
        "packed_value_times",
    ),
    "register_reads_in": (
        "device_id",
        "captured_at",
        "received_at",
        "correlation",
        "quantities",
        "units",
        "packed_values",
    ),
}


def energy(record: EnergyReads) -> tuple[Row, int]:
    """One row for `energy_reads_in`, and how many rows it becomes. Raises SetAside."""
    times, statuses = record.times, _statuses(record)
    size = len(times)
    values = (
        record.import_total,
        record.export_total,
        record.import_rate1,
        record.import_rate2,
        record.export_rate1,
        record.export_rate2,
    )
    for number, column in enumerate(values):
        if column and len(column) != size:
            name = COLUMNS["energy_reads_in"][6 + number].removeprefix("packed_")
            raise SetAside(f"{name}: {len(column)} bytes, times have {size}")
    _check_times(times)
    period = PERIODS.get(record.period)
    if period is None:
        raise SetAside(f"period: {record.period!r} is none of {', '.join(PERIODS)}")
    row = (
        device(record.device_id),
        period,
        moment(record.received_at, "received_at"),
        correlation(record.correlation_id),
        times,
        statuses,
        *values,
    )
    return row, len(statuses)


def profile(record: ProfileReads) -> tuple[Row, int]:
    """One row for `profile_reads_in`, and how many rows it becomes. Raises SetAside."""
    times, statuses = record.times, _statuses(record)
    for column in record.columns:
        if not column.quantity:
            raise SetAside("quantity: empty")
        if len(column.values) != len(times):
            raise SetAside(f"values of {column.quantity}: {len(column.values)} bytes, times have {len(times)}")
        if column.value_times and len(column.value_times) != len(times):
            length = len(column.value_times)
            raise SetAside(f"value_times of {column.quantity}: {length} bytes, times have {len(times)}")
    _check_times(times)
    name = record.profile or record.logical_name
    if not name:
        raise SetAside("profile, logical_name: both empty")
    row = (
        device(record.device_id),
        name.encode(),
        record.logical_name.encode(),
        moment(record.received_at, "received_at"),
        correlation(record.correlation_id),
        times,
        statuses,
        [column.quantity.encode() for column in record.columns],
        [column.unit.encode() for column in record.columns],
        [column.values for column in record.columns],
        [column.value_times for column in record.columns],
    )
    return row, len(statuses) * len(record.columns)


def registers(record: RegisterReads) -> tuple[Row, int]:
    """One row for `register_reads_in`, and how many rows it becomes. Raises SetAside."""
    values = [NO_VALUE if each.value is None else each.value for each in record.registers]
    for each in record.registers:
        if each.value is not None and not -INT64_MAX <= each.value <= INT64_MAX:
            raise SetAside(f"value of {each.quantity}: {each.value} is not a 64-bit number of millionths")
        if not each.quantity:
            raise SetAside("quantity: empty")
    row = (
        device(record.device_id),
        moment(record.captured_at, "captured_at"),
        moment(record.received_at, "received_at"),
        correlation(record.correlation_id),
        [each.quantity.encode() for each in record.registers],
        [each.unit.encode() for each in record.registers],
        struct.pack(f"<{len(values)}q", *values),
    )
    return row, len(values)


def _statuses(record: EnergyReads | ProfileReads) -> bytes:
    """One byte a row, zeros where the record has none. Raises SetAside when times or statuses are ragged."""
    size = len(record.times)
    if size % 8:
        raise SetAside(f"times: {size} bytes, not a multiple of 8")
    rows = size // 8
    statuses = record.statuses or bytes(rows)
    if len(statuses) != rows:
        raise SetAside(f"statuses: {len(statuses)} rows, times have {rows}")
    return statuses


def _check_times(times: bytes) -> None:
    """Raises SetAside for a time nobody can have measured."""
    if any(times[7::8]) or any(times[6::8]) or times[5::8].strip(_BYTE_5):
        for row, (millis,) in enumerate(struct.iter_unpack("<q", times)):
            moment(millis, f"time of row {row}")
