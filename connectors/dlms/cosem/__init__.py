"""DLMS/COSEM over the TCP wrapper, without I/O: both ends of an association, no socket, no clock, no task.

The client. Methods that ask return the bytes to send; `receive` takes whatever the network delivered and returns None
(wait for more), `Send` (send this, then wait: the next block, the HLS answer) or the outcome. A refusal is raised;
block transfer is inside.

    counter = InvocationCounter(1_000, 1_999)  # the range of this association; `counter.used` afterwards
    client = ClientAssociation(
        ClientSettings(client_id=1, mechanism=Mechanism.HLS5, system_title=b"MLG00001", keys=Keys(guek, ak)), counter
    )
    def ask(out: bytes) -> Outcome:
        while True:
            link.sendall(out)
            while (step := client.receive(link.recv(65536))) is None:
                pass
            if not isinstance(step, Send):
                return step
            out = step.data
    ask(client.open())  # Associated(server_title, conformance, max_send_pdu)
    ask(client.get(attribute(8, "0.0.1.0.0.255", 2)))  # Got(Data(9, b"..."))
    ask(client.get_rows(attribute(7, "1.0.99.1.0.255", 2), by_range(start, end)))  # GotRows([(clock, status, ..), ..])
    ask(client.get_list([attribute(...), attribute(...)]))  # GotList((Data, AccessRefused(4), ...)): one each
    ask(client.set(attribute(1, "0.0.97.98.0.255", 2), axdr.double_long_unsigned(0)))  # Written()
    ask(client.set_list([(attribute(...), data), ...]))  # WrittenList((0, 3, ...)): a result code each
    ask(client.action(method(18, "0.0.44.0.0.255", 1), parameters))  # Called(Data or None)
    ask(client.release())  # Released()

`client.use_keys(keys, counter)` goes on under other keys, `client.peer_counter` is the highest counter the meter used.
AccessRefused, ExceptionResponse and ServiceError leave the association usable; after a RemoteProtocolError or
AssociationRefused it is dead. All errors: `errors.py`.

Frames, as invocation counters count them: opening by HLS5 takes three (initiate request, the GMAC of the challenge
answer, the action that carries it), every other ciphered opening one, each request one, each further block asked for or
sent one, and the release one. Counters of an association that failed half way count as used.

The server, for the simulator. Settings are shared by all meters, `MeterSecurity` is one a meter and outlives its
associations, a `ServerAssociation` is one a connection. `ObjectAccess` is the meter's objects: get answers a Data,
already encoded A-XDR bytes, or a result code (int); set a code; action a code, or a pair of code and Data, bytes or
None. Keys changed by an action hold from the next APDU on.

    settings = ServerSettings(clients={16: ClientRule(Mechanism.NONE), 1: ClientRule(Mechanism.HLS5)})
    security = MeterSecurity(system_title=b"KFM00001", keys=Keys(guek, ak), accepted=-1, sent=0)
    server = ServerAssociation(settings, security, objects)   # objects: get(client, attribute, selection), set, action
    while not server.closed and (chunk := link.recv(65536)):
        link.sendall(server.receive(chunk))                    # may be empty; when `closed`, send it and close

Inside, from the wire up: `wrapper` cuts the stream, `security` opens and seals, `apdu` holds one class a production,
`axdr` (`compact`, `rows`, `cosem_time`) the values, `client` and `server` the two state machines.
"""

from . import axdr
from .apdu import CORE_CONFORMANCE, Conformance, Mechanism, Selected
from .axdr import Data, Tag
from .client import ClientAssociation
from .cosem_time import ClockStatus, CosemDateTime
from .errors import (
    AccessRefused,
    AccessResult,
    AssociationRefused,
    CosemError,
    CounterExhausted,
    ExceptionResponse,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityViolation,
    ServiceError,
    StaleCounter,
)
from .events import (
    Associated,
    Called,
    ClientSettings,
    Got,
    GotList,
    GotRows,
    Outcome,
    Released,
    Send,
    Step,
    Written,
    WrittenList,
)
from .names import Attribute, Method, Selection, attribute, by_entry, by_range, capture_object, method, obis, obis_text
from .rows import decode_rows
from .security import InvocationCounter, Keys
from .server import ServerAssociation, State
from .server_settings import ClientRule, MeterSecurity, OnRefusal, ServerSettings
from .serving import ObjectAccess

__all__ = [
    "CORE_CONFORMANCE",
    "AccessRefused",
    "AccessResult",
    "Associated",
    "AssociationRefused",
    "Attribute",
    "Called",
    "ClientAssociation",
    "ClientRule",
    "ClientSettings",
    "ClockStatus",
    "Conformance",
    "CosemDateTime",
    "CosemError",
    "CounterExhausted",
    "Data",
    "ExceptionResponse",
    "Got",
    "GotList",
    "GotRows",
    "InvocationCounter",
    "Keys",
    "LocalProtocolError",
    "Mechanism",
    "MeterSecurity",
    "Method",
    "ObjectAccess",
    "OnRefusal",
    "Outcome",
    "Released",
    "RemoteProtocolError",
    "SecurityViolation",
    "Selected",
    "Selection",
    "Send",
    "ServerAssociation",
    "ServerSettings",
    "ServiceError",
    "StaleCounter",
    "State",
    "Step",
    "Tag",
    "Written",
    "WrittenList",
    "attribute",
    "axdr",
    "by_entry",
    "by_range",
    "capture_object",
    "decode_rows",
    "method",
    "obis",
    "obis_text",
]
