"""What the processes of the service say to each other: one orjson object a packet, told apart by ``kind``.

The packets are plain dictionaries, typed for the checker and free of cost at run time::

    channel.send(packets.encode(packets.Closed(kind="closed", association="31-7", how="released")))
    packet = packets.decode_coordinator(octets)
    if packet["kind"] == "ack": ...        # the type checker narrows on ``kind``

Strings of peers are Latin-1 decoded octets. ``bounded`` keeps a string of a peer short enough for a packet;
apply it to every value of a data set, never to a path. A packet is at most ``fdpass.PACKET_OCTETS`` long.
docs/architecture.md has the table of packets and who sends what when.
"""

from __future__ import annotations

from typing import Literal, TypedDict, cast

import orjson

from fastscp import jsontext
from fastscp.errors import PacketError
from fastscp.process.fdpass import PACKET_OCTETS
from fastscp.process.notes import Missed, Note, TurnedAway
from fastscp.process.succession import Guest, HandedOver, HookEnded, Lent, Unable

#: Longest string of a peer in a packet, in characters: longer than any file name can be.
MAXIMUM_STRING = 1024

class Hello(TypedDict):
    """First packet of a worker on a (new) channel."""

    kind: Literal["hello"]
    incarnation: str
    unacknowledged: int  #: highest event number that was acknowledged, 0 when none


class Opened(TypedDict):
    """An association was established, or is still open when the channel is new."""

    kind: Literal["opened"]
    association: str  #: unique in the service
    calling_aet: str
    called_aet: str
    peer: str  #: address
    #: host name, the address where there is none or names are not looked up; empty when it is still to come
    peer_host: str
    port: int
    sender: str  #: section of the configuration file, "" for none
    max_pdu: int


class Closed(TypedDict):
    """The association ended; its open transfers are void."""

    kind: Literal["closed"]
    association: str
    how: str  #: released, aborted or failed
    stored: int  #: objects
    refused: int  #: objects
    octets: int  #: of the files stored


class Place(TypedDict):
    """Where does this object go? Sent as soon as the Study Instance UID is known."""

    kind: Literal["place"]
    request: int
    association: str
    study: str
    patient: str
    charset: str


class Abandoned(TypedDict):
    """A transfer failed after ``place``."""

    kind: Literal["abandoned"]
    request: int


class Stored(TypedDict):
    """The object is published as ``directory/file``."""

    kind: Literal["stored"]
    event: int
    request: int | None
    keeps: bool  #: the transfer of ``request`` goes on: the association's next objects of the study come under it
    association: str
    directory: str
    file: str
    sop_class: str
    sop_instance: str
    study: str
    series: str
    modality: str
    prefix: str
    transfer_syntax: str
    size: int
    duration_s: float
    replaced: bool
    unchanged: bool  #: what it replaced had the same octets, or it was not written
    duplicate: str | None  #: what was done because its name was taken (``--on-duplicate``)
    sha256: str | None


class Placed(TypedDict):
    """Publish there (the directory exists); a ``status`` other than 0 refuses the object.

    ``late``: the study has ended before, so it is of interest whether an object changes anything. ``lasting``: the
    transfer may go on with further objects of the study, until it is recalled.
    """

    kind: Literal["placed"]
    request: int
    directory: str
    status: int
    message: str
    late: bool
    lasting: bool


class Recall(TypedDict):
    """Give back a transfer that goes on without an object under way (``abandoned``), or with the end of the one there is."""

    kind: Literal["recall"]
    request: int


class Ack(TypedDict):
    """The events from ``first`` to ``event`` are taken over by the coordinator and need not be repeated."""

    kind: Literal["ack"]
    first: int
    event: int


class Failed(TypedDict):
    """``event`` could not be taken over, for a fault of the service: it is not repeated, and nothing follows from it."""

    kind: Literal["failed"]
    event: int


class Ran(TypedDict):
    """With ``--exec-sync``: every hook that ``event`` caused has ended (sent also when there was none)."""

    kind: Literal["ran"]
    event: int


class Hold(TypedDict):
    """Whether no object is to be begun, because too many hooks wait; a new channel begins without."""

    kind: Literal["hold"]
    on: bool


class Trouble(TypedDict):
    """Nothing can be kept in the durable state for this ``reason``; "" when it can be kept again.

    Until then no object is published that would have to wait for it.
    """

    kind: Literal["trouble"]
    reason: str


class Worker(TypedDict):
    """A worker's event channel comes along as one descriptor."""

    kind: Literal["worker"]
    name: str


