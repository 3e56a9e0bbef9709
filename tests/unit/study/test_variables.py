from __future__ import annotations

from fastscp.study import events, variables
from fastscp.study.commands import Commands, names_peer
from fastscp.study.policy import HookPolicy
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
