"""What hooks are told of texts of a peer."""

from __future__ import annotations

import pytest

from fastscp.study.variables import reductions


def opened(calling: str = "A", called: str = "B", host: str = "ct1.example", peer: str = "192.0.2.1") -> dict[str, object]:
    return {"calling_aet": calling, "called_aet": called, "peer_host": host, "peer": peer, "port": 1}


@pytest.mark.parametrize(("packet", "reduced"), [
    (opened(), []), (opened(" A b-1.2:3@_ "), []), (opened(host="", peer="fe80::1"), []),
    (opened("A`B "), [("calling aetitle", "A`B", "A_B")]),
    (opened(called="$B"), [("called aetitle", "$B", "_B")]),
    (opened("\xc4", "\n", "a/b"), [("calling aetitle", "\xc4", "_"), ("called aetitle", "\n", "_"),
                                  ("calling presentation address", "a/b", "a_b")]),
])
def test_reductions(packet: dict[str, object], reduced: list[tuple[str, str, str]]) -> None:
    assert list(reductions(packet)) == reduced
