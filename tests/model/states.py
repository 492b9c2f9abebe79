"""The states a command and a job go through, seen from the log; drawn in `docs/states.md`.

Decisions are seen whole: from the state before to the state after, with the events that name the command. `python -m
tests.model.states` writes the diagrams anew, from some thousand stories; those of permits and claims with them, which
`permits` tells.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from streams.device.events import CommandSettled, DeviceEvents, JobDispatched, JobLost, JobReported
from streams.device.state import Device, Flight, id_bytes, recall

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "states.md"
NOWHERE: Final = "[*]"
STORIES: Final = 2_000
KINDS: Final = ("command", "job", "permit", "claim")
Transition = tuple[str, str, str, str]  # of what, from, events, to


def command_state(device: Device, correlation_id: str) -> str:
    """Where a command is."""
    flight = device.flight
    for held in device.queue:
        if held.correlation_id == correlation_id:
            sent = flight is not None and correlation_id in flight.correlation_ids
            if held.doubt is not None:
                return "LookedFor" if sent else "InDoubt"
            if sent:
                return "Begun" if flight is not None and _begun(flight, correlation_id) else "Sent"
            return "Waiting"
    outcome = recall(device.settled, id_bytes(correlation_id))
    return NOWHERE if outcome is None else str(outcome.status)


def _begun(flight: Flight, correlation_id: str) -> bool:
    """Whether the command, or an action of the bundle, has been announced."""
    return correlation_id in flight.attempting or any(each.correlation_id == correlation_id for each in flight.actions)


def job_state(device: Device) -> str:
    if device.flight is None:
        return NOWHERE
    return "Begun" if device.flight.attempting or device.flight.actions else "Out"


def transitions(before: Device, decision: DeviceEvents, after: Device) -> Iterator[Transition]:
    """What a decision of a version did to the commands it names, and to the job that is out."""
    named: dict[str, list[str]] = {}
    for event in decision.events:
        label = type(event).__name__
        if isinstance(event, JobDispatched):
            for each in event.correlation_ids:
                named.setdefault(each, []).append(label)
            yield "job", NOWHERE, label, job_state(after)
        elif isinstance(event, JobReported) and event.remaining:
            continue  # an M-Bus meter's job: its gateway gave one of several commands back
        elif isinstance(event, JobReported | JobLost):
            yield "job", job_state(before), label, "Reported" if isinstance(event, JobReported) else "Lost"
        elif hasattr(event, "correlation_id"):
            named.setdefault(event.correlation_id, []).append(label)
            if label == "AttemptBegun":
                yield "job", job_state(before), label, job_state(after)
    outcomes = {
        event.correlation_id: str(event.status) for event in decision.events if isinstance(event, CommandSettled)
    }
    lent = {held.correlation_id for held in (*before.queue, *after.queue) if held.delegated is not None}
    for correlation_id, labels in named.items():
        if correlation_id in lent:
            continue  # a gateway's copy: the command is the M-Bus meter's
        went = outcomes.get(correlation_id) or command_state(after, correlation_id)
        yield "command", command_state(before, correlation_id), ", ".join(dict.fromkeys(labels)), went


def drawn(document: str) -> set[Transition]:
    """What the diagrams of the document show."""
    found = set[Transition]()
    for what in KINDS:
        for line in _block(document, what).splitlines()[1:]:
            ways, _, label = line.partition(" : ")
            came, _, went = ways.strip().partition(" --> ")
            found.add((what, came, label.strip(), went))
    return found


def draw(document: str, found: set[Transition]) -> str:
    """The document with diagrams of these transitions."""
    for what in KINDS:
        lines = [f"    {came} --> {went} : {label}" for kind, came, label, went in sorted(found) if kind == what]
        before, heading, rest = document.partition(f"## A {what}\n")
        block = _block(document, what)
        document = before + heading + rest.replace(block, "\n".join(["stateDiagram-v2", *lines, ""]), 1)
    return document


def _block(document: str, what: str) -> str:
    """The text of the diagram under the heading of its kind."""
    return document.split(f"## A {what}\n", 1)[1].split("```mermaid\n", 1)[1].split("```", 1)[0]


def main() -> None:
    from tests.model import permits
    from tests.model.telling import invent

    found = permits.ways()
    for seed in range(STORIES):
        found |= invent(seed).promises.transitions
    DOCUMENT.write_text(draw(DOCUMENT.read_text(), found))
    print(f"{len(found)} transitions", file=sys.stderr)


if __name__ == "__main__":
    main()
