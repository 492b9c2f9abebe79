"""A reading plan: its file in TOML, checked, and the record that is kept of it. Pure.

Docs: `docs/reading-plans.md` has the file's fields.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.planner.calendar import DAY, HOUR, MINUTE, Unit, Window
from operations import build_request, catalogue
from operations._errors import Rejected
from operations._rules import check_zone
from schemas.records import PlannedRead, ReadingPlan

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_LENGTH: Final = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS: Final = {"s": 1000, "m": MINUTE, "h": HOUR, "d": DAY}
_PROFILES: Final = {"INTERVAL": Unit.DAY, "DAILY": Unit.DAY, "MONTHLY": Unit.MONTH}
_STEPS: Final = {"GetPeriodicMeterReads": 15 * MINUTE, "GetPeriodicMeterReadsGas": HOUR}  # between rows of INTERVAL
DEVICE_TYPES: Final = frozenset({"SMART_METER_E", "SMART_METER_G", "SMART_METER_W"})


class PlanWrong(ValueError):
    """A plan that makes no sense; names the field and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


@dataclass(frozen=True, slots=True)
class Read:
    """What one read of a plan means. `profile`: INTERVAL, DAILY or MONTHLY, whose rows are counted; None for an
    operation that says how things stand, of which one answer a day is wanted.
    """

    name: str
    operation: str
    request: Mapping[str, Any]
    unit: Unit
    profile: str | None
    catch_up_days: int

    @property
    def step(self) -> int:
        """Between two rows of INTERVAL, in ms: of the meter an hour of gas, or a quarter of an hour of electricity."""
        return _STEPS[self.operation]

    @property
    def of_gas(self) -> bool:
        """Whether its rows are those of an M-Bus meter, which its gateway keeps."""
        return self.operation == "GetPeriodicMeterReadsGas"


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as the decisions use it. Times in ms."""

    name: str
    version: int
    since: int  # when this version was applied
    zone: ZoneInfo
    window: Window
    reads: tuple[Read, ...]
    retry: int
    expires: int
    outside_window: bool
    priority: int


def plan_of(record: ReadingPlan) -> Plan:
    """Raises PlanWrong for a record that no release of ours wrote."""
    try:
        return Plan(
            name=record.name,
            version=record.version,
            since=record.at,
            zone=ZoneInfo(record.zone),
            window=Window(record.window_begin, record.window_end),
            reads=tuple([_read_of(read) for read in record.reads]),
            retry=record.retry,
            expires=record.expires,
            outside_window=record.outside_window,
            priority=record.priority,
        )
    except (ValueError, OSError) as error:
        raise PlanWrong("record", str(error)) from None


def _read_of(read: PlannedRead) -> Read:
    unit = _PROFILES.get(read.profile, Unit.DAY)
    return Read(read.name, read.operation, json.loads(read.request), unit, read.profile or None, read.catch_up_days)


def read_plan(text: str) -> ReadingPlan:
    """The plan a file describes; its version and time are not known yet. Raises PlanWrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanWrong("file", f"is no TOML: {error}") from None
    plan = _Fields(document, "")
    name = plan.take("name", str)
    if not NAME.fullmatch(name):
        raise PlanWrong("name", f"{name!r} is not 1 to 40 small letters, digits and hyphens")
    zone = plan.take("zone", str)
    _checked("zone", lambda: check_zone(zone, "zone"))
    priority = plan.take("priority", int, 3)
    if priority not in range(10):
        raise PlanWrong("priority", f"{priority} is not within 0 and 9")
    devices = plan.table("devices")
    window = plan.table("window")
    catch_up = plan.table("catch_up")
    days = catch_up.take("days", int, 10)
    if days not in range(0, 401):
        raise PlanWrong("catch_up.days", f"{days} is not within 0 and 400")
    record = ReadingPlan(
        name=name,
        version=0,
        at=0,
        deleted=False,
        zone=zone,
        device_types=devices.texts("types", DEVICE_TYPES),
        profiles=devices.texts("profiles"),
        cells=devices.texts("cells"),
        labels=devices.labels(),
        device_ids=devices.texts("ids"),
        window_begin=_minutes("window.from", window.take("from", str)),
        window_end=_minutes("window.to", window.take("to", str)),
        retry=_length("catch_up.retry", catch_up.take("retry", str, "1h"), 1000, DAY),
        expires=_length("catch_up.expires", catch_up.take("expires", str, "1h"), 1000, 7 * DAY),
        outside_window=catch_up.take("outside_window", bool, True),
        priority=priority,
        reads=_reads(plan.tables("reads"), days),
        source=text,
    )
    for fields in (devices, window, catch_up, plan):
        fields.end()
    return record