class Order(TypedDict):
    """What the acceptor process wants done: finish and end, with or without open studies; end now; read files again; give up the state."""

    kind: Literal["drain", "suspend", "stop", "reload", "retire", "hand_over"]


class Ready(TypedDict):
    """The coordinator has recovered what an earlier run left."""

    kind: Literal["ready"]


class NewConnection(TypedDict):
    """An accepted connection; its socket comes along. ``host`` is empty when it is not known."""

    kind: Literal["connection"]
    number: int
    address: str
    port: int
    host: str
    host_follows: bool  #: it is being looked up, and told as soon as it is known


class Host(TypedDict):
    """The host name of an address, empty where there is none; told to everybody once it is known."""

    kind: Literal["host"]
    address: str
    host: str


class EventChannel(TypedDict):
    """A worker's end of the channel to a (new) coordinator comes along as one descriptor."""

    kind: Literal["event_channel"]
    number: int  #: of this channel


class Up(TypedDict):
    """A worker takes connections from here on."""

    kind: Literal["up"]


class Progress(TypedDict):
    """The connection is the worker's from here on, or is closed."""

    kind: Literal["taken", "finished"]
    number: int


class Declined(TypedDict):
    """The worker has no descriptor left for that connection; it was not taken."""

    kind: Literal["declined"]
    number: int


class Unconnected(TypedDict):
    """The event channel of that number has ended, or did not arrive."""

    kind: Literal["unconnected"]
    number: int


WorkerPacket = Hello | Opened | Closed | Place | Abandoned | Stored | Note | Missed
CoordinatorPacket = Placed | Recall | Ack | Failed | Ran | Hold | Trouble
#: between the acceptor process and the coordinator
ControlPacket = Worker | Order | Host | Ready | Guest | HandedOver | Unable | Lent | HookEnded
#: from the acceptor process to a worker
WorkerOrder = NewConnection | EventChannel | Host | Order
#: from a worker to the acceptor process
WorkerNews = Up | Progress | Declined | Unconnected
Packet = WorkerPacket | CoordinatorPacket | ControlPacket | WorkerOrder | WorkerNews


def turned_away(address: str, host: str, port: int, reason: str) -> TurnedAway:
    """Return the note of a connection that was closed before anything was read from it."""
    return {"kind": "turned_away", "peer": address, "peer_host": host, "port": port, "reason": bounded(reason)}


def encode(packet: Packet) -> bytes:
    """Return the packet's octets. Raises ``PacketError`` when it is too long or cannot be encoded."""
    try:
        octets = jsontext.dumps(packet)
    except TypeError as error:
        raise PacketError(f"a packet of kind {packet['kind']} cannot be encoded: {error}") from error
    if len(octets) > PACKET_OCTETS:
        raise PacketError(f"a packet of kind {packet['kind']} has {len(octets)} octets")
    return octets


def decode_worker(octets: bytes | bytearray | memoryview) -> WorkerPacket:
    """Return a packet that a worker sent. Raises ``PacketError``."""
    return cast("WorkerPacket", _decode(octets))


def decode_coordinator(octets: bytes | bytearray | memoryview) -> CoordinatorPacket:
    """Return a packet that the coordinator sent to a worker. Raises ``PacketError``."""
    return cast("CoordinatorPacket", _decode(octets))


def decode_control(octets: bytes | bytearray | memoryview) -> ControlPacket:
    """Return a packet between acceptor process and coordinator. Raises ``PacketError``."""
    return cast("ControlPacket", _decode(octets))


def decode_order(octets: bytes) -> WorkerOrder:
    """Return what the acceptor process sent to a worker. Raises ``PacketError``."""
    return cast("WorkerOrder", _decode(octets))


def decode_news(octets: bytes) -> WorkerNews:
    """Return what a worker sent to the acceptor process. Raises ``PacketError``."""
    return cast("WorkerNews", _decode(octets))


def bounded(text: str) -> str:
    """Return ``text`` cut to what a packet may carry of one string of a peer."""
    return text if len(text) <= MAXIMUM_STRING else text[:MAXIMUM_STRING]


def _decode(octets: bytes | bytearray | memoryview) -> object:
    try:
        packet = jsontext.loads(octets)
    except orjson.JSONDecodeError as error:
        raise PacketError(f"a packet of {len(octets)} octets is not JSON: {error}") from error
    if not isinstance(packet, dict) or "kind" not in packet:
        raise PacketError("a packet has no kind")
    return packet
