"""What is fuzzed: functions of octets that raise AssertionError, or anything undocumented, when something is wrong.

    pdus         what comes behind an A-ASSOCIATE-RQ: PDUs, fragments, messages, their answers
    negotiation  the body of an A-ASSOCIATE-RQ, its answer, what the log says of both
    commands     a command set, its response
    datasets     a data set in some transfer syntax under some output options
    proxies      what comes first on a connection of a balancer
    lane         C-STORE requests: a connection with an express lane beside one without

Every oracle: only the documented exceptions, the same result however the octets are cut, no more output than the input
is worth, bounded time, and the way back where there is one. Memory is bounded by who runs them.
"""

from __future__ import annotations

import random
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastscp import core
from fastscp.config.negotiation import standard_policy
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Rewriter, Shapes
from fastscp.dimse.command import (
    Command,
    _any_command,
    _usual_store_request,
    decode_command,
    encode_response_command,
)
from fastscp.dimse.describe import command as describe_command
from fastscp.dimse.describe import response as describe_response
from fastscp.dimse.provider import DataFragments, EchoRequest, Provider, UnrecognizedRequest
from fastscp.errors import ObjectError, PeerError
from fastscp.proxy.header import Header, HeaderError, HeaderReader
from fastscp.ul.answers import Answers
from fastscp.ul.association import Association, Established
from fastscp.ul.decode import decode_associate_ac, decode_associate_rq
from fastscp.ul.describe import associate_rq as describe_request
from fastscp.ul.describe import established as describe_established
from fastscp.ul.encode import encode_associate_rq, encode_pdu
from fastscp.ul.pdu import AcceptedContext
from tests.corpus import wire
from tests.fuzz import lane as express
from tests.support import datasets as ds
from tests.support.harm_data import DATA_SETS
from tests.support.memory import MemorySink, rewritten
from tests.support.options import OPTION_SETS, output_options
from tests.support.proxy import binary, tlv, version_1, version_2
from tests.support.rawscu import IMPLICIT, read_instance

Target = Callable[[bytes], None]
LARGEST = 32768  #: octets of input that are worth the time
MOST_S = 10.0  #: of CPU for one of them, a fuzzer's instruments included; the worst that is known takes a tenth
_POLICY = standard_policy(implementation_class_uid="1.2.3", implementation_version_name="V")
_ABORT = bytes.fromhex("0700000000040000")
_CONTEXT = AcceptedContext(3, wire.CT, wire.EXPLICIT)
_SYNTAXES = (ds.EXPLICIT, ds.IMPLICIT, ds.BIG, ds.DEFLATED, ds.JPEG)
_OPTIONS = tuple(replace(output_options(words), max_inflated_octets=1 << 17) for words in OPTION_SETS)
#: what earlier inputs taught, as a worker has it; all that is known of an option set
_SHAPES = {options: Shapes() for options in _OPTIONS}


