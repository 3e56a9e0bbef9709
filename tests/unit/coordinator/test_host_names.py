from __future__ import annotations

from fastscp.coordinator import host_names
from fastscp.coordinator.host_names import PATIENCE_S, HostNames
from tests.support.fakes import FakeLoop


def test_name_is_known_from_when_it_is_heard() -> None:
    loop = FakeLoop()
    names = HostNames(loop)
    assert names.get("10.0.0.9") is None
    called: list[int] = []
    names.when_known("10.0.0.9", lambda: called.append(1))
    names.when_known("10.0.0.9", lambda: called.append(2))
    assert loop.timers == 1
    names.heard("10.0.0.8", "other")
    assert called == []
    names.heard("10.0.0.9", "pacs")
    assert called == [1, 2]
    assert names.get("10.0.0.9") == "pacs"
    assert loop.timers == 0


def test_name_that_does_not_come_is_none() -> None:
    loop = FakeLoop()
    names = HostNames(loop)
    called: list[int] = []
    names.when_known("10.0.0.9", lambda: called.append(1))
    loop.advance(PATIENCE_S)
    assert called == [1]
    assert names.get("10.0.0.9") == ""
    names.heard("10.0.0.9", "late")
    assert (called, names.get("10.0.0.9")) == ([1], "late")


def test_so_many_names_are_kept_and_no_more(monkeypatch) -> None:
    monkeypatch.setattr(host_names, "_MOST_KEPT", 2)
    names = HostNames(FakeLoop())
    for address in ("a", "b", "a", "c"):
        names.heard(address, address.upper())
    assert [names.get(address) for address in ("a", "b", "c")] == ["A", None, "C"]
