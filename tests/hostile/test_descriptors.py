"""A hard limit of 128 descriptors, and more objects under way than there are descriptors for."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.support.hostile import associated, store_one
from tests.support.objects import CT, data_set, fresh_uid
from tests.support.rawscu import DEFLATED, RawSCU, associate_rq, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until

ASSOCIATIONS = 120
CONTEXT = [(1, CT, [DEFLATED])]


class FewDescriptors(FastscpServer):
    """Runs with a hard limit of 128 descriptors per process."""

    def command(self) -> list[str]:
        return ["/bin/sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *super().command()]


def deflated(octets: bytes) -> bytes:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    out = deflater.compress(octets) + deflater.flush()
    return out + b"\0" * (len(out) & 1)


@pytest.mark.parametrize("options", [["+td"], ["+B"], ["+td", "-su", "study", "-xcr", "true"], ["+ti"]])
def test_deflated_objects_on_more_associations_than_there_are_descriptors_for(tmp_path: Path, options: list[str]) -> None:
    """Each object is larger than what is kept in memory, and out of order: it needs every spool there is."""
    with FewDescriptors(["--workers", "2", "+xd", "-dhl", "-ts", "120", "-od", tmp_path, *options]) as server:
        pids = {process.pid for process in server.family()}
        begun: list[tuple[RawSCU, str, bytes]] = []
        waiting = [RawSCU("127.0.0.1", server.port) for _ in range(ASSOCIATIONS)]
        for scu in waiting:
            scu.send(associate_rq(CONTEXT))
        sent = []
        while waiting or begun:
            wait_until(lambda: begun or any(map(answered, waiting)), "the next ones are let in")
            ready = [scu for scu in waiting if answered(scu)]
            for scu in ready:
                waiting.remove(scu)
                assert scu.read_pdu()[0] == 2
                uid = fresh_uid()
                content = deflated(data_set(uid, pixels=3 << 20))
                scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, content[:1000])))
                begun.append((scu, uid, content[1000:]))
            if ready:
                continue
            for scu, uid, rest in begun:
                scu.send(p_data(pdv(1, 2, rest)))
                assert scu.read_status() == 0
                scu.release()
                sent.append(f"CT.{uid}")
            begun.clear()
        assert set(sent) == {path.name for path in tmp_path.rglob("CT.*")}
        assert pids <= {process.pid for process in server.family()}, "nobody was replaced; hooks may be running"
        assert b"internal error" not in server.log()


def answered(scu: RawSCU) -> bool:
    scu.sock.setblocking(False)
    try:
        return bool(scu.sock.recv(1, 2))  # MSG_PEEK
    except BlockingIOError:
        return False
    finally:
        scu.sock.settimeout(60)


def test_more_connections_than_descriptors_cost_nobody(tmp_path: Path) -> None:
    with FewDescriptors(["--workers", "2", "-xcr", "true", "-od", tmp_path]) as server:
        pids = {process.pid for process in server.role("worker")}
        first = associated(server.port)
        others = [RawSCU("127.0.0.1", server.port) for _ in range(300)]
        uid = fresh_uid()
        assert first.store(1, CT, uid, data_set(uid)) == 0
        server.role("coordinator")[0].kill()  # its successor needs descriptors for the channels
        for scu in others:
            scu.close()
        store_one(server.port)
        assert {process.pid for process in server.role("worker")} == pids