def _sizes(data: bytes) -> list[int]:
    """Return sizes of pieces that depend on the input alone."""
    chance = random.Random(zlib.crc32(data))
    return [chance.choice((1, 2, 3, 5, 6, 7, 12, 40, 1000)) for _ in range(7)]


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut octets into pieces of these sizes, again and again."""
    found, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found.append(data[at:at + size])
        at += size
        turn += 1
    return found


def _converse(data: list[bytes]) -> tuple[list[object], bytes, str]:
    """Have a whole conversation; return what came of it, what was answered, and how it ended."""
    association = Association(Answers(_POLICY))
    provider: Provider | None = None
    said: list[object] = []
    answers = bytearray()
    for piece in data:
        rest = piece
        while rest:
            buffer = bytearray(rest)
            events: list[Any] = []
            error: PeerError | None = None
            try:
                with memoryview(buffer) as view:
                    try:
                        events = association.receive(view)
                    except PeerError as violation:
                        events, error = violation.events, violation
                    rest = rest[len(rest) - association.left:] if association.left and error is None else b""
                    answers += association.take_output()
                    provider = _handle(events, provider, said, answers)
            except PeerError as violation:
                error = violation
                association.abort(violation.source, violation.reason)
            answers += association.take_output()
            if error is not None:
                # who breaks the protocol twice in one read is told of either
                if (at := answers.find(_ABORT)) >= 0:
                    del answers[at:at + 10]
                return said, bytes(answers), f"{error} {error.source} {error.reason}"
    return said, bytes(answers), ""


def _handle(events: list[Any], provider: Provider | None, said: list[object], answers: bytearray) -> Provider | None:
    """Take events in order, answer them; return the provider of the association."""
    for event in events:
        if isinstance(event, tuple):
            assert provider is not None
            _serve(provider, [event], said, answers)
            for fragment in event[2]:
                fragment.release()
            continue
        if isinstance(event, Established):
            provider = Provider(event.contexts, event.request.user_information.maximum_length)
            assert describe_established(event)
        said.append(type(event).__name__)
    return provider


def _serve(provider: Provider, fragments: list[tuple[int, int, list[memoryview]]], said: list[object],
           answers: bytearray) -> None:
    """Answer what a provider makes of fragments; raises PeerError after having said what came before."""
    error = None
    try:
        items = provider.receive(fragments)
    except PeerError as violation:
        items, error = violation.items, violation
    for item in items:
        if isinstance(item, DataFragments):
            data = b"".join(item.views)
            if said and isinstance(said[-1], bytes):
                said[-1] += data
            elif data:
                said.append(data)
            continue
        said.append((type(item).__name__, item.context.id, item.command))
        status = item.status if isinstance(item, UnrecognizedRequest) else 0
        if isinstance(item, EchoRequest | UnrecognizedRequest):
            answers += provider.encode_response(item.context.id, item.command, status)
    if error is not None:
        raise error


def pdus(data: bytes) -> None:
    """Anything behind a good request means the same in any pieces."""
    octets = wire.RQ + data[:LARGEST]
    said, answers, end = _converse([octets])
    assert len(answers) < 2000 + 40 * len(octets)
    assert _converse(pieces(octets, _sizes(data))) == (said, answers, end)


def negotiation(data: bytes) -> None:
    """Any A-ASSOCIATE-RQ is answered or aborted; what is understood can be said again."""
    body = data[:LARGEST]
    whole = encode_pdu(1, body)
    said, answers, end = _converse([whole])
    assert _converse(pieces(whole, _sizes(data))) == (said, answers, end)
    assert len(answers) < 2000 + 2 * len(whole)
    if answers[:1] == b"\2":
        decode_associate_ac(answers[6:])
    try:
        request = decode_associate_rq(body)
    except PeerError:
        return
    assert describe_request(request)
    try:
        encoded = encode_associate_rq(request)
    except (struct.error, UnicodeEncodeError):  # longer than our own requests can be
        return
    assert decode_associate_rq(encoded[6:]) == request


def commands(data: bytes) -> None:
    """Any command set is understood or refused, the quick way like the long way; its response is understood."""
    octets = data[:LARGEST]
    usual = _usual_store_request(octets)
    try:
        command: Command | None = _any_command(octets)
    except PeerError:
        command = None
    if usual is not None:
        assert usual == command
    if command is None:
        return
    assert decode_command(octets) == command
    assert describe_command(command, _CONTEXT)
    assert describe_response(command, 0xC000)
    try:
        response = encode_response_command(command, 0xC000, comment="\xe4\\b" * 40, offending=(0x00080018,))
    except (struct.error, UnicodeEncodeError):
        raise AssertionError(f"no response to {command}") from None
    if command.is_response:
        return
    again = decode_command(response)
    assert (again.field, again.message_id_being_responded_to, again.status) == (command.field | 0x8000, command.message_id, 0xC000)
    assert len(response) < 1000 + 2 * len(octets)


def _stored(syntax: str, options: OutputOptions, views: list[bytes], shapes: Shapes | None = None) -> bytes | int:
    """Return what is stored, or the status."""
    sink = MemorySink()
    rewriter = Rewriter(syntax, options, sink, sink.base, shapes=shapes)
    try:
        for view in views:
            rewriter.feed([view])
        rewriter.finish()
    except ObjectError as error:
        return error.status
    return sink.dataset


def datasets(data: bytes) -> None:
    """Any data set is stored or refused, in any pieces alike, known or not; what is stored can be read again.

    The first octet chooses the transfer syntax, the second the output options.
    """
    syntax = _SYNTAXES[data[0] % len(_SYNTAXES)] if data else ds.EXPLICIT
    options = _OPTIONS[data[1] % len(_OPTIONS) if len(data) > 1 else 0]
    octets = data[2:LARGEST]
    got = _stored(syntax, options, [octets])
    sizes = _sizes(data)
    assert _stored(syntax, options, pieces(octets, sizes)) == got, f"{syntax} {options} in pieces of {sizes}"
    for _ in range(2):  # the first time it may be learned, the second time it is known
        assert _stored(syntax, options, [octets], _SHAPES[options]) == got, f"{syntax} {options}, recognised"
    if isinstance(got, int):
        assert got >> 12 in {0xA, 0xC}
        return
    if syntax != ds.DEFLATED:
        assert len(got) < 4096 + 80 * len(octets)
    if got and not options.bit_preserving:
        rewritten(got, options.transfer_syntax or syntax, OutputOptions())


def _header(parts: list[bytes]) -> tuple[Header | None, int] | str:
    """Read the header of a balancer; return it and how many octets were its, or why there is none."""
    reader, taken = HeaderReader(), 0
    try:
        for part in parts:
            if reader.header is None:
                taken += reader.receive(part)
    except HeaderError as error:
        return str(error)
    return reader.header, taken


def proxies(data: bytes) -> None:
    """Read the header of a balancer."""
    whole = _header([data])
    assert whole == _header(pieces(data, _sizes(data)))
    if isinstance(whole, tuple) and whole[0] is not None:
        assert _header([data[:whole[1] - 1]]) == (None, whole[1] - 1)
        assert whole[1] <= (107 if data[:1] == b"P" else 16 + 65535)


def _in_time(target: Target) -> Target:
    """Bound the work for an input: CPU time, so that it is no matter what else a machine does."""
    def bounded(data: bytes) -> None:
        begin = time.process_time()
        target(data)
        spent_s = time.process_time() - begin
        assert spent_s < MOST_S, f"{len(data)} octets took {spent_s:.1f} s"
    return bounded


def lane(data: bytes) -> None:
    """With the compiled core or without, the same files and answers."""
    express.check(data[:LARGEST])


TARGETS: dict[str, Target] = {
    target.__name__: _in_time(target) for target in (pdus, negotiation, commands, datasets, proxies, *((lane,) if core.ACTIVE else ()))}


def seeds(name: str) -> list[bytes]:
    """Return inputs to begin with; files are those of pydicom's wheel, never copied."""
    if name == "pdus":
        rest = wire.SESSION[len(wire.RQ):]
        return [rest, wire.RELEASE_RQ, wire.ABORT, rest[:100], wire.data_pdu(wire.pdv(1, 3, wire.echo_command(1))) * 3,
                wire.data_pdu(wire.pdv(3, 3, wire.other_command(0x20, data_set=True)), wire.pdv(3, 2, wire.DATA_SET))]
    if name == "negotiation":
        from tests.support.harm import ACCEPTED_REQUESTS
        from tests.support.hostile import request
        return [wire.RQ[6:], *(request(items)[6:] for items in ACCEPTED_REQUESTS.values() if len(items) < 4000)]
    if name == "commands":
        return [wire.store_command(), wire.echo_command(), *(wire.other_command(field) for field in (0x20, 0x8001, 0x0FFF, 0x140)),
                wire.command(*wire.store_elements(1, "1.2 ", "1.2\0\0").values())]
    if name == "proxies":
        return [version_1(), version_1("2001:db8::7", destination="2001:db8::1") + wire.RQ, b"PROXY UNKNOWN\r\n", binary(0x20, 0),
                version_2() + wire.RQ, version_2("2001:db8::7", destination="::1", tlvs=tlv(2, b"pacs"))]
    if name == "lane":
        return express.seeds()
    return _data_set_seeds()


def _data_set_seeds() -> list[bytes]:
    from tests.conftest import real_dicom_files

    found = []
    for number, path in enumerate(real_dicom_files()):
        instance = read_instance(path)
        syntax = instance.transfer_syntax or IMPLICIT
        if syntax in _SYNTAXES and len(instance.dataset) < LARGEST:
            found.append(bytes((_SYNTAXES.index(syntax), number % len(_OPTIONS))) + instance.dataset)
    for number, case in enumerate(DATA_SETS.values()):
        octets = case.octets("1.2.3")
        if len(octets) < LARGEST:
            found.append(bytes(({1: 0, 3: 1, 7: 3, 9: 2, 11: 4}[case.context], number % len(_OPTIONS))) + octets)
    return found
