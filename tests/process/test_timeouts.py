"""What each time limit is for: -ts for any silence, -td for a message that was begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer

A_ABORT = 7


def test_idle_association_is_ended_by_the_socket_timeout(tmp_path: Path) -> None:
    with FastscpServer(["-ts", "1", "-od", tmp_path]) as server:
        scu = RawSCU("127.0.0.1", server.port)
        scu.associate(CT_CONTEXT)
        assert scu.read_pdu()[0] == A_ABORT
        scu.close()


def test_idle_peer_does_not_hold_up_a_single_process_for_ever(tmp_path: Path) -> None:
    with FastscpServer(["--single-process", "-ts", "1", "-od", tmp_path]) as server:
        silent, other = RawSCU("127.0.0.1", server.port), RawSCU("127.0.0.1", server.port)
        silent.associate(CT_CONTEXT)
        other.associate(CT_CONTEXT)  # is answered as soon as the silent one has been ended
        assert other.store(1, CT, "1.2.3", data_set("1.2.3")) == 0
        assert silent.read_pdu()[0] == A_ABORT


def test_idle_association_outlives_the_dimse_timeout(tmp_path: Path) -> None:
    """Two associations with the same limit: the one inside a message is ended, the idle one is not."""
    with FastscpServer(["--workers", "1", "-td", "1", "-od", tmp_path]) as server:
        idle, stalled = RawSCU("127.0.0.1", server.port), RawSCU("127.0.0.1", server.port)
        idle.associate(CT_CONTEXT)
        stalled.associate(CT_CONTEXT)
        stalled.send(p_data(pdv(1, 3, c_store_rq(CT, "1.2.4"))))
        assert stalled.read_pdu()[0] == A_ABORT
        assert idle.store(1, CT, "1.2.3", data_set("1.2.3")) == 0
        idle.sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            idle.read_pdu()
