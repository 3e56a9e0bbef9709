"""What a drain lets go on."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer


def message(uid: str, message_id: int) -> bytes:
    return p_data(pdv(1, 3, c_store_rq(CT, uid, message_id))) + p_data(pdv(1, 2, data_set(uid)))


def test_sender_that_waits_for_a_hook_is_not_idle(tmp_path: Path) -> None:
    """The hook of the first object takes longer than an idle association may; the second is stored after it."""
    with FastscpServer(["--workers", "1", "-xs", "-xcr", "sleep 2", "-od", tmp_path]) as server:
        scu = RawSCU("127.0.0.1", server.port)
        scu.associate(CT_CONTEXT)
        scu.send(message("1.2.3", 1))
        assert scu.read_status() == 0
        scu.send(message("1.2.4", 2))
        server.signal(signal.SIGTERM)
        assert scu.read_status() == 0
        scu.close()
        assert server.stop() == 0
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("CT")) == ["CT.1.2.3", "CT.1.2.4"]
