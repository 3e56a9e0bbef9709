from __future__ import annotations

import pytest

from fastscp.study import events, variables
from fastscp.study.commands import Commands, names_peer
from fastscp.study.policy import HookPolicy
from fastscp.study.variables import reductions
from tests.support import said


def opened(host: str) -> dict[str, object]:
    return {**said.opened("a", peer="10.0.0.9"), "peer_host": host}


def test_call_with_a_name_that_is_still_to_come_says_whose_it_is() -> None:
    call = variables.reception(opened(""), said.stored(1, "1.2", "/d"))
    assert (call["host_of"], call["values"]["r"], call["environment"]["FASTSCP_PEER"]) == ("10.0.0.9", "10.0.0.9", "10.0.0.9")
    named = variables.with_host_name(call, "pacs.example$")
    assert (named["values"]["r"], named["environment"]["FASTSCP_PEER"]) == ("pacs.example_", "pacs.example_")
    assert "host_of" not in named
    assert named["environment"]["FASTSCP_PEER_ADDRESS"] == "10.0.0.9"
    assert call["values"]["r"] == "10.0.0.9"


def test_call_with_a_name_or_of_nobody_waits_for_none() -> None:
    assert "host_of" not in variables.end_of_series(opened("pacs.example"), "/d", "1.2", "1.3")
    assert "host_of" not in variables.end_of_series(variables.NOBODY, "/d", "1.2", "1.3")


def test_events_show_the_address_until_there_is_a_name() -> None:
    assert events.caller(opened(""))["peer_host"] == "10.0.0.9"
    assert events.caller(opened("pacs.example"))["peer_host"] == "pacs.example"


def test_commands_that_want_the_name_of_the_peer() -> None:
    wanted = ["echo #r", "x'#r'", 'echo "$FASTSCP_PEER"', "echo ${FASTSCP_PEER}"]
    assert all(map(names_peer, wanted))
    assert not any(map(names_peer, [None, "echo #p", 'echo "$FASTSCP_PEER_ADDRESS"', "echo MYFASTSCP_PEER"]))
    commands = Commands(HookPolicy(on_reception="echo #r", on_end_of_study="true"))
    assert [commands.names_peer(kind) for kind in ("reception", "study", "series")] == [True, False, False]


def called_by(calling: str = "A", called: str = "B", host: str = "ct1.example", peer: str = "192.0.2.1") -> dict[str, object]:
    return {"calling_aet": calling, "called_aet": called, "peer_host": host, "peer": peer, "port": 1}


@pytest.mark.parametrize(("packet", "reduced"), [
    (called_by(), []), (called_by(" A b-1.2:3@_ "), []), (called_by(host="", peer="fe80::1"), []),
    (called_by("A`B "), [("calling aetitle", "A`B", "A_B")]),
    (called_by(called="$B"), [("called aetitle", "$B", "_B")]),
    (called_by("\xc4", "\n", "a/b"), [("calling aetitle", "\xc4", "_"), ("called aetitle", "\n", "_"),
                                  ("calling presentation address", "a/b", "a_b")]),
])
def test_reductions(packet: dict[str, object], reduced: list[tuple[str, str, str]]) -> None:
    assert list(reductions(packet)) == reduced
