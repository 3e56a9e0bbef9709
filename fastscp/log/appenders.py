"""What all appenders have in common, and those that write to the console, to syslog or nowhere."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping

from fastscp.log import names
from fastscp.log.filters import Filter, passes
from fastscp.log.layouts import Layout, timestamp
from fastscp.log.stream import NOTICE, Stream

#: syslog facility codes (RFC 5424 Table 1) by the names configuration files use
_FACILITIES: Mapping[str, int] = {
    "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8,
    "cron": 9, "authpriv": 10, "ftp": 11, "ntp": 12, "security": 13, "console": 14,
    **{f"local{number}": 16 + number for number in range(8)},
}
_USER = 1
_SYSLOG_PORT = 514
_LOCAL_SYSLOG = "/dev/log"


class Appender(logging.Handler):
    """A handler of the standard ``logging`` with a layout and a chain of log4cplus filters.

    An appender that fails says so once on stderr and goes on; logging never raises into the service.
    """

    def __init__(self, layout: Layout, chain: list[Filter] | None = None) -> None:
        super().__init__()
        self._layout = layout
        self._chain = chain or []
        self._complained = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record`` if the filters let it through."""
        try:
            if passes(self._chain, record):
                self.append(self._layout.format(record), record)
        except (OSError, ValueError, TypeError, LookupError) as error:
            self.complain(error)

    def append(self, text: str, record: logging.LogRecord) -> None:
        """Write ``text``, the laid out ``record``."""
        raise NotImplementedError

    def complain(self, error: Exception) -> None:
        """Report the first failure; a log that cannot be written must not stop the service."""
        if not self._complained:
            self._complained = True
            Stream(sys.__stderr__.fileno() if sys.__stderr__ else 2).write(
                encode(f"E: cannot write log: {error}\n")
            )


def encode(text: str) -> bytes:
    """Encode a log line as UTF-8; octets that Python could not decode come out as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


class ConsoleAppender(Appender):
    """Writes to stdout or stderr, or to any other descriptor."""

    def __init__(
        self, layout: Layout, chain: list[Filter] | None = None, *, descriptor: int = 2, notice: bytes = NOTICE
    ) -> None:
        super().__init__(layout, chain)
        self._stream = Stream(descriptor, notice)

    def append(self, text: str, record: logging.LogRecord) -> None:  # noqa: ARG002 - see Appender
        """Write ``text`` in one piece."""
        self._stream.write(encode(text))

    def close(self) -> None:
        """Give up what was opened; the descriptor itself stays open."""
        self._stream.close()
        super().close()


class NullAppender(Appender):
    """Writes nothing."""

    def append(self, text: str, record: logging.LogRecord) -> None:
        """Drop ``text``."""


class SysLogAppender(Appender):
    """Sends to the local syslog, or by UDP (RFC 5426) to ``host`` and ``port``.

    Never blocks: what the log daemon does not take is lost.
    """

    def __init__(self, layout: Layout, chain: list[Filter], properties: Mapping[str, str]) -> None:
        super().__init__(layout, chain)
        self._ident = properties.get("ident", "")
        self._facility = _FACILITIES.get(properties.get("facility", "").lower(), _USER) << 3
        self._host = properties.get("host", "")
        port = properties.get("port", "")
        self._port = int(port) if port.isdigit() else _SYSLOG_PORT
        self._socket: socket.socket | None = None
        self._owner = 0

    def append(self, text: str, record: logging.LogRecord) -> None:
        """Send one datagram."""
        priority = self._facility | _severity(record.levelno)
        if self._host:
            datagram = self._remote_header(priority, record) + text
        else:
            ident = self._ident or os.path.basename(sys.argv[0])
            datagram = f"<{priority}>{ident}: {text.rstrip()}"
        try:
            self._connected().send(encode(datagram))
        except OSError:
            self._disconnect()
            self._connected().send(encode(datagram))

    def _remote_header(self, priority: int, record: logging.LogRecord) -> str:
        """Return the header of RFC 5424 with no structured data."""
        moment = timestamp(record, "%Y-%m-%dT%H:%M:%S.%qZ", utc=True)
        host = socket.gethostname()
        return f"<{priority}>1 {moment} {host} {self._ident or '-'} {record.process} {record.name} - "

    def _connected(self) -> socket.socket:
        if self._socket is None or self._owner != os.getpid():
            self._disconnect()
            self._socket = self._connect()
            self._owner = os.getpid()
        return self._socket

    def _connect(self) -> socket.socket:
        if not self._host:
            local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            local.connect(_LOCAL_SYSLOG)
            return local
        address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        remote = socket.socket(address[0], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        remote.connect(address[4])
        return remote

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _severity(level: int) -> int:
    """Return the severity of RFC 5424 Table 2 for a level."""
    for threshold, severity in ((names.FATAL, 2), (names.ERROR, 3), (names.WARN, 4), (names.INFO, 6)):
        if level >= threshold:
            return severity
    return 7
