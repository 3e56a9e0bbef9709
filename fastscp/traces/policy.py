"""Where traces go, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from fastscp.errors import UsageError

#: the events that traces are made of
KINDS: Final = frozenset({
    "association.opened", "association.closed", "association.rejected", "object.stored", "object.refused", "object.quarantined",
})
END_S: Final = 2.0  #: for what is to be exported at the end
_SDK: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
_PATH: Final = "/v1/traces"


@dataclass(frozen=True)
class TracesPolicy:
    """``--otlp``."""

    endpoint: str  #: URL that spans are posted to

    @classmethod
    def of(cls, text: str) -> TracesPolicy:
        """Return what a URL means: without a path that of OTLP is added. Raises ValueError."""
        url = urlsplit(text)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("a URL like http://collector:4318 is wanted")
        _ = url.port  # raises ValueError where it is none
        return cls(url._replace(path=_PATH).geturl() if url.path in {"", "/"} else text)


def traces_policy(value: str | None) -> TracesPolicy | None:
    """Return where traces go; None: nowhere. Raises UsageError for what is no URL, and where the SDK is missing."""
    if value is None:
        return None
    try:
        policy = TracesPolicy.of(value)
    except ValueError as error:
        raise UsageError(f"Invalid value for option --otlp ({value}): {error}", option="--otlp") from error
    for module in _SDK:
        if not _is_there(module):
            raise UsageError(f"--otlp needs the OpenTelemetry SDK, and there is no {module}: pip install 'fastscp[otlp]'", option="--otlp")
    return policy


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package around it
        return False
