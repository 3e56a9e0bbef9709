"""The object store of a gateway, from its options."""

from __future__ import annotations

import importlib.util
import re
from typing import Final, Protocol

from fastscp.errors import UsageError
from fastscp.study.policy import ObjectStorePolicy, Sorting, StudyPolicy

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)
_URL: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9!_.*'()/-]*))?", re.ASCII)
_LONGEST_PREFIX: Final = 256


class Settings(Protocol):
    """A checked command line, as far as it is used here."""

    def value(self, long: str) -> str | None: ...  # noqa: D102


def object_store_policy(line: Settings, study: StudyPolicy) -> ObjectStorePolicy | None:
    """Return where objects go, too; None where they do not. Raises UsageError."""
    url, endpoint = line.value("--object-store"), line.value("--object-store-endpoint")
    if url is None:
        return None
    found = _URL.fullmatch(url)
    prefix = (found[2] or "").strip("/") if found else ""
    if found is None or len(prefix) > _LONGEST_PREFIX or (prefix and {"", ".", ".."} & set(prefix.split("/"))):
        raise UsageError(f"Invalid value for option --object-store: {url}: s3://bucket/prefix is wanted", option="--object-store")
    if endpoint is not None and not re.fullmatch(r"https?://[^\s/@]+/?", endpoint):
        raise UsageError("Invalid value for option --object-store-endpoint: https://host:port is wanted", option="--object-store-endpoint")
    if importlib.util.find_spec("botocore") is None:
        raise UsageError("--object-store needs the Python package botocore: install fastscp[s3]", option="--object-store")
    return ObjectStorePolicy(found[1], prefix, endpoint, keep_local_s(line.value("--keep-local"), study))


def keep_local_s(text: str | None, study: StudyPolicy) -> float | None:
    """Return how long files stay that the store has; None: for ever. Raises UsageError."""
    if text is None or text == "forever":
        return None
    found = _DURATION.fullmatch("0" if text == "until-completed" else text)
    if found is None:
        raise UsageError(f"Invalid value for option --keep-local: {text}: 30m, 12h, 7d, until-completed or forever is wanted", option="--keep-local")
    if study.sorting is Sorting.NONE:  # where files of all studies are in one directory, one may take the place of another at any time
        raise UsageError("--keep-local needs studies in directories of their own: one of --sort-conc-studies, --sort-on-study-uid and "
                         "--sort-on-patientname", option="--keep-local")
    return float(int(found[1]) * _UNITS[found[2] or "s"])
