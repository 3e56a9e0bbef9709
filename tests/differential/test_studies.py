"""Studies and hooks beside the real storescp, associations one after another: names, renames, calls, order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import Aborted, RawSCU
from tests.support.servers import FastscpServer, Server, StorescpServer, wait_until

pytestmark = pytest.mark.oracle

_TIMED = re.compile(r"([^/\[\]]*)([0-9]{8}_[0-9]{9})")
#: objects that take more than a millisecond, so that no two directories of storescp get the same time
_PIXELS = 400_000


@dataclass(frozen=True)
class Sent:
    """One object: its study, its number, who it is of."""

    study: str
    number: int
    patient: str = "Doe^John"


@dataclass
class Outcome:
    statuses: list[int | str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)


def send(server: Server, associations: Sequence[tuple[str, Sequence[Sent]]]) -> list[int | str]:
    statuses: list[int | str] = []
    for calling, objects in associations:
        try:
            with RawSCU("127.0.0.1", server.port) as scu:
                scu.associate(CT_CONTEXT, calling=calling)
                for sent in objects:
                    instance = f"1.2.4.{sent.number}"
                    octets = data_set(instance, study=sent.study, patient=sent.patient, pixels=_PIXELS)
                    statuses.append(scu.store(1, CT, instance, octets))
                scu.release()
        except (Aborted, ConnectionError):
            statuses.append("aborted")
    return statuses


def run(kind: type[Server], place: Path, options: str, associations: Sequence[tuple[str, Sequence[Sent]]],
        calls_expected: int) -> Outcome:
    """Run one server; times in names that are else the same are numbered."""
    place.mkdir()
    (place / "out").mkdir()
    (place / "script").write_text('#!/bin/sh\nprintf "[%s]" "$@" >>calls\necho >>calls\n')
    (place / "script").chmod(0o755)
    calls = place / "calls"

    def lines() -> list[str]:
        text = calls.read_text() if calls.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    outcome = Outcome()
    with kind([*shlex.split(options), "-dhl", "-xs", "--single-process"], cwd=place) as server:
        outcome.statuses = send(server, associations)
        wait_until(lambda: len(lines()) >= calls_expected, f"{calls_expected} calls, not {lines()}")
        outcome.calls = lines()
        outcome.files = sorted(str(path.relative_to(place)) for path in (place / "out").rglob("*")
                               if not any(part.startswith(".") for part in path.relative_to(place).parts))
        server.kill()  # storescp ends no study at its end
    times: dict[str, list[str]] = {}
    # in the order of the calls: storescp's milliseconds can lag behind its seconds
    for prefix, time in dict.fromkeys(_TIMED.findall("\n".join(outcome.calls + outcome.files))):
        times.setdefault(prefix, []).append(time)

    def numbered(texts: list[str]) -> list[str]:
        return [_TIMED.sub(lambda match: f"{match[1]}TIME{times[match[1]].index(match[2]) + 1}", text) for text in texts]

    outcome.files, outcome.calls = sorted(numbered(outcome.files)), numbered(outcome.calls)
    return outcome


A = [Sent("1.2.3.1", 1), Sent("1.2.3.1", 2), Sent("1.2.3.1", 3)]
B = [Sent("1.2.3.2", 4, "B\xe4r^\xc6sop"), Sent("1.2.3.2", 5, "B\xe4r^\xc6sop")]
C = [Sent("1.2.3.3", 6, "")]
RETURN = [Sent("1.2.3.1", 7)]
ONE_BY_ONE = [("FIRST", A), ("SECOND", B), ("THIRD", C)]
TOGETHER = [("FIRST", [*A, *B, *C])]
SPLIT = [("FIRST", A[:1]), ("FIRST", A[1:]), ("SECOND", B)]
COMING_BACK = [("FIRST", [*A, *B, *RETURN]), ("SECOND", C)]


@pytest.mark.parametrize("associations", [TOGETHER, SPLIT, COMING_BACK], ids=["together", "split", "coming back"])
@pytest.mark.parametrize("options", [
    "-od out -ss P", "-od ./out/ -ss ''", "-od out -ss 'a b'", "-od out// -su P", "-od out -su ''", "-od out -sp",
    "-od out -sp -fe .dcm", "-od out -su P -tn -rns", "-od out -ss P -rns", "-od out -sp -rns +uf",
])
def test_directories_renames_and_reception_hooks(
        tmp_path: Path, options: str, associations: Sequence[tuple[str, Sequence[Sent]]]) -> None:
    if "-su P -tn -rns" in options and associations is COMING_BACK:
        # storescp overwrites renamed files here; ours goes on after the highest number
        associations = [("FIRST", [*A, *B]), ("SECOND", C)]
    # unique and time names differ by nature, and -tn of storescp has its own serial numbers
    command = './script "#p" #a "#c" #r' + ("" if "+uf" in options or "-tn" in options else " #f")
    full = f"{options} -xcr {shlex.quote(command)}"
    count = sum(len(objects) for _, objects in associations)
    ours = run(FastscpServer, tmp_path / "ours", full, associations, count)
    theirs = run(StorescpServer, tmp_path / "theirs", full, associations, count)
    for outcome in (ours, theirs):
        outcome.files = [re.sub(r"CT\.X\.[0-9.]+|[0-9]{17}(_[0-9]{4})?\.CT", "NAME", name) for name in outcome.files]
    assert ours == theirs


@pytest.mark.parametrize("options", ["-ss P", "-su P", "-sp", "-ss P -rns", "-su P -rns", "-ss P -tos 1"])
def test_end_of_study_hooks_in_storescp_s_order(tmp_path: Path, options: str) -> None:
    """All objects on one association: whose titles the end-of-study hook gets is the same in both."""
    full = f"-od out {options} -xcr './script R \"#p\" #f' -xcs './script S #p #a #c #r'"
    calls = 6 + (3 if "-tos" in options else 2)
    ours = run(FastscpServer, tmp_path / "ours", full, TOGETHER, calls)
    theirs = run(StorescpServer, tmp_path / "theirs", full, TOGETHER, calls)
    assert ours == theirs
    assert [call[1] for call in ours.calls] == list("RRRRSRRSS" if "-tos" in options else "RRRRSRRS")


UIDS = ["1.2.3", "a/b c", " 1.5 ", "a\nb;$(id)", "_", "x" * 64, "1.2\\3.4"]


# without a prefix storescp 3.6.7 takes . and .. as directories; newer ones refuse them, and so do we
@pytest.mark.parametrize(("prefix", "uid"), [*(("P", uid) for uid in [*UIDS, ".", ".."]), *(("", uid) for uid in UIDS)])
def test_study_uid_directories(tmp_path: Path, uid: str, prefix: str) -> None:
    options = f"-od out -su '{prefix}' -xcr './script \"#p\" \"#f\"'"
    objects = [("FIRST", [Sent(uid, 1)])]
    ours = run(FastscpServer, tmp_path / "ours", options, objects, 1)
    assert ours == run(StorescpServer, tmp_path / "theirs", options, objects, 1)
    assert ours.statuses == [0]


@pytest.mark.parametrize("first", range(0x20, 0x100, 16))
def test_every_octet_of_a_patient_s_name(tmp_path: Path, first: int) -> None:
    patient = "".join(f"x{chr(code)}" for code in range(first, first + 16) if chr(code) != "\\") + "x"
    objects = [("FIRST", [Sent("1.2.3", 1, patient)])]
    ours = run(FastscpServer, tmp_path / "ours", "-od out -sp", objects, 0)
    assert ours == run(StorescpServer, tmp_path / "theirs", "-od out -sp", objects, 0)
    assert len(ours.files) == 2


@pytest.mark.parametrize("patient", ["", "   ", " Doe", "Doe  ", "A\\B", "A=B=C", "^^", "_"])
def test_patient_s_names(tmp_path: Path, patient: str) -> None:
    objects = [("FIRST", [Sent("1.2.3", 1, patient)])]
    ours = run(FastscpServer, tmp_path / "ours", "-od out -sp", objects, 0)
    assert ours == run(StorescpServer, tmp_path / "theirs", "-od out -sp", objects, 0)


def test_hooks_of_ignored_objects(tmp_path: Path) -> None:
    options = "-od out -su P --ignore -xcr './script \"#p\" \"#f\" #a #c' -xcs './script S'"
    ours = run(FastscpServer, tmp_path / "ours", options, TOGETHER, 6)
    assert ours == run(StorescpServer, tmp_path / "theirs", options, TOGETHER, 6)
    assert ours.calls == ["[#p][#f][FIRST][ANY-SCP]"] * 6
    assert ours.files == []
