"""The fleet on a real port: our client and, independently, gurux' against it; each fault as a client sees it."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.enums import Authentication, DataType, InterfaceType, Security
from gurux_dlms.objects import GXDLMSCaptureObject, GXDLMSClock, GXDLMSData, GXDLMSProfileGeneric, GXDLMSRegister
from gurux_dlms.secure import GXDLMSSecureClient

from connectors.dlms import cosem
from connectors.dlms.cosem import Keys, Mechanism, Outcome, Send, axdr
from connectors.dlms.cosem.apdu import LN, LN_CIPHERED
from connectors.simulator import ledger
from connectors.simulator.faults import Fault, Faults, parse
from connectors.simulator.fleet import HOST, Fleet, FleetSettings, Identity, identity
from connectors.simulator.ledger import Ledger
from operations._profile import profiles
from tests.simulator.loopback import AK, GUEK

TITLE = b"MLGTEST1"
ZONE = ZoneInfo("Europe/Amsterdam")
CLOCK = cosem.attribute(8, "0.0.1.0.0.255", 2)
TOTAL = cosem.attribute(3, "1.0.1.8.0.255", 2)
ALARM = cosem.attribute(1, "0.0.97.98.0.255", 2)
INTERVAL = cosem.attribute(7, "1.0.99.1.0.255", 2)
CONTEXT = cosem.attribute(15, "0.0.40.0.0.255", 4)
IDENTIFIER = cosem.attribute(1, "0.0.96.1.1.255", 2)
Run = Callable[..., Fleet]


class Closed(Exception):
    """The meter closed the connection."""


class Client:
    """Our client over a blocking socket."""

    def __init__(self, fleet: Fleet, who: Identity, mechanism: Mechanism = Mechanism.HLS5, **changes: Any) -> None:
        ciphered = changes.get("ciphered", mechanism is Mechanism.HLS5)
        settings: dict[str, Any] = {
            "client_id": 16 if mechanism is Mechanism.NONE else 1,
            "server_sap": who.number,
            "mechanism": mechanism,
            "system_title": TITLE if ciphered else b"",
            "keys": Keys(who.encryption, who.authentication) if ciphered else None,
            "password": who.password if mechanism is Mechanism.LLS else b"",
        }
        counter = cosem.InvocationCounter(changes.pop("counter", 1), 100_000)
        self.dlms = cosem.ClientAssociation(cosem.ClientSettings(**{**settings, **changes}), counter)
        self.socket = socket.create_connection((HOST, fleet.port), timeout=2)

    def ask(self, out: bytes) -> Outcome:
        while True:
            self.socket.sendall(out)
            while (step := self.dlms.receive(self.taken())) is None:
                pass
            if not isinstance(step, Send):
                return step
            out = step.data

    def taken(self) -> bytes:
        try:
            data = self.socket.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed
        return data

    def value(self, attribute: cosem.Attribute) -> Any:
        got = self.ask(self.dlms.get(attribute))
        assert isinstance(got, cosem.Got)
        return got.data.value

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """`run(meters=..)` gives a fleet that listens, its loop in a thread; its ledger lies in `ledger`."""
    stops: list[Callable[[], None]] = []

    def start(**settings: Any) -> Fleet:
        fleet = Fleet(
            FleetSettings(**{"meters": 5, "profiles": [("SMR", "5.0.0")], **settings}), Ledger(book(tmp_path))
        )
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(fleet.start(), loop).result(10)

        def stop() -> None:
            asyncio.run_coroutine_threadsafe(fleet.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

        stops.append(stop)
        return fleet

    yield start
    for stop in stops:
        stop()


def book(folder: Path) -> Path:
    return folder / "ledger"


@contextmanager
def opened(fleet: Fleet, number: int = 1, *arguments: Any, **changes: Any) -> Iterator[Client]:
    with closing(Client(fleet, identity(fleet.settings, number), *arguments, **changes)) as client:
        assert isinstance(client.ask(client.dlms.open()), cosem.Associated)
        yield client


def yesterday() -> tuple[datetime, datetime]:
    end = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    return (end - timedelta(days=1)).replace(hour=0), end


def test_a_meter_is_read_written_and_its_deeds_are_in_the_ledger(run: Run, tmp_path: Path) -> None:
    fleet = run()
    who = identity(fleet.settings, 3)
    with opened(fleet, 3) as client:
        assert client.value(IDENTIFIER) == who.device_id.encode()
        shown = cosem.CosemDateTime.from_bytes(client.value(CLOCK)).instant()
        assert shown is not None
        assert abs(shown - datetime.now(UTC)) < timedelta(seconds=32)
        start, end = yesterday()
        rows = client.ask(client.dlms.get_rows(INTERVAL, cosem.by_range(start, end)))
        assert isinstance(rows, cosem.GotRows)
        assert len(rows.rows) == (end.astimezone(UTC) - start.astimezone(UTC)) // timedelta(minutes=15) + 1
        assert isinstance(client.ask(client.dlms.set(ALARM, axdr.double_long_unsigned(0))), cosem.Written)
        with pytest.raises(cosem.AccessRefused):
            client.ask(client.dlms.action(cosem.method(3, "1.0.1.8.0.255", 1), axdr.integer(0)))
        assert isinstance(client.ask(client.dlms.release()), cosem.Released)
    entries = [entry for entry in ledger.read(book(tmp_path)) if entry["meter"] == who.device_id]
    assert [(entry["did"], entry.get("result", 0)) for entry in entries if entry["did"] != "counter"] == [
        ("connected", 0), ("get", 0), ("get", 0), ("get", 0), ("set", 0), ("action", 3),
    ]  # fmt: skip
    counters = [int(entry["value"]) for entry in entries if entry["did"] == "counter"]
    assert counters == sorted(set(counters))
    assert len(counters) > 6


def test_a_second_connection_is_refused_until_the_first_is_gone(run: Run, tmp_path: Path) -> None:
    fleet = run()
    with opened(fleet) as first:
        with closing(Client(fleet, identity(fleet.settings, 1))) as second, pytest.raises(Closed):
            second.ask(second.dlms.open())
        assert first.value(IDENTIFIER)
        with opened(fleet, 2) as other:  # another meter on the same port
            assert other.value(IDENTIFIER) == identity(fleet.settings, 2).device_id.encode()
        first.ask(first.dlms.release())
    for _ in range(50):
        if not fleet.meters[0].open:
            break
        threading.Event().wait(0.02)
    with opened(fleet, counter=1_000) as again:
        assert again.value(IDENTIFIER)
    assert [entry["did"] for entry in ledger.read(book(tmp_path))].count("refused") == 1


@pytest.mark.parametrize("number", [0, 6, 16_000])
def test_nobody_answers_for_a_meter_that_is_not_there(run: Run, number: int) -> None:
    fleet = run()
    with closing(Client(fleet, identity(fleet.settings, 1), server_sap=number)) as client, pytest.raises(Closed):
        client.ask(client.dlms.open())


def test_meters_open_by_password_ciphered_or_not_and_all_by_the_public_client(run: Run, tmp_path: Path) -> None:
    """Either context (meter-model 2), and the association says which."""
    fleet = run(lls=1.0)
    for number, ciphered, context in ((1, False, LN), (4, True, LN_CIPHERED)):
        with opened(fleet, number, Mechanism.LLS, ciphered=ciphered) as client:
            assert client.value(TOTAL) > 0
            assert client.value(CONTEXT)[-1] == context
            client.ask(client.dlms.release())
    told = [entry["meter"] for entry in ledger.read(book(tmp_path)) if entry["did"] == "counter"]
    assert set(told) == {fleet.meters[3].device_id}
    with opened(fleet, 2, Mechanism.NONE) as public:
        assert public.value(IDENTIFIER)
        with pytest.raises(cosem.AccessRefused):
            public.value(TOTAL)
    who = identity(fleet.settings, 3)
    for mechanism, changes in ((Mechanism.LLS, {"password": b"wrong..."}), (Mechanism.HLS5, {})):
        with closing(Client(fleet, who, mechanism, **changes)) as wrong:
            with pytest.raises((cosem.AssociationRefused, Closed)):
                wrong.ask(wrong.dlms.open())
            wrong.close()
        for _ in range(50):
            if not fleet.meters[2].open:
                break
            threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (Fault.REFUSE, Closed),
        (Fault.STALL, TimeoutError),
        (Fault.DROP, Closed),
        (Fault.WRONG_TAG, cosem.SecurityViolation),
    ],
)
def test_each_fault_is_what_a_client_sees(run: Run, tmp_path: Path, fault: Fault, seen: type[Exception]) -> None:
    fleet = run(faults=Faults({fault: 1.0}))
    with closing(Client(fleet, identity(fleet.settings, 1))) as client:
        client.socket.settimeout(0.5)
        with pytest.raises(seen):
            client.ask(client.dlms.open())
            for _ in range(10):
                client.value(IDENTIFIER)
    assert [entry["what"] for entry in ledger.read(book(tmp_path)) if entry["did"] == "fault"] == [fault]


def test_an_answer_is_lost_after_the_deed(run: Run, tmp_path: Path) -> None:
    fleet = run(faults=Faults({Fault.LOST_ANSWER: 1.0}))
    fleet.meters[0].raise_alarm(2)
    with opened(fleet) as client:
        assert client.value(ALARM) & 2
        with pytest.raises(Closed):
            client.ask(client.dlms.set(ALARM, axdr.double_long_unsigned(0)))
    told = [entry["did"] for entry in ledger.read(book(tmp_path)) if entry["did"] in ("set", "fault")]
    assert told == ["set", "fault"]
    assert fleet.meters[0].get(1, ALARM, None) == axdr.double_long_unsigned(0)


def test_faults_are_drawn_from_the_seed() -> None:
    faults = Faults(parse("stall=0.1,lost-answer=0.2"), 3)
    drawn = [faults.draw(meter, 1)[0] for meter in range(2_000)]
    assert drawn == [faults.draw(meter, 1)[0] for meter in range(2_000)]
    assert 150 < drawn.count(Fault.STALL) < 250
    assert 330 < drawn.count(Fault.LOST_ANSWER) < 470


@pytest.mark.parametrize(
    ("text", "part"), [("nap=0.1", "nap"), ("stall=often", "stall"), ("stall=2", "0 to 1"), ("stall", "stall")]
)
def test_a_wrong_fault_is_named(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse(text)


class Gurux:
    """gurux' client over a real socket; it shares no line with our engine."""

    def __init__(self, fleet: Fleet, number: int, *, ciphered: bool = True) -> None:
        who = identity(fleet.settings, number)
        lls = who.security == "lls"
        how, secret = (Authentication.LOW, who.password) if lls else (Authentication.HIGH_GMAC, None)
        self.client: Any = GXDLMSSecureClient(True, 1, number, how, secret, InterfaceType.WRAPPER)
        self.client.maxReceivePDUSize = 512
        self.socket = socket.create_connection((HOST, fleet.port), timeout=30)
        self.blocks = 0
        if not ciphered:
            return
        ciphering = self.client.ciphering
        ciphering.systemTitle = TITLE
        ciphering.blockCipherKey = who.encryption
        ciphering.authenticationKey = who.authentication
        ciphering.security = Security.AUTHENTICATION_ENCRYPTION
        ciphering.invocationCounter = 1

    def exchange(self, frames: Any) -> Any:
        """Send frames, and ask on while the reply says there is more; gives the reply, its error too."""
        reply: Any = GXReplyData()
        for frame in frames if isinstance(frames, list) else [frames]:
            out = frame
            while True:
                self.socket.sendall(bytes(out))
                self.client.getData(GXByteBuffer(self.message()), reply, None)
                if not reply.isMoreData():
                    break
                self.blocks += 1
                out = self.client.receiverReady(reply)
        return reply

    def message(self) -> bytes:
        head = self.exactly(8)
        return head + self.exactly(int.from_bytes(head[6:], "big"))

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            assert part, "the meter closed"
            data += part
        return data

    def read(self, item: Any, attribute: int) -> Any:
        return self.client.updateValue(item, attribute, self.exchange(self.client.read(item, attribute)).value)

    def open(self) -> None:
        self.client.parseAareResponse(self.exchange(self.client.aarqRequest()).data)
        if self.client.authentication == Authentication.LOW:
            return
        answer = self.exchange(self.client.getApplicationAssociationRequest())
        self.client.parseApplicationAssociationResponse(answer.data)


