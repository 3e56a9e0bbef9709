"""haproxy in front, as docs/balancers.md has it, with DCMTK's clients behind it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.process.test_refusals import Told
from tests.support.balancer import ADDRESS as BALANCER
from tests.support.balancer import needed
from tests.support.pki import Authority
from tests.support.servers import FastscpServer, free_port, wait_until

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "balancers.md"
MR = str(get_testdata_file("MR_small.dcm"))
CT = str(get_testdata_file("CT_small.dcm"))
@contextmanager
def haproxy(directory: Path, server: FastscpServer, how: str, *tls: str) -> Iterator[int]:
    """Run the example of the page in front of ``server``; the port it listens on."""
    text = re.search(r"^```haproxy\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE).group(1)  # type: ignore[union-attr]
    port = free_port()
    text = text.replace(":104\n", f"127.0.0.1:{port}\n").replace("send-proxy-v2 ", f"{how} ").replace("inter 2s", f"inter 100ms source {BALANCER}")
    text = re.sub(r"10\.1\.0\.1\d:11112", f"127.0.0.1:{server.port}", text)
    (directory / "haproxy.cfg").write_text(text)
    process = subprocess.Popen([needed(), "-db", "-f", str(directory / "haproxy.cfg")], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: not echo(port, *tls), "haproxy passes connections on")
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def client(*command: object) -> int:
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=60, check=False).returncode


def echo(port: int, *options: str) -> int:
    return client("echoscu", "-to", "5", *options, "127.0.0.1", port)


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_clients_through_a_balancer_are_known_by_their_own_address(tmp_path: Path, how: str) -> None:
    output, told = tmp_path / "out", Told(tmp_path)
    output.mkdir()
    arguments = ["-d", "-dhl", "--proxy-protocol", f"{BALANCER}/32", "-od", output, "--event-log", told.path]
    with FastscpServer(arguments) as server, haproxy(tmp_path, server, how) as port:
        assert client("storescu", "127.0.0.1", port, CT) == 0
        assert client("dcmsend", "127.0.0.1", port, MR) == 0
        assert echo(port) == 0
        assert echo(server.port) == 0, "from another network no header is wanted"
        assert {event["peer"] for event in told.wait("association.opened", 4)} == {"127.0.0.1"}
        wait_until(lambda: server.log().count(b"before anything was asked for") > 5, "some checks")
        about = [line for line in server.log().splitlines() if BALANCER.encode() in line]
        assert about
        assert [line for line in about if not line.startswith(b"D: ")] == []
        assert [line for line in server.log().splitlines() if line[:3] in {b"W: ", b"E: ", b"F: "}] == []
    assert len([path for path in output.iterdir() if not path.name.startswith(".")]) == 2


def test_tls_passes_through(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    identity = Authority.make(tmp_path / "ca").issue("localhost", "rsa")
    tls = ["+tls", str(identity.key_file()), str(identity.certificate_file()), "-ic"]
    with FastscpServer(["-dhl", "--proxy-protocol", BALANCER, *tls, "-od", output]) as server:
        with haproxy(tmp_path, server, "send-proxy-v2", "+tla", "-ic") as port:
            assert client("storescu", "+tla", "-ic", "127.0.0.1", port, CT) == 0
        wait_until(lambda: list(output.iterdir()), "the object")
        assert server.log() == b"", "checks neither"

