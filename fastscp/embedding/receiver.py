"""``fastscp.Receiver``: the service as an object.

Strategy: the service runs in processes of its own, which a fresh interpreter begins with (``fastscp.embedding.program``). This program keeps a
socket to it, by which it learns when the service is ready, and by whose end the service learns that this program is gone; a
second socket brings the events that callbacks are called for (``fastscp.embedding.delivery``).

Invariants: whatever is wrong with an option is raised before anything is started; the service outlives this program only to finish what is
under way; nothing here is on the way of an object.
What it does not do: receive.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from fastscp.cli import keywords
from fastscp.cli.build import log_policy
from fastscp.cli.check import check
from fastscp.cli.load import complain, configuration, load
from fastscp.cli.parse import CommandLine
from fastscp.embedding import start
from fastscp.embedding.delivery import Callbacks, Delivery
from fastscp.embedding.records import CompletedStudy, Refusal, StoredObject
from fastscp.errors import ProcessError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from fastscp.embedding.options import ReceiverOptions

_log = logging.getLogger("fastscp")

_LAST_PORT = 65535
_LOOK_S = 0.2
_VERBOSE = frozenset({"info", "debug", "trace"})  #: levels that show what happens per association
#: the program of the service: it finds its modules where this one does
_PROGRAM = "import sys; sys.path[:] = sys.argv.pop().split(chr(10)); from fastscp.embedding.program import main; sys.exit(main(int(sys.argv.pop())))"


class Receiver:
    """Receives DICOM objects in processes of its own, and tells callbacks of them.

    ::

        with Receiver(port=11112, output_directory="in", sort_on_study_uid="st", on_study=print) as receiver:
            ...                                                       # receives meanwhile
        Receiver(port=11112, output_directory="in").run()             # receives until it is told to stop

    ``port`` 0 is any that is free. ``options`` are those of the command line (``ReceiverOptions``). ``on_object``, ``on_study`` and
    ``on_refused`` are called in this process, one at a time: by ``run`` in the thread that called it, else in one thread
    of the receiver's own. Raises TypeError for unknown options and values of another type, ValueError for values that are not
    allowed and options that do not go together.
    """

    def __init__(self, *, port: int | None = None, on_object: Callable[[StoredObject], object] | None = None,
                 on_study: Callable[[CompletedStudy], object] | None = None,
                 on_refused: Callable[[Refusal], object] | None = None, **options: Unpack[ReceiverOptions]) -> None:
        self._callbacks = Callbacks(on_object, on_study, on_refused)
        for name, callback in (("on_object", on_object), ("on_study", on_study), ("on_refused", on_refused)):
            if callback is not None and not callable(callback):
                raise TypeError(f"{name}: something that can be called is wanted, not {type(callback).__name__}")
        given = keywords.given(options)
        self._start = start.Start(tuple((one.option.long, one.values) for one in given.occurrences), tuple(sorted(given.without)),
                                  _port_text(port), None, tuple(sorted(self._callbacks.kinds)))
        _check(self._start.line())
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._delivery: Delivery | None = None
        self._stopping = False
        self._ended = threading.Event()

    # -- what there is ----------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that is listened on. Raises RuntimeError before the start."""
        if not self._port:
            raise RuntimeError("the receiver was not started: it has no port yet")
        return self._port

    @property
    def pid(self) -> int:
        """Process that the service began with: the one to signal. Raises RuntimeError before the start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the service was started and has not ended."""
        return self._process is not None and not self._ended.is_set()

    @property
    def dropped(self) -> int:
        """How many events callbacks were not told of, because they were too slow."""
        return 0 if self._delivery is None else self._delivery.dropped

    # -- serving ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Receive until ``stop`` is called, or, in the main thread, SIGINT or SIGTERM arrives: then drain and return.

        Raises ProcessError when the service could not start, or ended by a fault.
        """
        self._launch()
        with self._signals():
            try:
                self._to_the_end()
            except BaseException:
                self._ask(signal.SIGTERM)
                self._wait()
                raise
        self._check_end()

    def start(self) -> None:
        """Receive from now on; return as soon as somebody can connect. Raises ProcessError when that could not begin."""
        self._launch()
        threading.Thread(target=self._to_the_end, name="fastscp-callbacks", daemon=True).start()

    def stop(self, *, at_once: bool = False) -> None:
        """End: take no more connections, wait for open associations (``drain_timeout``), hooks and callbacks.

        With ``at_once`` associations are aborted; what was acknowledged is stored, and hooks that have not ended run at the next
        start. Called by a callback, it asks for the end and does not wait. Raises ProcessError when the service ended by a fault.
        """
        self._started()
        self._ask(signal.SIGTERM)
        if at_once:
            self._signal(signal.SIGINT)  # the second one, told apart from the first
        if self._delivery is None or self._delivery.thread != threading.get_ident():
            self._ended.wait()
            self._check_end()

    def reload(self) -> None:
        """Read the configuration file, access rules and certificates again, as at SIGHUP."""
        self._started()
        self._signal(signal.SIGHUP)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is None:
            self.stop()
            return
        try:
            self.stop()
        except ProcessError as fault:  # what happened in the block is what is to be seen
            _log.error("%s", fault)

    # -- the process ------------------------------------------------------------------------------

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the receiver was not started")
        return self._process

    def _launch(self) -> None:
        """Start the service, and wait until it serves."""
        if self._process is not None:
            raise RuntimeError("a receiver is started once: make another")
        ours, theirs = socket.socketpair()
        events, their_events = socket.socketpair() if self._start.kinds else (None, None)
        try:
            with theirs, their_events or contextlib.nullcontext():
                self._process = _execute(theirs, their_events)
                self._control = ours
                ours.sendall(start.encode(replace(self._start, events=None if their_events is None else their_events.fileno())))
            self._port = _answer(ours, self._process)
        except BaseException:
            self._give_up(ours, events)
            raise
        if events is not None:
            self._delivery = Delivery(events, self._callbacks)

    def _give_up(self, *channels: socket.socket | None) -> None:
        for channel in channels:
            if channel is not None:
                channel.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._ended.set()

    def _to_the_end(self) -> None:
        """Call back until the service has ended."""
        if self._delivery is not None:
            self._delivery.run()
        self._wait()

    def _wait(self) -> None:
        self._started().wait()
        if self._control is not None:
            self._control.close()
        self._ended.set()

    def _ask(self, number: signal.Signals) -> None:
        """Have it drain: it is asked once, however often this is called."""
        if not self._stopping:
            self._stopping = True
            if self._delivery is not None:
                self._delivery.take_all()
            self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        self._started().send_signal(number)  # does nothing when it has ended

    def _check_end(self) -> None:
        status = self._started().returncode
        if status:
            raise ProcessError(f"the service ended with status {status}: its log says why")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Drain at the first signal, end at once at the second; only the main thread can have handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(_number: int, _frame: FrameType | None) -> None:
            if self._stopping:
                self._signal(signal.SIGINT)
            self._ask(signal.SIGTERM)

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _port_text(port: object) -> str | None:
    if port is None:
        return None
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"port: an int is wanted, not {type(port).__name__}")
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"port: {port} is not between 0 and {_LAST_PORT}")
    return str(port)


def _check(given: CommandLine) -> None:
    """Do everything that a start does before it begins. Raises ValueError, and TypeError where there is no port."""
    try:
        loaded = load(given)
        if not loaded.line.parameters:
            raise TypeError("port: it is missing")
        verbose = loaded.line.has("--log-config") or log_policy(loaded.line).level in _VERBOSE
        check(loaded.line, verbose=verbose)
        complain(configuration(loaded, verbose=verbose), loaded)
    except UsageError as error:
        raise ValueError(keywords.spoken(str(error))) from error


def _execute(control: socket.socket, events: socket.socket | None) -> subprocess.Popen[bytes]:
    """Execute the program of the service in a session of its own: what a terminal sends is for this program."""
    passed = [channel.fileno() for channel in (control, events) if channel is not None]
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM, str(control.fileno()), "\n".join(map(os.path.abspath, sys.path))],
        pass_fds=passed, stdin=subprocess.DEVNULL, start_new_session=True)


def _answer(channel: socket.socket, process: subprocess.Popen[bytes]) -> int:
    """Return the port as soon as the service listens. Raises ProcessError when it does not."""
    while not select.select([channel], [], [], _LOOK_S)[0]:
        if process.poll() is not None and not select.select([channel], [], [], 0)[0]:
            raise ProcessError("the service did not start: its log says why")
    try:
        answer: dict[str, Any] = json.loads(start.read_line(channel))
    except (ProcessError, ConnectionResetError):
        raise ProcessError("the service did not start: its log says why") from None
    if "failed" in answer:
        raise ProcessError(f"the service did not start: {answer['failed']}")
    return int(answer["port"])
