"""What a reload changes of what the monitor knows."""

from __future__ import annotations

import pytest

from fastscp.monitor.disks import Disks, decoded_disks, encoded_disks


@pytest.mark.parametrize("disks", [Disks({"output": "/d\udcff"}), Disks({}, octets=5), Disks({"state": "/s"}, percent=2.5)])
def test_it_arrives_as_it_was_sent(disks: Disks) -> None:
    assert decoded_disks(encoded_disks(disks)) == disks


def test_how_much_has_to_be_free() -> None:
    assert [Disks({}, *mark).mark(1000) for mark in ((0, 0.0), (7, 0.0), (0, 2.5))] == [0, 7, 25]
