"""A small meter in memory, and a client joined to it without a network: what the tests of the engine share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connectors.dlms.cosem import (
    Attribute,
    ClientAssociation,
    ClientRule,
    ClientSettings,
    Data,
    InvocationCounter,
    Keys,
    Mechanism,
    MeterSecurity,
    Method,
    Outcome,
    Selection,
    Send,
    ServerAssociation,
    ServerSettings,
    attribute,
    axdr,
    method,
)

KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
CLIENT_TITLE = b"MLG00001"
METER_TITLE = b"KFM00001"
PASSWORD = b"00000000"
MOMENT = bytes.fromhex("07E60B170300000000FFC400")

CLOCK = attribute(8, "0.0.1.0.0.255", 2)
REGISTER = attribute(3, "1.0.1.8.0.255", 2)
PROFILE = attribute(7, "1.0.99.1.0.255", 2)
NOTE = attribute(1, "0.0.96.1.9.255", 2)
LOCKED = attribute(1, "0.0.96.1.0.255", 2)
UNKNOWN = attribute(1, "1.1.1.1.1.1", 2)
ECHO = method(9, "0.0.10.0.100.255", 1)
DENIED = method(9, "0.0.10.0.100.255", 2)


def profile_buffer(rows: int) -> bytes:
    """An E interval profile: clock, status, import, export."""
    row = [
        b"\x02\x04\x09\x0c" + MOMENT + b"\x11\x08\x06" + n.to_bytes(4, "big") + b"\x06\0\0\0\x07" for n in range(rows)
    ]
    return b"\x01" + axdr.encode_length(rows) + b"".join(row)


class Objects:
    """Clock, register, profile (encoded bytes), a writable note, a method that returns its parameters."""

    def __init__(self) -> None:
        self.values: dict[Attribute, Data | bytes] = {
            CLOCK: axdr.octet_string(MOMENT),
            REGISTER: axdr.double_long_unsigned(12_345),
            PROFILE: profile_buffer(96),
            NOTE: axdr.octet_string(b""),
            LOCKED: axdr.octet_string(b"serial"),
        }
        self.selections: list[Selection | None] = []
        self.written: list[Attribute] = []

    def get(self, client: int, attribute: Attribute, selection: Selection | None) -> Data | bytes | int:
        self.selections.append(selection)
        return self.values.get(attribute, 4)

    def set(self, client: int, attribute: Attribute, selection: Selection | None, value: Data) -> int:
        if attribute == LOCKED:
            return 3
        if attribute not in self.values:
            return 4
        self.values[attribute] = value
        self.written.append(attribute)
        return 0

    def action(self, client: int, method: Method, parameters: Data | None) -> int | tuple[int, Data | None]:
        return (0, parameters) if method == ECHO else 3


class Joined:
    """A client and a meter, joined; `wire` keeps every message as (from client, bytes)."""

    def __init__(
        self,
        mechanism: Mechanism = Mechanism.HLS5,
        client: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        counter: InvocationCounter | None = None,
        security: MeterSecurity | None = None,
        ciphered: bool | None = None,
    ) -> None:
        rules = {16: ClientRule(Mechanism.NONE), 1: ClientRule(mechanism, ciphered)}
        self.objects = Objects()
        self.security = security or MeterSecurity(METER_TITLE, KEYS, PASSWORD)
        self.server = ServerAssociation(replace(ServerSettings(rules), **(server or {})), self.security, self.objects)
        hls = mechanism == Mechanism.HLS5 or bool(ciphered)
        settings = ClientSettings(
            client_id=16 if mechanism == Mechanism.NONE else 1,
            mechanism=mechanism,
            ciphered=ciphered,
            system_title=CLIENT_TITLE if hls else b"",
            keys=KEYS if hls else None,
            password=PASSWORD if mechanism == Mechanism.LLS else b"",
        )
        self.client = ClientAssociation(replace(settings, **(client or {})), counter or InvocationCounter(100, 10_000))
        self.wire: list[tuple[bool, bytes]] = []

    def run(self, out: bytes) -> Outcome:
        """Carry the conversation until the outcome."""
        while True:
            self.wire.append((True, out))
            answer = self.server.receive(out)
            assert answer, "the meter closed" if self.server.closed else "the meter is silent"
            self.wire.append((False, answer))
            step = self.client.receive(answer)
            assert step is not None
            if not isinstance(step, Send):
                return step
            out = step.data

    def opened(self) -> Joined:
        """Self, associated."""
        self.run(self.client.open())
        return self