def _reads(tables: "list[_Fields]", days: int) -> tuple[PlannedRead, ...]:
    found: dict[str, PlannedRead] = {}
    for table in tables:
        operation = table.take("operation", str)
        known = catalogue().get(operation)
        if known is None:
            raise PlanWrong(table.path("operation"), f"{operation!r} is no operation")
        if not known.connects or not known.repeatable:
            raise PlanWrong(table.path("operation"), f"{operation} is nothing to read regularly")
        request = table.take("request", dict, {})
        profile = table.take("profile", str, "")
        if operation in _STEPS:
            if profile not in _PROFILES:
                raise PlanWrong(table.path("profile"), f"{profile!r} is none of {', '.join(_PROFILES)}")
            if request:
                raise PlanWrong(table.path("request"), f"the period of {operation} is the plan's to say")
        elif profile:
            raise PlanWrong(table.path("profile"), f"{operation} reads no profile by period")
        else:
            _checked(table.path("request"), lambda: build_request(operation, request))  # noqa: B023 - called at once
        name = table.take("name", str, "-".join(filter(None, (operation, profile))))
        if name in found:
            raise PlanWrong(table.path("name"), f"{name!r} is the name of two reads")
        own = table.take("catch_up_days", int, days)
        if own not in range(0, 401):
            raise PlanWrong(table.path("catch_up_days"), f"{own} is not within 0 and 400")
        found[name] = PlannedRead(name, operation, json.dumps(request, sort_keys=True, default=str), profile, own)
        table.end()
    if not found:
        raise PlanWrong("reads", "there is none: nothing would be read")
    return tuple(found.values())


def _checked(field: str, check: Any) -> None:
    try:
        check()
    except Rejected as error:
        raise PlanWrong(
            f"{field}.{error.field}" if error.field and error.field != field else field, error.reason
        ) from None


def _minutes(field: str, text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise PlanWrong(field, f"{text!r} is not a time such as 01:30")
    return int(found[1]) * 60 + int(found[2])


def _length(field: str, text: str, least: int, most: int) -> int:
    found = _LENGTH.fullmatch(text)
    length = int(found[1]) * _UNITS[found[2]] if found is not None else 0
    if not least <= length <= most:
        raise PlanWrong(field, f"{text!r} is not a length such as 90s, 30m, 2h or 1d, up to {most // DAY}d")
    return length


class _Fields:
    """A table of the file; what nobody takes is a mistake of whoever wrote it."""

    def __init__(self, values: Mapping[str, Any], at: str) -> None:
        self._left, self._at = dict(values), at

    def path(self, name: str) -> str:
        return f"{self._at}.{name}" if self._at else name

    def take(self, name: str, kind: type, default: Any = None) -> Any:
        value = self._left.pop(name, default)
        if value is None:
            raise PlanWrong(self.path(name), "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise PlanWrong(self.path(name), f"{value!r} is no {_KINDS[kind]}")
        return value

    def table(self, name: str) -> "_Fields":
        return _Fields(self.take(name, dict, {}), self.path(name))

    def tables(self, name: str) -> "list[_Fields]":
        listed = self.take(name, list, [])
        if not all(isinstance(each, dict) for each in listed):
            raise PlanWrong(self.path(name), f"is no list of tables: write [[{name}]]")
        return [_Fields(each, f"{self.path(name)}[{number}]") for number, each in enumerate(listed)]

    def texts(self, name: str, allowed: frozenset[str] | None = None) -> tuple[str, ...]:
        listed = self.take(name, list, [])
        for each in listed:
            if not isinstance(each, str) or not each:
                raise PlanWrong(self.path(name), f"{each!r} is no text")
            if allowed is not None and each not in allowed:
                raise PlanWrong(self.path(name), f"{each!r} is none of {', '.join(sorted(allowed))}")
        return tuple(dict.fromkeys(listed))

    def labels(self) -> dict[str, str]:
        found = self.take("labels", dict, {})
        for name, value in found.items():
            if not isinstance(value, str):
                raise PlanWrong(self.path(f"labels.{name}"), f"{value!r} is no text")
        return dict(found)

    def end(self) -> None:
        for name in self._left:
            raise PlanWrong(self.path(name), "is no field of a plan")


_KINDS: Final = {str: "text", int: "whole number", bool: "true or false", dict: "table", list: "list"}
