"""What a client association is made from, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .apdu import CORE_CONFORMANCE, Mechanism
from .axdr import Data
from .errors import AccessRefused, LocalProtocolError
from .rows import Row
from .security import TITLE_LENGTH, Keys


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to open one association.

    `client_id` 16 is the public client, 1 management. `ciphered` None: exactly when `keys` are given. `server_title`
    refuses every other meter; None takes the one the AARE names. `peer_counter` is the highest counter this meter used
    under these keys before. `general` uses general-glo-ciphering in place of the service-specific tags. `max_result`
    bounds a transfer in blocks, in bytes: the longest that operations ask for is some 60 kB.
    """

    client_id: int = 16
    server_sap: int = 1
    mechanism: Mechanism = Mechanism.NONE
    ciphered: bool | None = None
    system_title: bytes = b""
    server_title: bytes | None = None
    keys: Keys | None = None
    password: bytes = field(default=b"", repr=False)
    conformance: int = CORE_CONFORMANCE
    max_receive_pdu: int = 65_535
    peer_counter: int = -1
    general: bool = False
    challenge_length: int = 16
    max_result: int = 1024 * 1024

    def __post_init__(self) -> None:
        if self.ciphered is None:
            object.__setattr__(self, "ciphered", self.keys is not None)
        if (self.ciphered or self.mechanism == Mechanism.HLS5) and self.keys is None:
            raise LocalProtocolError("keys are missing: ciphering and HLS5 need them")
        if self.keys is not None and len(self.system_title) != TITLE_LENGTH:
            raise LocalProtocolError(f"system_title has {len(self.system_title)} bytes, not {TITLE_LENGTH}")
        if not 8 <= self.challenge_length <= 64:
            raise LocalProtocolError(f"challenge_length {self.challenge_length} does not lie in 8..64")
        if self.max_receive_pdu and not 64 <= self.max_receive_pdu <= 65_535:
            raise LocalProtocolError(f"max_receive_pdu {self.max_receive_pdu} is neither 0 nor in 64..65535")
        for name in ("client_id", "server_sap"):
            if getattr(self, name) not in range(65_536):
                raise LocalProtocolError(f"{name} {getattr(self, name)} does not lie in 0..65535")


@dataclass(frozen=True, slots=True)
class Send:
    """Send `data` and go on receiving: the request is not finished."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Associated:
    """The association is open. `server_title` is empty when nothing is ciphered; `max_send_pdu` 0 means no limit."""

    server_title: bytes
    conformance: int
    max_send_pdu: int


@dataclass(frozen=True, slots=True)
class Got:
    """The value of `get`."""

    data: Data


@dataclass(frozen=True, slots=True)
class GotRows:
    """The rows of `get_rows`, in the meter's order; values as `axdr.plain` gives them."""

    rows: list[Row]


@dataclass(frozen=True, slots=True)
class GotList:
    """The values of `get_list`, in the order asked; what was refused stands as the error it would have been."""

    items: tuple[Data | AccessRefused, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """`set` succeeded."""


@dataclass(frozen=True, slots=True)
class WrittenList:
    """The result codes of `set_list`, in the order asked; 0 is success."""

    results: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Called:
    """`action` succeeded; `data` is what it returned, None for nothing."""

    data: Data | None


@dataclass(frozen=True, slots=True)
class Released:
    """The association is closed; only the connection is left."""


Outcome = Associated | Got | GotRows | GotList | Written | WrittenList | Called | Released
Step = Send | Outcome
