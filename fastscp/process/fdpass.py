"""Packets with one descriptor over SOCK_SEQPACKET Unix sockets (SCM_RIGHTS, unix(7)).

``socket.recv_fds`` loses close-on-exec, so recvmsg is called with MSG_CMSG_CLOEXEC here. A descriptor that the receiver
has no number left for is lost on the way (EMFILE, shown as MSG_CTRUNC): the packet comes without it, and whoever misses
it says so to the sender, which costs what the descriptor was for and nothing else.
"""

from __future__ import annotations

import array
import os
import socket

from fastscp.errors import ProcessError

_INT_OCTETS = array.array("i").itemsize
_CONTROL_OCTETS = socket.CMSG_SPACE(4 * _INT_OCTETS)
#: the longest packet that any process sends; well below a Unix socket's default send buffer (212,992 octets)
PACKET_OCTETS = 1 << 16


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Return the two non-blocking ends of a packet channel; both are close-on-exec."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.setblocking(False)
    right.setblocking(False)
    return left, right


def send_with_descriptor(channel: socket.socket, packet: bytes, fd: int) -> None:
    """Send one packet with a copy of ``fd``. BlockingIOError and OSError pass through."""
    rights = array.array("i", [fd])
    channel.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def receive(channel: socket.socket) -> tuple[bytes, int | None]:
    """Receive one packet and the descriptor that came with it, or None; (b"", None) is end of file.

    The caller owns the descriptor, which is None, too, when this process can have no more of them. Raises
    BlockingIOError when nothing is there, ProcessError when the packet was truncated or had several descriptors
    (whatever arrived is closed).
    """
    try:
        packet, ancillary, flags, _ = channel.recvmsg(PACKET_OCTETS, _CONTROL_OCTETS, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        # told once, in front of the last packets of a process that died with unread ones of its own (unix(7))
        packet, ancillary, flags, _ = channel.recvmsg(PACKET_OCTETS, _CONTROL_OCTETS, socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            rights = array.array("i")
            rights.frombytes(data[: len(data) - len(data) % _INT_OCTETS])
            descriptors.extend(rights)
    if flags & socket.MSG_TRUNC or len(descriptors) > 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise ProcessError("truncated packet on a control channel")
    return packet, descriptors[0] if descriptors else None
