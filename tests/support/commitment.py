"""A requestor of storage commitment: pynetdicom as SCU, told on its association or on one that it accepts."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import RawSCU
from tests.support.servers import DEADLINE_S, free_port

CLASS, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
SYNTAXES = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]


class Told:
    """An N-EVENT-REPORT."""

    def __init__(self, event: Any) -> None:
        information = event.event_information
        self.type = event.event_type
        self.transaction = str(information.TransactionUID)
        self.committed = sorted(str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence", ()))
        self.failed = {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in information.get("FailedSOPSequence", ())}


class Requestor:
    """``told`` gets what it is told. ``answers`` is the status of its answers."""

    def __init__(self, title: str = "MODALITY") -> None:
        self.title = title
        self.port = free_port()
        self.told: queue.Queue[Told] = queue.Queue()
        self.answers = 0x0000
        self._server: Any = None

    @property
    def peer(self) -> str:
        """What ``--commitment-peer`` is given."""
        return f"{self.title}=127.0.0.1:{self.port}"

    def _on_report(self, event: Any) -> tuple[int, None]:
        self.told.put(Told(event))
        return self.answers, None

    def listen(self, **options: Any) -> None:
        """Be there for associations of the committing side."""
        entity = AE(self.title)
        entity.add_supported_context(CLASS, SYNTAXES, scu_role=False, scp_role=True)
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on_report)],
                                           **options)

    def leave(self) -> None:
        """Be there no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def associate(self, port: int, syntax: str | None = None) -> Any:
        """Open an association for requests."""
        entity = AE(self.title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = DEADLINE_S
        entity.add_requested_context(CLASS, [syntax] if syntax else SYNTAXES)
        association = entity.associate("127.0.0.1", port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on_report)])
        assert association.is_established
        return association

    def ask(self, association: Any, instances: Iterable[str], sop_class: str = CT, **changes: Any) -> tuple[int, str]:
        """Request commitment; return the status and the transaction."""
        request = Dataset()
        request.TransactionUID = generate_uid()
        request.ReferencedSOPSequence = []
        for uid in instances:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            request.ReferencedSOPSequence.append(item)
        for name in changes.pop("without", ()):
            delattr(request, name)
        status, _ = association.send_n_action(request, changes.get("action", 1), changes.get("requested_class", CLASS),
                                              changes.get("requested_instance", INSTANCE), meta_uid=CLASS)
        return int(status.Status), str(request.get("TransactionUID", ""))

    def hear(self) -> Told:
        """Return the next report."""
        return self.told.get(timeout=DEADLINE_S)


def store(port: int, count: int = 1) -> list[str]:
    """Store some objects; return their UIDs."""
    uids = [fresh_uid() for _ in range(count)]
    with RawSCU("127.0.0.1", port) as scu:
        scu.associate(CT_CONTEXT)
        for uid in uids:
            assert scu.store(1, CT, uid, data_set(uid)) == 0
    return uids
