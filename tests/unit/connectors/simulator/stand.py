"""A meter at a fixed instant, asked without a network."""

from datetime import UTC, datetime
from pathlib import Path

from connectors.dlms.cosem import Data, Keys, Mechanism, MeterSecurity, Selection, axdr, by_range
from connectors.dlms.cosem.names import Attribute
from connectors.simulator.curves import household
from connectors.simulator.ledger import Ledger
from connectors.simulator.meter import Meter
from connectors.simulator.model import model
from operations._profile import MANAGEMENT_CLIENT

NOW = datetime(2022, 11, 23, 10, 7, 30, tzinfo=UTC)
TITLE = b"MLG00001"


class Stand:
    """A meter whose clock shows `now` (drift 0), and its objects by tag."""

    def __init__(
        self,
        protocol: str = "SMR",
        version: str = "5.0.0",
        *,
        now: datetime = NOW,
        polyphase: bool = True,
        gas_meters: int = 1,
        ledger: Path | None = None,
        mechanism: Mechanism = Mechanism.HLS5,
        past: bool = False,
    ) -> None:
        self.now = now.timestamp()
        self.meter = Meter(
            7,
            "ML500000000000007",
            model(protocol, version, polyphase=polyphase),
            household(42, sun=True),
            MeterSecurity(TITLE, Keys(bytes(16), bytes(16)), b"00000000", accepted=41),
            gas_meters=gas_meters,
            ledger=Ledger(ledger),
            now=lambda: self.now,
            mechanism=mechanism,
            past=past,
        )
        self.meter.drift = 0.0

    def at(self, tag: str, index: int = 2) -> Attribute:
        found = self.meter.model.profile.objects[tag]
        return Attribute(found.class_id, found.obis, index)

    def get(
        self, tag: str, index: int = 2, selection: Selection | None = None, client: int = MANAGEMENT_CLIENT
    ) -> Data | int:
        """The answer, decoded, or the code of a refusal."""
        answer = self.meter.get(client, self.at(tag, index), selection)
        return axdr.decode(answer) if isinstance(answer, bytes) else answer

    def rows(self, tag: str, selection: Selection | None = None) -> list[tuple[object, ...]]:
        answer = self.get(tag, 2, selection)
        assert isinstance(answer, Data), f"result {answer}"
        return list(axdr.plain(answer))

    def set(self, tag: str, value: Data, index: int = 2, client: int = MANAGEMENT_CLIENT) -> int:
        return self.meter.set(client, self.at(tag, index), None, value)


def between(start: datetime, end: datetime) -> Selection:
    return by_range(start, end)
