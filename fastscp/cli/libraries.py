"""What ``--version`` says of the machine: everything that has a part in the octets written or in who is let in.

Nothing large is imported for it: programs in the field ask for the version before each start.
"""

from __future__ import annotations

import platform
import re
import zlib
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

from fastscp import core

_PACKAGES = ("orjson", "setproctitle", "cryptography", "anyascii")
_DICOM_VERSION = re.compile(r"""^__dicom_version__\b[^"']*["']([^"']+)""", re.MULTILINE)


def libraries() -> str:
    """Return the part of ``--version`` behind the header, laid out as storescp's."""
    lines = [f"Host type: {platform.machine()}-{platform.system()}",
             f"Python: {platform.python_implementation()} {platform.python_version()}",
             f"Core: {'compiled' if core.ACTIVE else 'pure Python'}", "", "External libraries used:",
             *(f"- {line}" for line in (_deflate(), _openssl(), _sqlite(), _pydicom())),
             *(f"- {line}" for line in _packages())]
    return "\n".join(lines) + "\n"


def _deflate() -> str:
    """Name what deflates: zlib-ng where it is installed."""
    try:
        from zlib_ng import zlib_ng  # noqa: PLC0415 - may be missing
    except ImportError:
        return f"ZLIB, Version {zlib.ZLIB_RUNTIME_VERSION}"
    return f"zlib-ng, Version {zlib_ng.ZLIBNG_RUNTIME_VERSION}"


def _openssl() -> str:
    import ssl  # noqa: PLC0415 - fastscp-conv has no use for it but this

    return ssl.OPENSSL_VERSION


def _sqlite() -> str:
    import sqlite3  # noqa: PLC0415 - as ssl

    return f"SQLite, Version {sqlite3.sqlite_version}"


def _pydicom() -> str:
    """Name pydicom and the edition of the standard that its dictionary is of, which decides VRs."""
    package = util.find_spec("pydicom")
    if package is None or not package.submodule_search_locations:
        return "pydicom, not installed"
    source = Path(package.submodule_search_locations[0]) / "_version.py"
    edition = _DICOM_VERSION.search(source.read_text(encoding="utf-8")) if source.is_file() else None
    return f"pydicom, Version {metadata.version('pydicom')}, data dictionary {edition[1] if edition else 'unknown'}"


def _packages() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name}, Version {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name}, not installed"
