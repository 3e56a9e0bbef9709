"""A DICOM Storage SCP on asyncio, made of fastscp's layers that do no input and output of their own.

    python asyncio_scp.py DIRECTORY [PORT]

``Association`` is PS3.8: octets of the peer go in, events come out, and octets to be sent. ``Provider`` is PS3.7: fragments of messages go
in, requests come out. Here they are driven by streams of asyncio; a thread writes each object when it is complete.
"""

import asyncio
import re
import sys
from pathlib import Path

from fastscp import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from fastscp.config.negotiation import standard_policy
from fastscp.dicom import FileSink, OutputOptions, rewrite
from fastscp.dimse import (
    DataEnd,
    DataFragments,
    EchoRequest,
    Item,
    Provider,
    StoreRequest,
    UnrecognizedRequest,
)
from fastscp.errors import InstanceError, PeerError
from fastscp.ul import Answers, Association, AssociationEvent, Established, ReleaseRequested

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
ARTIM_S = 30.0
READ_OCTETS = 1 << 16


class Connection:
    """One connection of a peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Answers, directory: Path) -> None:
        self.reader = reader
        self.writer = writer
        self.association = Association(answers)
        self.directory = directory
        self.provider: Provider | None = None
        self.peer_title = ""
        self.data = bytearray()  # the data set at hand

    async def serve(self) -> None:
        """Read, and answer what was read, until the association says that it is over."""
        while not self.association.finished:
            try:
                limit_s = ARTIM_S if self.association.artim_running else None
                octets = await asyncio.wait_for(self.reader.read(READ_OCTETS), limit_s)
            except asyncio.TimeoutError:
                self.association.artim_expired()
                continue
            if octets:
                await self.receive(memoryview(octets))
            else:
                self.association.transport_closed()
            self.writer.write(self.association.take_output())
            await self.writer.drain()

    async def receive(self, view: memoryview) -> None:
        """Take octets of the peer. Of a great many small PDUs the association takes some, and the rest when it is asked again."""
        while view:
            try:
                events = self.association.receive(view)
            except PeerError as error:  # the A-ABORT is in the output; what came before counts
                events = error.events
            view = view[len(view) - self.association.left:]
            for event in events:
                await self.handle(event)

    async def handle(self, event: AssociationEvent) -> None:
        """Follow one event."""
        if isinstance(event, tuple):  # fragments of messages: there is an association, and so a provider
            assert self.provider is not None
            try:
                items = self.provider.receive([event])
            except PeerError as error:
                self.association.abort(error.source, error.reason)
                items = error.items
            for item in items:
                await self.answer(self.provider, item)
        elif isinstance(event, Established):
            self.provider = Provider(event.contexts, event.request.max_pdu_length)
            self.peer_title = event.request.calling_ae_title
        elif isinstance(event, ReleaseRequested):
            self.association.release()

    async def answer(self, provider: Provider, item: Item) -> None:
        """Do what a message asks for, and queue the response."""
        if isinstance(item, StoreRequest):
            self.data.clear()
        elif isinstance(item, DataFragments):
            for view in item.views:  # they die with the next read
                self.data += view
        elif isinstance(item, DataEnd):
            status, comment = await asyncio.to_thread(self.store, item, bytes(self.data))
            self.writer.write(provider.encode_response(item.context.id, item.command, status, comment))
        elif isinstance(item, EchoRequest):
            self.writer.write(provider.encode_response(item.context.id, item.command, SUCCESS))
        elif isinstance(item, UnrecognizedRequest):
            self.writer.write(provider.encode_response(item.context.id, item.command, item.status, item.comment))

    def store(self, item: DataEnd, data: bytes) -> tuple[int, str]:
        """Write a file as storescp would; return status and comment."""
        uid = item.command.affected_sop_instance_uid
        path = self.directory / (re.sub("[^0-9.]", "_", uid) + ".dcm")  # whatever a peer calls a UID
        try:
            with path.open("w+b") as file:
                rewrite(data, FileSink(file), OutputOptions(), transfer_syntax_uid=item.context.transfer_syntax,
                        sop_class_uid=item.command.affected_sop_class_uid, sop_instance_uid=uid, source_ae_title=self.peer_title)
        except InstanceError as error:
            path.unlink()
            return error.status, error.comment
        except OSError as error:
            return OUT_OF_RESOURCES, str(error)
        return SUCCESS, ""


async def main(directory: Path, port: int) -> None:
    """Listen."""
    policy = standard_policy(ae_title="ASYNCIO", implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                             implementation_version_name=IMPLEMENTATION_VERSION_NAME)
    answers = Answers(policy)  # one for all associations: it remembers what it has answered

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Connection(reader, writer, answers, directory).serve()
        except ConnectionError as error:
            print(f"a peer is gone: {error}", file=sys.stderr)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 11112))
