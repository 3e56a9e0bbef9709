"""Every metric of the service, as data. Docs, memory and exposition follow from this table.

Names are those of Prometheus: base units, ``_total`` for what only grows. No UID, path or number of an association is a
label, since each of their values would be a series for ever; titles are limited in number (``TITLES``).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """How values of several processes become one, and what a death does to them."""

    COUNTER = "counter"  #: added up, of the dead as well
    GAUGE = "gauge"  #: added up, of the living
    HISTOGRAM = "histogram"  #: as a counter


@dataclass(frozen=True)
class Metric:
    """One metric; ``name`` of a counter is without ``_total``. Histograms have ``bounds``, a last one is infinite."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """Numbers that one series takes: of a histogram one for each bound, one beyond the last, and the sum."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1

    @property
    def exposed(self) -> str:
        """The name as it is served."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


OTHER = "other"  #: stands for every value of a label beyond those that are told apart
TITLES = 256  #: application entity titles that are told apart in one service

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, text, labels)


# -- told by the acceptor process
RECEIVING = _gauge("fastscp_receiving", "1 while connections are accepted or wait for a free place, 0 while the service starts or stops")
DRAINING = _gauge("fastscp_draining", "1 while the service stops and lets associations end")
CONNECTIONS_ACCEPTED = _counter("fastscp_connections_accepted", "Connections accepted")
CONNECTIONS_REFUSED = _counter("fastscp_connections_refused", "Connections closed before anything was read from them", "reason")
CONNECTIONS_WAITING = _gauge("fastscp_connections_waiting", "Accepted connections that no worker has taken yet")
WORKERS_WANTED = _gauge("fastscp_workers_wanted", "Worker processes there are to be")
WORKERS_UP = _gauge("fastscp_workers_up", "Worker processes that take connections")
PROCESS_STARTS = _counter("fastscp_process_starts", "Processes started", "process")
PROCESS_RESTARTS = _counter("fastscp_process_restarts", "Processes that ended by themselves and were replaced", "process")

# -- told by workers
ASSOCIATIONS_OPEN = _gauge("fastscp_associations_open", "Associations that are open")
ASSOCIATIONS_ACCEPTED = _counter("fastscp_associations_accepted", "Associations accepted")
ASSOCIATIONS_REJECTED = _counter("fastscp_associations_rejected", "Associations rejected (A-ASSOCIATE-RJ), by its reason", "reason")
ASSOCIATIONS_ENDED = _counter("fastscp_associations_ended", "Associations that ended: released, aborted or failed", "how")
ASSOCIATION_SECONDS = Metric("fastscp_association_duration_seconds", Kind.HISTOGRAM, "Time from the acceptance of an association to its end",
                             bounds=_LONG)
OBJECTS = _counter("fastscp_objects", "C-STORE requests that came to an end; status 0000 and Bxxx: stored; empty: cut off without an answer",
                   "sop_class", "transfer_syntax", "status", "sender")
OBJECT_BYTES = _counter("fastscp_object_bytes", "Octets of the files of stored objects", "sop_class", "transfer_syntax", "sender")
OBJECT_SECONDS = Metric("fastscp_object_duration_seconds", Kind.HISTOGRAM, "Time from a C-STORE request to its answer", bounds=_SHORT)
TITLE_OBJECTS = _counter("fastscp_title_objects", "C-STORE requests that came to an end, by the title of the sender (of the first titles only)",
                         "calling_aet", "outcome")
QUARANTINED = _counter("fastscp_objects_quarantined", "Objects that were kept in the quarantine")
REPORTS_WAITING = _gauge("fastscp_reports_waiting", "What workers have to tell the coordinator that is not acknowledged yet")

# -- told by the coordinator
STUDIES_OPEN = _gauge("fastscp_studies_open", "Studies that are open")
STUDIES_COMPLETED = _counter("fastscp_studies_completed", "Studies that ended, by reason", "reason")
HOOKS_QUEUED = _gauge("fastscp_hooks_queued", "Tasks that are not done: hooks that wait or run, and studies to be finished")
HOOKS_RUNNING = _gauge("fastscp_hooks_running", "Hooks that run")
HOOKS_STARTED = _counter("fastscp_hooks_started", "Hooks started", "hook")
HOOKS_ENDED = _counter("fastscp_hooks_ended", "Hooks that ended, by exit status; negative: the signal that ended it", "hook", "status")
HOOK_SECONDS = Metric("fastscp_hook_duration_seconds", Kind.HISTOGRAM, "Time that a hook ran", ("hook",), bounds=_LONG)
EVENTS_WAITING = _gauge("fastscp_event_log_waiting_bytes", "Octets of events that the destination of the event log has not taken")
EVENTS_DROPPED = _counter("fastscp_event_log_dropped", "Events that were dropped because the destination took nothing")
FLEET_AWAY = _gauge("fastscp_fleet_database_away", "1 while the database of the fleet cannot be reached, else 0")
FLEET_WAITING = _gauge("fastscp_fleet_entries_waiting", "Entries of the journal that the database of the fleet does not have yet")
STORE_AWAY = _gauge("fastscp_object_store_away", "1 while the object store cannot be reached, else 0")
STORE_WAITING = _gauge("fastscp_object_store_waiting", "Objects that the object store does not have yet")
STORE_WAITING_BYTES = _gauge("fastscp_object_store_waiting_bytes", "Octets of the objects that the object store does not have yet")
STORE_UNREADABLE = _gauge("fastscp_object_store_unreadable", "Objects whose files cannot be read to be uploaded")
STORE_OBJECTS = _counter("fastscp_object_store_objects", "Objects that the object store has confirmed")
STORE_BYTES = _counter("fastscp_object_store_bytes", "Octets of the objects that the object store has confirmed")
STORE_REMOVED = _counter("fastscp_object_store_removed", "Files that were removed because the object store has them")

# -- found out by the monitor
CPU_SECONDS = _counter("fastscp_process_cpu_seconds", "CPU time, by kind of process", "process")
MEMORY = _gauge("fastscp_process_resident_memory_bytes", "Resident memory, by kind of process", "process")
DESCRIPTORS = _gauge("fastscp_process_open_fds", "Open descriptors, by kind of process", "process")
PROCESSES = _gauge("fastscp_processes", "Living processes, by kind", "process")
DISK_FREE = _gauge("fastscp_disk_free_bytes", "Octets free for this service on the file system of a directory", "directory")
DISK_SIZE = _gauge("fastscp_disk_size_bytes", "Octets of the file system of a directory", "directory")
INODES_FREE = _gauge("fastscp_disk_free_inodes", "Inodes free on the file system of a directory", "directory")
STATE_BYTES = _gauge("fastscp_state_bytes", "Octets of the files in the state directory")
BUILD = _gauge("fastscp_build_info", "Always 1; what runs", "version", "python", "core")
STARTED = _gauge("fastscp_start_time_seconds", "When the acceptor process started, seconds since 1970")
UNCOUNTED = _counter("fastscp_metrics_uncounted", "Counts that found no room for their series")

METRICS = (
    RECEIVING, DRAINING, CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED, CONNECTIONS_WAITING, WORKERS_WANTED, WORKERS_UP,
    PROCESS_STARTS, PROCESS_RESTARTS, ASSOCIATIONS_OPEN, ASSOCIATIONS_ACCEPTED, ASSOCIATIONS_REJECTED, ASSOCIATIONS_ENDED,
    ASSOCIATION_SECONDS, OBJECTS, OBJECT_BYTES, OBJECT_SECONDS, TITLE_OBJECTS, QUARANTINED, REPORTS_WAITING, STUDIES_OPEN,
    STUDIES_COMPLETED, HOOKS_QUEUED, HOOKS_RUNNING, HOOKS_STARTED, HOOKS_ENDED, HOOK_SECONDS, EVENTS_WAITING, EVENTS_DROPPED,
    FLEET_AWAY, FLEET_WAITING, STORE_AWAY, STORE_WAITING, STORE_WAITING_BYTES, STORE_UNREADABLE, STORE_OBJECTS, STORE_BYTES, STORE_REMOVED,
    CPU_SECONDS, MEMORY, DESCRIPTORS, PROCESSES, DISK_FREE, DISK_SIZE, INODES_FREE, STATE_BYTES, BUILD, STARTED, UNCOUNTED,
)
BY_NAME = {metric.name: metric for metric in METRICS}
