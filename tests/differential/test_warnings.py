"""What is warned of because of a peer's texts: storescp and fastscp in the same words, for the same objects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set, element
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, Server, StorescpServer, wait_until

pytestmark = pytest.mark.oracle


def warnings(server: Server) -> Counter[str]:
    return Counter(line for line in server.log().decode("latin-1").splitlines() if line.startswith("W: "))


def send(server: Server, uid: str, data: bytes, *, calling: str = "RAWSCU", called: str = "ANY-SCP") -> None:
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT, calling=calling, called=called)
        assert scu.store(1, CT, uid, data) == 0
        scu.release()


def both(tmp_path: Path, options: list[str]) -> tuple[Server, Server]:
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
    return StorescpServer(["-od", tmp_path / "theirs", *options]), FastscpServer(["-od", tmp_path / "ours", *options])


@pytest.mark.parametrize("options", [[], ["-su", "P"], ["-tn"], ["+uf"], ["--ignore"]])
def test_uids_in_names(tmp_path: Path, options: list[str]) -> None:
    told = []
    for server in both(tmp_path, options):
        with server:
            for number, character in enumerate("/*\"'~:@-_$"):
                send(server, f"1.{number}{character}3", data_set(f"1.{number}{character}3", study=f"1.2{character}{number}"))
            told.append(warnings(server))
    assert told[0] == told[1]


@pytest.mark.parametrize(("charset", "patient"), [
    (b"", b"A^B"), (b"", b"\xc4^B"), (b"ISO_IR 100", b"\xc4^B"), (b"ISO_IR 192", b"A^B"), (b"ISO_IR 192", b"\xc3\x84^B"),
    (b"ISO_IR 144", b"\xb6"), (b"\\ISO 2022 IR 100", b"\xc4"), (b"ISO_IR 101", b"A\\\xc4"),
])
def test_names_of_patients(tmp_path: Path, charset: bytes, patient: bytes) -> None:
    told = []
    data = element(0x00080005, b"CS", charset) * bool(charset) + data_set("1.2", patient=patient.decode("latin-1"))
    for server in both(tmp_path, ["-sp"]):
        with server:
            send(server, "1.2", data)
            told.append(warnings(server))
    assert told[0] == told[1]


def test_titles_in_placeholders(tmp_path: Path) -> None:
    """3.6.7 has only a backquote replaced, and only in end-of-study hooks; ours replaces more, in every hook."""
    command = "printf '%s %s.' #a #c"
    told, printed = [], []
    for server in both(tmp_path, ["-su", "P", "-tos", "1", "-xcs", command]):
        with server:
            send(server, "1.2", data_set("1.2"), calling="A`B", called="`C`")
            wait_until(lambda server=server: server.output(), "the hook ran")
            told.append(warnings(server))
            printed.append(server.output())
    assert told[0] == told[1]
    assert len(told[0]) == 2
    assert printed == [b"A_B _C_."] * 2


@pytest.mark.parametrize(("options", "count"), [(["-xcr", "true"], 2), (["-su", "P", "-xcs", "true"], 2), ([], 0),
                                                (["-su", "P"], 0)])
def test_titles_are_told_once_for_each_association_that_has_hooks(tmp_path: Path, options: list[str], count: int) -> None:
    with FastscpServer(["-od", tmp_path, *options]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.associate(CT_CONTEXT, calling="A$B", called="C;D")
            for uid in ("1.2", "1.3"):
                assert scu.store(1, CT, uid, data_set(uid)) == 0
            scu.release()
        wait_until(lambda: sum(warnings(server).values()) == count, "titles told")
        told = warnings(server)
    calling = 'W: Sanitized unusual characters in calling aetitle, converted from "A$B" to "A_B".'
    assert told[calling] == bool(count)
