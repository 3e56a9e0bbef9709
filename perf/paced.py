"""A peer at the other end of 1 Gbit/s: a network namespace behind a pair of virtual interfaces.

Loopback hands over as much as a reader takes. A sender behind a network comes in segments of 1,448 octets: the pair
has an MTU of 1,500, no segmentation offload, and tc(8) limits its rate with ``tbf`` (and delays with ``netem``, where
the kernel has it and a delay is asked for). Needs root, ip(8) and tc(8).
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
from types import TracebackType

_CLONE_NEWNET = 0x40000000
_SERVER, _SENDER = "198.18.0.1", "198.18.0.2"  # a range for benchmarks (RFC 2544)
_RATE = "1gbit"
_numbers = itertools.count()


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


class Network:
    """``with Network() as network:`` senders call ``network.enter`` first and send to ``network.host``."""

    host = _SERVER

    def __init__(self, delay_us: int = 0) -> None:
        self._name = f"fastscp-{os.getpid()}-{next(_numbers)}"
        self._link = f"fs{os.getpid() % 10**9}"
        self._delay_us = delay_us

    def __enter__(self) -> Network:
        inside = ("ip", "netns", "exec", self._name)
        _run("ip", "netns", "add", self._name)
        try:
            _run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self._name)
            for prefix, link, address in (((), self._link, _SERVER), (inside, "eth0", _SENDER)):
                _run(*prefix, "ip", "address", "add", f"{address}/30", "dev", link)
                _run(*prefix, "ip", "link", "set", link, "mtu", "1500", "gso_max_segs", "1", "up")
                _run(*prefix, "tc", "qdisc", "add", "dev", link, "root", "handle", "1:", "tbf", "rate", _RATE, "burst", "32kb",
                     "latency", "50ms")
                if self._delay_us:
                    _run(*prefix, "tc", "qdisc", "add", "dev", link, "parent", "1:1", "netem", "delay", f"{self._delay_us}us")
        except OSError:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._remove()

    def _remove(self) -> None:
        subprocess.run(["ip", "link", "delete", self._link], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "delete", self._name], capture_output=True, check=False)

    def enter(self) -> None:
        """Move this process to the other end."""
        descriptor = os.open(f"/run/netns/{self._name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)


def why_not() -> str:
    """Return why there is no paced network here; "" when there is."""
    if os.geteuid() != 0:
        return "a paced network needs root"
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    if missing:
        return f"a paced network needs {' and '.join(missing)} (apt-get install iproute2)"
    try:
        with Network():
            return ""
    except OSError as error:
        return f"no paced network here: {error}"
