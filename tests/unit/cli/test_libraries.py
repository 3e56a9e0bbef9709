"""What ``--version`` tells of the machine."""

from __future__ import annotations

import platform
import re
import sqlite3
import ssl
import sys

import pydicom
import pytest

from fastscp import core
from fastscp.cli.libraries import libraries


def test_everything_that_decides_octets_is_named() -> None:
    lines = libraries().splitlines()
    assert lines[0].startswith("Host type: ")
    assert lines[1] == f"Python: CPython {platform.python_version()}"
    assert lines[2] == ("Core: compiled" if core.ACTIVE else "Core: pure Python")
    assert lines[3:5] == ["", "External libraries used:"]
    named = lines[5:]
    assert f"- {ssl.OPENSSL_VERSION}" in named
    assert f"- SQLite, Version {sqlite3.sqlite_version}" in named
    edition = vars(pydicom._version)["__dicom_version__"]
    assert f"- pydicom, Version {pydicom.__version__}, data dictionary {edition}" in named
    assert any(re.fullmatch(r"- orjson, Version \d+\..*", line) for line in named)


def test_what_deflates_is_named_first() -> None:
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        pytest.skip("there is no build of zlib-ng for this machine")
    assert libraries().splitlines()[5] == f"- zlib-ng, Version {zlib_ng.ZLIBNG_RUNTIME_VERSION}"


def test_without_zlib_ng_zlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zlib_ng", None)
    assert re.fullmatch(r"- ZLIB, Version \d+\..*", libraries().splitlines()[5])
