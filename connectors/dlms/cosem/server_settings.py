"""What a `ServerAssociation` is made from: settings all meters of a kind share, and the secrets of one meter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .apdu import CORE_CONFORMANCE, LN, LN_CIPHERED, Mechanism
from .security import MAX_COUNTER, TITLE_LENGTH, Keys


class OnRefusal(Enum):
    """How a meter shows that it does not take an APDU; meters differ (meter-model 3.2, 4.4, 22)."""

    CLOSE = "close"
    SILENCE = "silence"
    REJECT = "reject"  # AARE while opening, exception-response later
    EXCEPTION = "exception"  # for a stale counter: service error 6 with the expected value
    TOLERATE = "tolerate"  # for a stale counter only


@dataclass(frozen=True, slots=True)
class ClientRule:
    """How one client id must open. `ciphered` None: with HLS5 it must be, with a password it may be, else it is not
    (meter-model 2)."""

    mechanism: Mechanism
    ciphered: bool | None = None

    @property
    def contexts(self) -> tuple[int, ...]:
        """The application context names it may propose; a refusal names the first."""
        if self.ciphered is None and self.mechanism == Mechanism.LLS:
            return LN, LN_CIPHERED
        ciphered = self.mechanism == Mechanism.HLS5 if self.ciphered is None else self.ciphered
        return (LN_CIPHERED,) if ciphered else (LN,)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What all meters of a kind share. `max_receive_pdu` 0 means no limit; `max_transfer` bounds a value received in
    blocks."""

    clients: Mapping[int, ClientRule]
    conformance: int = CORE_CONFORMANCE
    max_receive_pdu: int = 1024
    stale_counter: OnRefusal = OnRefusal.CLOSE
    bad_key: OnRefusal = OnRefusal.CLOSE
    unknown_client: OnRefusal = OnRefusal.REJECT
    challenge_length: int = 16
    max_transfer: int = 1024 * 1024


class MeterSecurity:
    """The secrets and counters of one meter; outlives its associations.

    `accepted` is the last invocation counter taken from a client (what object 0.0.43.1.0.255 shows), `sent` the last
    one the meter used.
    """

    __slots__ = ("accepted", "keys", "password", "sent", "system_title")

    def __init__(
        self,
        system_title: bytes,
        keys: Keys | None = None,
        password: bytes = b"",
        accepted: int = -1,
        sent: int = 0,
    ) -> None:
        if len(system_title) != TITLE_LENGTH:
            raise ValueError(f"system_title has {len(system_title)} bytes, not {TITLE_LENGTH}")
        self.system_title = system_title
        self.keys = keys
        self.password = password
        self.accepted = accepted
        self.sent = sent

    def change_keys(self, keys: Keys) -> None:
        """Take other keys; a new encryption key starts both counters anew (meter-model 19)."""
        if self.keys is None or keys.encryption != self.keys.encryption:
            self.accepted = -1
            self.sent = 0
        self.keys = keys

    def next_counter(self) -> int:
        """The next counter of the meter's own."""
        self.sent = (self.sent + 1) & MAX_COUNTER
        return self.sent
