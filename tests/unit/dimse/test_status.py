"""Names of status codes."""

import pytest

from fastscp.dimse import status


@pytest.mark.parametrize(("code", "name"), [
    (0x0000, "Success"),
    (0x0211, "Unrecognized operation"),
    (0xA700, "Refused: Out of resources"),
    (0xA7FF, "Refused: Out of resources"),
    (0xA900, "Error: Data set does not match SOP class"),
    (0xC123, "Error: Cannot understand"),
    (0xB007, "Warning"),
    (0x7777, "Unknown status"),
])
def test_name(code, name):
    assert status.name(code) == name