@pytest.mark.parametrize(
    ("version", "ciphered"),
    [*((version, True) for version in profiles()), (("DSMR", "2.2"), False)],
    ids=lambda given: "-".join(given) if isinstance(given, tuple) else "ciphered" if given else "plain",
)
def test_an_independent_client_does_its_work(run: Run, version: tuple[str, str], ciphered: bool) -> None:
    fleet = run(profiles=[version])
    gurux = Gurux(fleet, 4, ciphered=ciphered)
    with closing(gurux.socket):
        gurux.open()
        clock = gurux.read(GXDLMSClock("0.0.1.0.0.255"), 2)
        assert abs(clock.value.timestamp() - datetime.now(UTC).timestamp()) < 35
        total = gurux.read(GXDLMSRegister("1.0.1.8.0.255"), 2)
        assert abs(total - sum(fleet.meters[3].household.energy(datetime.now(UTC).timestamp())[:2])) < 50
        assert len(gurux.exchange(gurux.client.getObjectsRequest()).value or b"x") > 0
        assert gurux.blocks > 5

        profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
        columns = [GXDLMSClock("0.0.1.0.0.255"), GXDLMSData("0.0.96.10.2.255")]
        columns += [GXDLMSRegister("1.0.1.8.0.255"), GXDLMSRegister("1.0.2.8.0.255")]
        profile.captureObjects.extend([(column, GXDLMSCaptureObject(2, 0)) for column in columns])
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        gurux.blocks = 0
        request = gurux.client.readRowsByRange(profile, end - timedelta(days=1), end)
        rows = gurux.client.updateValue(profile, 2, gurux.exchange(request).value)
        assert len(rows) == 97
        assert gurux.blocks > 3
        imported = [row[2] for row in rows]
        assert imported == sorted(imported)

        alarm = GXDLMSData("0.0.97.98.0.255")
        alarm.value = 0
        alarm.setDataType(2, DataType.UINT32)
        assert gurux.exchange(gurux.client.write(alarm, 2)).error == 0
        alarm.setDataType(2, DataType.UINT16)
        assert gurux.exchange(gurux.client.write(alarm, 2)).error == 12  # type-unmatched
        reset = gurux.client.method(GXDLMSRegister("1.0.1.8.0.255"), 1, 0, DataType.INT8)
        assert gurux.exchange(reset).error == 3  # not for this client
        assert gurux.exchange(gurux.client.read(GXDLMSRegister("1.0.99.8.0.255"), 2)).error == 4
        gurux.exchange(gurux.client.releaseRequest())


def test_a_thousand_meters_fit_into_200_mib() -> None:
    script = (
        "import psutil; from connectors.simulator.fleet import Fleet, FleetSettings; "
        "from connectors.simulator.ledger import Ledger; fleet = Fleet(FleetSettings(meters=1000), Ledger(None)); "
        "print(psutil.Process().memory_info().rss)"  # not its peak, which a child inherits from us
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert int(found.stdout) < 200 * 2**20  # octets, the interpreter and its libraries included


def test_keys_of_a_fleet_are_its_own() -> None:
    here, other = FleetSettings(meters=3), FleetSettings(meters=3, seed=2)
    keys = {identity(fleet, number).encryption for fleet in (here, other) for number in (1, 2, 3)}
    assert len(keys) == 6
    assert not keys & {GUEK, AK}


@pytest.mark.parametrize("settings", [{"meters": 0}, {"meters": 16_384}, {"meters": 1, "lls": 0.6, "public": 0.6}])
def test_a_fleet_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="meters|lls"):
        FleetSettings(**settings)
