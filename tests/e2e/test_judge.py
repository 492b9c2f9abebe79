"""The judge itself: a small world that keeps its promises passes, and each way of breaking one is noticed by name.

Evidence is made by hand here, so no server runs.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.records import (
    CommandEnded,
    DelegatedCommand,
    DelegatedEnded,
    DelegatedJob,
    Ended,
    Fault,
    Job,
    JobAttempting,
    JobEnded,
    ResponseHeader,
    Status,
)
from tests.e2e.evidence import Asked, Evidence
from tests.e2e.judge import FIRST_SET, PROMISES, Finding
from tests.unit.streams.world import REGISTRATION

DEVICE: Final = "ML500000000000001"
FAULT: Final = Fault(226, "CONNECTION_RESET", "PROTOCOL_DLMS", "reset")
AT: Final = 1_790_000_000_000
NOON: Final = datetime.fromtimestamp(AT / 1_000, UTC)
GAS: Final = "G0000000000000001"
CLEARED: Final = ("meterlog.operations.clear_alarm_register.Result", {"cleared": [1]})
READ: Final = ("meterlog.operations.get_actual_meter_reads.Result", {"log_time": NOON})
NOBODY: Final = ("meterlog.operations.bundle.FaultEntry", {"outcome": "Failed", "code": 412})
UNKNOWN: Final = ("meterlog.operations.bundle.FaultEntry", {"outcome": "Unknown", "code": 226})
SET: Final = {"meter": DEVICE, "did": "set", "what": FIRST_SET["ClearAlarmRegister"]}


class Forged(Evidence):
    """`rows`: what ClickHouse answers, by the table named in the query."""

    rows: dict[str, list[tuple[Any, ...]]]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return next(rows for table, rows in self.rows.items() if table in query)


def response(name: str, operation: str, status: Status = Status.SUCCESSFUL, **other: Any) -> ResponseHeader:
    fault = None if status is Status.SUCCESSFUL else FAULT
    device = other.pop("device", DEVICE)
    return ResponseHeader(name, device, operation, status, fault, 1, other.pop("repeated", False), AT, AT, AT, **other)


def counter(value: int) -> dict[str, str]:
    return {"meter": DEVICE, "did": "counter", "value": str(value)}


def honest() -> Any:
    """Two commands that clear, the second with an unknown outcome, one that reads, one that was cancelled, a bundle of
    two jobs, and a gas meter that was read.
    """
    evidence: Any = Forged(Path(), "", "", 0)
    evidence.asked = {
        "a": Asked(DEVICE, "ClearAlarmRegister"),
        "b": Asked(DEVICE, "ClearAlarmRegister"),
        "c": Asked(DEVICE, "ReadAlarmRegister"),
        "d": Asked(DEVICE, "SynchronizeTime"),
        "e": Asked(DEVICE, "Cancel", "d"),
        "g": Asked(DEVICE, "Bundle", actions=("ClearAlarmRegister", "GetActualMeterReads", "ReadAlarmRegister")),
        "h": Asked(GAS, "GetActualMeterReadsGas"),
    }
    evidence.responses = [
        (response("a", "ClearAlarmRegister"), None),
        (response("a", "ClearAlarmRegister", repeated=True), None),
        (response("b", "ClearAlarmRegister", Status.UNKNOWN), None),
        (response("c", "ReadAlarmRegister"), None),
        (response("d", "SynchronizeTime", Status.CANCELLED), None),
        (response("e", "Cancel"), None),
        (response("g", "Bundle"), {"entries": [CLEARED, READ, NOBODY]}),
        (response("h", "GetActualMeterReadsGas", device=GAS), {"capture_time": NOON}),
    ]
    evidence.kept = {"g": [[CLEARED, NOBODY, NOBODY]]}
    command = DelegatedCommand("h", "GetActualMeterReadsGas", 1, b"", 4, AT, None, None)
    evidence.delegated = [DelegatedJob(DEVICE, GAS, 1, 1, AT, (command,))]
    evidence.given_back = [DelegatedEnded(GAS, DEVICE, 1, CommandEnded("h", Ended.SUCCESSFUL))]
    evidence.jobs = [Job(DEVICE, 1, AT, 1, 10, REGISTRATION, ()), Job(DEVICE, 2, AT, 11, 20, REGISTRATION, ())]
    evidence.job_results = [
        JobAttempting(DEVICE, 1, "a", AT),
        JobEnded(DEVICE, 1, "w1", AT, AT, True, 5, None, ()),
        JobAttempting(DEVICE, 2, "b", AT),
        JobAttempting(DEVICE, 2, "g", AT, 0),
        JobEnded(DEVICE, 2, "w1", AT, AT, True, 15, None, ()),
    ]
    evidence.doubted = set()
    evidence.ledger = {DEVICE: [counter(1), SET, counter(2), counter(11), SET, SET]}
    registers = [(DEVICE, "active_energy_import", AT), (GAS, "consumption", AT)]
    evidence.reads = (Counter({registers[0]: 2, registers[1]: 1}), Counter({(DEVICE, "INTERVAL", AT): 1}))
    evidence.rows = {
        "register_reads": registers,
        "energy_reads": [(DEVICE, "INTERVAL", AT)],
        "responses": [
            (header.correlation_id, header.status) for header, _ in evidence.responses if not header.repeated
        ],
    }
    return evidence


WITHOUT_SERVERS: Final = (
    "one terminal outcome each",
    "a repeat is told the same",
    "a bundle is answered in order",
    "a gateway answers once",
    "nothing non-repeatable twice",
    "no counter twice under one key",
    "a job is carried out once",
    "every read once in ClickHouse",
    "every outcome once in ClickHouse",
)


def broken(evidence: Any) -> set[str]:
    found = set()
    for promise in WITHOUT_SERVERS:
        finding = Finding(promise)
        PROMISES[promise](evidence, finding)
        assert finding.looked
        if finding.broken:
            found.add(promise)
    return found


def test_a_world_that_keeps_its_promises_passes() -> None:
    assert broken(honest()) == set()


def test_a_doubt_that_was_cleared_up_needs_no_second_write() -> None:
    evidence = honest()
    evidence.responses[2] = (response("b", "ClearAlarmRegister"), None)
    evidence.doubted = {"b"}
    evidence.ledger[DEVICE].remove(SET)
    evidence.rows["responses"][1] = ("b", Status.SUCCESSFUL)
    assert broken(evidence) == set()


def test_an_action_that_was_looked_for_needs_no_second_write() -> None:
    evidence = honest()
    evidence.kept["g"].insert(0, [UNKNOWN, NOBODY, NOBODY])
    evidence.ledger[DEVICE].remove(SET)
    assert broken(evidence) == set()


def lost(evidence: Any) -> None:
    evidence.asked["f"] = Asked(DEVICE, "SynchronizeTime")


def twice(evidence: Any) -> None:
    evidence.responses.append(evidence.responses[0])


def uncalled_for(evidence: Any) -> None:
    del evidence.asked["c"]


def cancelled_by_nobody(evidence: Any) -> None:
    evidence.asked["e"] = Asked(DEVICE, "Cancel", "c")


def unknown_though_repeatable(evidence: Any) -> None:
    evidence.responses[3] = (response("c", "ReadAlarmRegister", Status.UNKNOWN), None)
    evidence.rows["responses"][2] = ("c", Status.UNKNOWN)


def carried_out_though_it_must_be_refused(evidence: Any) -> None:
    evidence.asked["c"] = Asked(DEVICE, "ReadAlarmRegister", statuses=frozenset({Status.REJECTED}))


def another_outcome_when_repeated(evidence: Any) -> None:
    evidence.responses[1] = (response("a", "ClearAlarmRegister", Status.ERROR, repeated=True), None)


def cleared_again(evidence: Any) -> None:
    evidence.ledger[DEVICE].append(SET)


def told_but_not_cleared(evidence: Any) -> None:
    evidence.ledger[DEVICE] = [counter(1), counter(2), counter(11)]


def cleared_unannounced(evidence: Any) -> None:
    evidence.job_results.pop(2)


def counter_accepted_twice(evidence: Any) -> None:
    evidence.ledger[DEVICE].append(counter(11))


def counter_of_no_job(evidence: Any) -> None:
    evidence.ledger[DEVICE].append(counter(21))


def jobs_with_the_same_counters(evidence: Any) -> None:
    evidence.jobs[1] = replace(evidence.jobs[1], counter_from=10)


def job_of_two_workers(evidence: Any) -> None:
    evidence.job_results.append(replace(evidence.job_results[1], worker="w2"))


def entries_in_another_order(evidence: Any) -> None:
    evidence.responses[6][1]["entries"][1:] = [NOBODY, READ]


def an_action_without_an_entry(evidence: Any) -> None:
    evidence.responses[6][1]["entries"].pop()


def answered_and_asked_again(evidence: Any) -> None:
    evidence.kept["g"][0][1] = (READ[0], {"log_time": NOON - timedelta(seconds=1)})


def action_done_again(evidence: Any) -> None:
    evidence.ledger[DEVICE].append(SET)
    evidence.job_results.append(JobAttempting(DEVICE, 2, "g", AT, 0))


def action_told_and_not_done(evidence: Any) -> None:
    evidence.ledger[DEVICE].remove(SET)
    evidence.ledger[DEVICE].remove(SET)  # that of unknown outcome need not have come either


def given_back_twice(evidence: Any) -> None:
    evidence.given_back *= 2


def never_given_back(evidence: Any) -> None:
    evidence.given_back.clear()


def gas_read_not_published(evidence: Any) -> None:
    evidence.responses[7] = (evidence.responses[7][0], {"capture_time": NOON - timedelta(hours=1)})


def read_of_a_bundle_not_published(evidence: Any) -> None:
    evidence.responses[6][1]["entries"][1] = (READ[0], {"log_time": NOON - timedelta(hours=1)})


def read_not_stored(evidence: Any) -> None:
    evidence.rows["energy_reads"].clear()


def read_stored_twice(evidence: Any) -> None:
    evidence.rows["register_reads"] *= 2


def outcome_not_stored(evidence: Any) -> None:
    evidence.rows["responses"].pop()


@pytest.mark.parametrize(
    ("tamper", "promise"),
    [
        (lost, "one terminal outcome each"),
        (twice, "one terminal outcome each"),
        (uncalled_for, "one terminal outcome each"),
        (cancelled_by_nobody, "one terminal outcome each"),
        (unknown_though_repeatable, "one terminal outcome each"),
        (carried_out_though_it_must_be_refused, "one terminal outcome each"),
        (another_outcome_when_repeated, "a repeat is told the same"),
        (cleared_again, "nothing non-repeatable twice"),
        (told_but_not_cleared, "nothing non-repeatable twice"),
        (cleared_unannounced, "nothing non-repeatable twice"),
        (entries_in_another_order, "a bundle is answered in order"),
        (an_action_without_an_entry, "a bundle is answered in order"),
        (answered_and_asked_again, "a bundle is answered in order"),
        (action_done_again, "nothing non-repeatable twice"),
        (action_told_and_not_done, "nothing non-repeatable twice"),
        (given_back_twice, "a gateway answers once"),
        (never_given_back, "a gateway answers once"),
        (gas_read_not_published, "every read once in ClickHouse"),
        (read_of_a_bundle_not_published, "every read once in ClickHouse"),
        (counter_accepted_twice, "no counter twice under one key"),
        (counter_of_no_job, "no counter twice under one key"),
        (jobs_with_the_same_counters, "no counter twice under one key"),
        (job_of_two_workers, "a job is carried out once"),
        (read_not_stored, "every read once in ClickHouse"),
        (read_stored_twice, "every read once in ClickHouse"),
        (outcome_not_stored, "every outcome once in ClickHouse"),
    ],
)
def test_what_breaks_a_promise_is_noticed(tamper: Callable[[Any], None], promise: str) -> None:
    evidence = honest()
    tamper(evidence)
    assert broken(evidence) == {promise}


def test_what_was_asked_is_read_with_what_it_cancels(tmp_path: Path) -> None:
    lines = [
        {"id": "a", "device": DEVICE, "operation": "SynchronizeTime"},
        {"id": "b", "device": DEVICE, "operation": "Cancel", "cancels": "a"},
        {"id": "a", "device": DEVICE, "operation": "SynchronizeTime"},
        {"id": "c", "device": DEVICE, "operation": "SynchronizeTime", "statuses": ["Rejected"]},
        {"id": "d", "device": DEVICE, "operation": "Bundle", "actions": ["ReadAlarmRegister"]},
    ]
    (tmp_path / "sent.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert Evidence(tmp_path, "", "", 0).asked == {
        "a": Asked(DEVICE, "SynchronizeTime"),
        "b": Asked(DEVICE, "Cancel", "a"),
        "c": Asked(DEVICE, "SynchronizeTime", statuses=frozenset({Status.REJECTED})),
        "d": Asked(DEVICE, "Bundle", actions=("ReadAlarmRegister",)),
    }


def test_what_was_no_record_is_known_by_its_bytes(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, "", "", 0)
    assert evidence.poison == set()
    (tmp_path / "poison.jsonl").write_text('{"topic": "commands", "value": "c301ff"}\n', encoding="utf-8")
    assert Evidence(tmp_path, "", "", 0).poison == {b"\xc3\x01\xff"}
