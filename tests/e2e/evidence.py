"""What a run left behind, as the judge reads it: what was asked, what meters saw, the topics, ClickHouse."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from clickhouse_driver import Client

from connectors.simulator import ledger
from operations import bundle
from schemas import codec
from schemas._names import full_name
from schemas.records import DelegatedEnded, DelegatedJob, Job, JobAttempting, JobEnded, ResponseHeader, Status
from schemas.topics import (
    DEVICE_EVENTS,
    DEVICE_MESSAGES,
    JOB_RESULTS,
    JOBS,
    READS_PROFILES,
    READS_REGISTERS,
    RESPONSES,
)
from streams.device.events import CommandDoubted
from streams.device.wire import decode_events
from tests.e2e.world import Told, committed

Entry = tuple[str, dict[str, Any]]
"""What an action of a bundle was told: name of the record and its fields."""


def fault_in(entry: Entry) -> dict[str, Any] | None:
    """What a fault entry says; None of a result."""
    name, fields = entry
    return fields if name == full_name(bundle.FaultEntry) else None


class Asked(NamedTuple):
    """A command as it was sent, however often."""

    device_id: str
    operation: str
    cancels: str | None = None  # the command it cancels
    statuses: frozenset[str] | None = None  # the outcomes it may have, if not those of its operation
    actions: tuple[str, ...] = ()  # of a bundle: the operations, in order


def _asked(said: dict[str, Any]) -> Asked:
    statuses = frozenset(said["statuses"]) if "statuses" in said else None
    return Asked(said["device"], said["operation"], said.get("cancels"), statuses, tuple(said.get("actions", ())))


@dataclass
class Evidence:
    """Everything left behind; each part is read once, when it is first asked for."""

    folder: Path
    kafka: str
    host: str
    port: int
    database: str = "default"

    def told(self, topic: str) -> Iterator[Told]:
        return committed(self.kafka, topic)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        client = Client(self.host, port=self.port, database=self.database)
        try:
            rows: list[tuple[Any, ...]] = client.execute(query)
            return rows
        finally:
            client.disconnect()

    @cached_property
    def asked(self) -> dict[str, Asked]:
        lines = (self.folder / "sent.jsonl").read_text(encoding="utf-8").splitlines()
        said = map(json.loads, lines)
        return {each["id"]: _asked(each) for each in said}

    @cached_property
    def poison(self) -> set[bytes]:
        """What was sent that is no record of ours, each once: it belongs among the dead letters."""
        path = self.folder / "poison.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return {bytes.fromhex(json.loads(line)["value"]) for line in lines}

    @cached_property
    def responses(self) -> list[tuple[ResponseHeader, dict[str, Any] | None]]:
        return [codec.decode_response(told.value) for told in self.told(RESPONSES.name)]

    @cached_property
    def outcomes(self) -> dict[str, tuple[ResponseHeader, dict[str, Any] | None]]:
        """The first terminal outcome of each command."""
        found: dict[str, tuple[ResponseHeader, dict[str, Any] | None]] = {}
        for header, result in self.responses:
            if not header.repeated:
                found.setdefault(header.correlation_id, (header, result))
        return found

    @cached_property
    def entries(self) -> dict[str, list[Entry]]:
        """What the actions of each bundle that has a result were told, in order."""
        return {
            name: list(result["entries"])
            for name, (header, result) in self.outcomes.items()
            if header.operation == bundle.NAME and result is not None
        }

    @cached_property
    def results(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """Correlation id, device, operation and result of what succeeded, actions of bundles among it."""
        found = []
        for name, (header, result) in self.outcomes.items():
            if header.status is Status.SUCCESSFUL and result is not None and header.operation != bundle.NAME:
                found.append((name, header.device_id, header.operation, result))
        for name, entries in self.entries.items():
            said = self.asked[name]
            for operation, entry in zip(said.actions, entries, strict=False):
                if fault_in(entry) is None:
                    found.append((name, said.device_id, operation, entry[1]))
        return found

    @cached_property
    def kept(self) -> dict[str, list[list[Entry]]]:
        """By bundle: the entries that each later job of it was given, as earlier jobs obtained them."""
        found: dict[str, list[list[Entry]]] = defaultdict(list)
        for command in (command for job in self.jobs for command in job.commands):
            body = bundle.kept_result(command.kept) if command.kept is not None else None
            if body is not None:
                found[command.correlation_id].append(list(codec.decode_result(bundle.NAME, body)["entries"]))
        return found

    @cached_property
    def doubted_actions(self) -> set[tuple[str, int]]:
        """Bundle and place of the actions that were looked for."""
        found = set()
        for name, kept in self.kept.items():
            for place, entry in (pair for entries in kept for pair in enumerate(entries)):
                fault = fault_in(entry)
                if fault is not None and fault["outcome"] == bundle.Outcome.UNKNOWN:
                    found.add((name, place))
        return found

    @cached_property
    def delegated(self) -> list[DelegatedJob]:
        return [each for each in self._messages if isinstance(each, DelegatedJob)]

    @cached_property
    def given_back(self) -> list[DelegatedEnded]:
        return [each for each in self._messages if isinstance(each, DelegatedEnded)]

    @cached_property
    def _messages(self) -> list[DelegatedJob | DelegatedEnded]:
        return [codec.decode(told.value) for told in self.told(DEVICE_MESSAGES.name)]

    @cached_property
    def jobs(self) -> list[Job]:
        return [codec.decode(told.value) for told in self.told(JOBS.name)]

    @cached_property
    def job_results(self) -> list[JobAttempting | JobEnded]:
        return [codec.decode(told.value) for told in self.told(JOB_RESULTS.name)]

    @cached_property
    def doubted(self) -> set[str]:
        """Commands of which it was once not known whether they had been carried out."""
        decisions = (decode_events(told.value) for told in self.told(DEVICE_EVENTS.name))
        events = (event for decision in decisions for event in decision.events)
        return {event.correlation_id for event in events if isinstance(event, CommandDoubted)}

    @cached_property
    def ledger(self) -> dict[str, list[dict[str, Any]]]:
        """What each meter saw and did, oldest first."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in ledger.read(self.folder / "ledger.jsonl"):
            found[entry["meter"]].append(entry)
        return found

    @cached_property
    def reads(self) -> tuple[Counter[tuple[str, str, int]], Counter[tuple[str, str, int]]]:
        """Registers by (device, quantity, time), profile rows by (device, period, time), as often as published."""
        registers: Counter[tuple[str, str, int]] = Counter()
        for told in self.told(READS_REGISTERS.name):
            record = codec.decode(told.value)
            registers.update({(record.device_id, each.quantity, record.captured_at) for each in record.registers})
        profiles: Counter[tuple[str, str, int]] = Counter()
        for told in self.told(READS_PROFILES.name):
            record = codec.decode(told.value)
            times = memoryview(record.times).cast("q")
            profiles.update({(record.device_id, record.period, at) for at in times})
        return registers, profiles
