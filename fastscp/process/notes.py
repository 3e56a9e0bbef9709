"""Packets for the event stream only: nothing follows from them, and nobody waits for them.

They are told like the others (``fastscp.process.packets``), by workers and by the acceptor process.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class Unstored(TypedDict):
    """An object that was not stored, and why. It says itself who called: it may come after its association ended."""

    association: str
    calling_aet: str
    called_aet: str
    peer: str
    peer_host: str
    port: int
    sender: str
    sop_class: str
    sop_instance: str
    study: str
    series: str
    modality: str
    transfer_syntax: str
    duration_s: float
    tag: str | None  #: GGGG,EEEE
    offset: int | None  #: see ``errors.ObjectError``
    reason: str


class Refused(Unstored):
    """It was refused, or cut off (``status`` is None): nothing of it is stored, unless ``file`` says so."""

    kind: Literal["refused"]
    directory: str | None
    file: str | None
    status: int | None


class Quarantined(Unstored):
    """It is kept as ``directory/file``; ``status`` is what it would have been refused with."""

    kind: Literal["quarantined"]
    directory: str
    file: str
    size: int
    status: int


class Rejected(TypedDict):
    """An association was rejected."""

    kind: Literal["rejected"]
    calling_aet: str
    called_aet: str
    peer: str
    peer_host: str
    port: int
    sender: str
    reason: str


class TurnedAway(TypedDict):
    """A connection was closed before anything was read from it."""

    kind: Literal["turned_away"]
    peer: str
    peer_host: str
    port: int
    reason: str


class Missed(TypedDict):
    """So many notes were dropped before this packet, because nobody took them."""

    kind: Literal["missed"]
    count: int


Note = Refused | Quarantined | Rejected | TurnedAway
