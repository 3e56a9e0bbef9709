"""What a hook is told: the values of placeholders and its environment. Pure.

Texts of peers are reduced to letters, digits, blank and ``-.:@_`` in both, as newer storescp does for titles and
addresses. Paths are the service's own and arrive as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from fastscp.study.naming import clean, is_clean
from fastscp.study.templates import VARIABLES

#: placeholders available in each hook
RECEPTION_LETTERS = "pfacr"
STUDY_LETTERS = "pacr"
IGNORED_LETTERS = "acr"  #: with ``--ignore`` there is no file
#: an ``opened`` packet for when nobody knows who called
NOBODY: Mapping[str, Any] = {"calling_aet": "", "called_aet": "", "peer": "", "peer_host": "", "port": 0}


class Deferred(TypedDict, total=False):
    """What a call may have beside."""

    host_of: str  #: address of a peer whose host name was not known yet


class Call(Deferred):
    """One call of a hook, as kept in the durable state."""

    values: dict[str, str]  #: by placeholder letter
    environment: dict[str, str]


def reception(opened: Mapping[str, Any], stored: Mapping[str, Any]) -> Call:
    """Return the call for one object."""
    values = {"p": stored["directory"], "f": stored["file"], **_caller(opened)}
    return _call("reception", values, opened, {
        "FASTSCP_STUDY_UID": stored["study"], "FASTSCP_SERIES_UID": stored["series"],
        "FASTSCP_MODALITY": stored["modality"], "FASTSCP_SOP_CLASS_UID": stored["sop_class"],
        "FASTSCP_SOP_INSTANCE_UID": stored["sop_instance"],
        "FASTSCP_TRANSFER_SYNTAX_UID": stored["transfer_syntax"], "FASTSCP_SIZE": str(stored["size"]),
        "FASTSCP_DUPLICATE": stored.get("duplicate") or ""})


def end_of_series(opened: Mapping[str, Any], directory: str, study_uid: str, series_uid: str) -> Call:
    """Return the call for a series that ended."""
    return _call("end-of-series", {"p": directory, **_caller(opened)}, opened,
                 {"FASTSCP_STUDY_UID": study_uid, "FASTSCP_SERIES_UID": series_uid})


def end_of_study(opened: Mapping[str, Any], directory: str, study_uid: str, *, reason: str, objects: int,
                 revision: int, manifest: str | None) -> Call:
    """Return the call for a study that ended; ``opened`` is its own last association."""
    variables = {"FASTSCP_STUDY_UID": study_uid, "FASTSCP_REASON": reason, "FASTSCP_OBJECTS": str(objects),
                 "FASTSCP_REVISION": str(revision)}
    call = _call("end-of-study", {"p": directory, **_caller(opened)}, opened, variables)
    if manifest is not None:
        call["environment"]["FASTSCP_MANIFEST"] = manifest
    return call


def sender_of(call: Call) -> str:
    """Return the section of the configuration file that a call belongs to, "" for none."""
    return call["environment"].get("FASTSCP_SENDER", "")


def with_host_name(call: Call, name: str) -> Call:
    """Return the call with the peer's host name in it."""
    text = clean(name)
    return {"values": {**call["values"], "r": text}, "environment": {**call["environment"], VARIABLES["r"]: text}}


def reductions(opened: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what hooks are not told as it was sent: whose text, the text, and what is left of it."""
    for name, text in (("calling aetitle", opened["calling_aet"].strip(" ")),
                       ("called aetitle", opened["called_aet"].strip(" ")),
                       ("calling presentation address", opened["peer_host"] or opened["peer"])):
        if not is_clean(text):
            yield name, text, clean(text)


def _caller(opened: Mapping[str, Any]) -> dict[str, str]:
    return {"a": clean(opened["calling_aet"].strip(" ")), "c": clean(opened["called_aet"].strip(" ")),
            "r": clean(opened["peer_host"] or opened["peer"])}


def _call(event: str, values: dict[str, str], opened: Mapping[str, Any], texts: Mapping[str, str]) -> Call:
    environment = {VARIABLES[letter]: value for letter, value in values.items()}
    environment["FASTSCP_EVENT"] = event
    environment["FASTSCP_PEER_ADDRESS"] = clean(opened["peer"])
    environment.update((name, clean(text)) for name, text in texts.items())
    if opened.get("sender"):
        environment["FASTSCP_SENDER"] = opened["sender"]
    call: Call = {"values": values, "environment": environment}
    if opened["peer"] and not opened["peer_host"]:
        call["host_of"] = opened["peer"]
    return call
