"""What every operation comes to on a meter of every profile, tried: by the worker's own code, over a port, on simulated
meters. What the streams decide is decided as they do.

`docs/operations.md` is made of these outcomes (`operations_page`), and `test_operations` holds them against what the
reference says each profile can do. An operation without a case here is on that page as not tried.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors.dlms import keys
from operations import Device, Known, Operation, build_request, catalogue
from operations._errors import Rejected
from operations.bundle import NAME as BUNDLE
from operations.find_events import EventLogCategory
from schemas.records import CommunicationMethod, Fault
from tests.simulator.seven import VERSIONS, Seven, Version
from tests.simulator.test_job import Asked, own_platform

CHANNEL: Final = 1  # of the gas meter that is read
TOTAL: Final = {"class_id": 3, "obis_code": "1-0:1.8.0.255", "attribute": 2}
EXPORT: Final = {"class_id": 3, "logical_name": "1-0:2.8.0.255", "attribute_index": 2}


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is asked. `what` tells it from the other cases of its operation."""

    operation: str
    what: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    of_gas_meter: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case on one profile: a fault, or the result. `called`: whether the meter was."""

    case: Case
    version: Version
    told: Any
    called: bool

    @property
    def refused(self) -> Fault | None:
        return self.told if isinstance(self.told, Fault) else None


def cases(version: Version) -> Iterator[Case]:
    """What is asked of the meter of a profile, every operation in each of its kinds."""
    now = datetime.now(UTC)
    periods = {"INTERVAL": now - timedelta(days=2), "DAILY": now - timedelta(days=9), "MONTHLY": now - timedelta(99)}
    day = {"begin_date": now - timedelta(days=1), "end_date": now}
    for period, begin in periods.items():
        request = {"period_type": period, "begin_date": begin, "end_date": now}
        yield Case("GetPeriodicMeterReads", period, request)
        yield Case("GetPeriodicMeterReadsGas", period, request, of_gas_meter=True)
    for kind in ("PUBLIC", "PRIVATE"):
        yield Case("GetActualPowerQuality", kind, {"profile_type": kind})
        yield Case("GetPowerQualityProfile", kind, {"profile_type": kind, **day})
    for method in CommunicationMethod:
        yield Case("GetGsmDiagnostic", method.value, {"communication_method": method.value})
    for log in EventLogCategory:
        asked = {"event_log_category": log.value, "from_date": now - timedelta(days=365), "until_date": now}
        yield Case("FindEvents", log.value, {"queries": [asked]})
    interval = {"obis_code": "1-0:99.1.0.255", **day}
    yield Case("GetProfileGenericData", "all columns", interval)
    yield Case("GetProfileGenericData", "one column", {**interval, "selected_values": [EXPORT]})
    yield Case("GetSpecificAttributeValue", request=TOTAL)
    yield Case("SynchronizeTime", request={"time_zone": "Europe/Amsterdam"})
    yield Case("GetActualMeterReadsGas", of_gas_meter=True)
    for name in (
        "GetActualMeterReads", "GetAllAttributeValues", "GetAssociationLnObjects", "GetOutages", "GetThdFingerprint",
        "ReadAlarmRegister", "ClearAlarmRegister", "ScanMbusChannels",
    ):  # fmt: skip
        yield Case(name)
    yield Case(BUNDLE, request={"actions": [{"ReadAlarmRegister": {}}, {"GetSpecificAttributeValue": TOTAL}]})
    yield Case("AddDevice", request=shipped(version))
    yield Case("Cancel", request={"correlation_id": "0a1b2c3d-0000-4000-8000-000000000001"})
    yield Case("SetDeviceLifecycleStatus", request={"status": "IN_USE"})
    yield Case("EnableDebugging")
    yield Case("DisableDebugging")


def shipped(version: Version) -> dict[str, Any]:
    """A line of a shipment file, its secrets encrypted for the platform."""
    protocol, number = version
    secrets = ("master_key", "authentication_key", "encryption_key")
    public = own_platform().public_key
    told = {"device_type": "SMART_METER_E", "protocol": protocol, "protocol_version": number, "host": "192.0.2.1"}
    return told | {name: keys.seal_for_platform(public, bytes(16)) for name in secrets}


def try_all(seven: Seven) -> list[Outcome]:
    """Every case on every profile."""
    return [attempt(seven, version, case) for version in VERSIONS for case in cases(version)]


def attempt(seven: Seven, version: Version, case: Case) -> Outcome:
    meter, operation = seven.meter(version), catalogue()[case.operation]
    before = meter.connections
    if operation.steps is None:
        return Outcome(case, version, decided(operation, case, meter.device_id), called=False)
    asked: Asked = (case.operation, dict(case.request))
    (told,), _ = seven.ask_gas(version, CHANNEL, asked) if case.of_gas_meter else seven.ask(version, asked)
    return Outcome(case, version, told, meter.connections > before)


def decided(operation: Operation, case: Case, device_id: str) -> Any:
    """What an operation of the streams answers, of a device that is registered and has a command that waits."""
    assert operation.decide is not None
    device = Device(
        device_id,
        registered=True,
        device_type="SMART_METER_E",
        command=lambda _: Known("GetActualMeterReads"),
        at=int(time.time() * 1_000),
    )
    try:
        answer = operation.decide(build_request(operation.name, dict(case.request)), device)
    except Rejected as rejected:
        return rejected.fault()
    assert answer is not None
    return answer.result


def not_tried(outcomes: Sequence[Outcome]) -> list[str]:
    """The operations of the catalogue without a case."""
    return sorted(catalogue().keys() - {each.case.operation for each in outcomes})
