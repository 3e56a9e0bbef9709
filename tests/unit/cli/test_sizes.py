"""Sizes with K, M, G and T."""

from __future__ import annotations

import pytest

from fastscp.cli.sizes import octets, percent


@pytest.mark.parametrize(("text", "wanted"), [
    ("0", 0), ("1", 1), ("100", 100), ("1K", 1024), ("1k", 1024), ("3M", 3 << 20), ("4G", 4 << 30), ("2t", 2 << 40),
])
def test_number_and_unit(text: str, wanted: int) -> None:
    assert octets(text) == wanted


@pytest.mark.parametrize("text", ["", "K", "-1", "+1", "1KB", "1 K", "1.5G", "1e3", "1P", "\u0663", "1\n", "9" * 16])
def test_what_is_no_size(text: str) -> None:
    assert octets(text) is None


@pytest.mark.parametrize(("text", "wanted"), [("0%", 0.0), ("5%", 5.0), ("0.5%", 0.5), ("12.25%", 12.25), ("99%", 99.0)])
def test_percentage(text: str, wanted: float) -> None:
    assert percent(text) == wanted


@pytest.mark.parametrize("text", ["", "%", "5", "100%", "5 %", "-5%", ".5%", "5.%", "5%%", "5%\n", "5G%"])
def test_what_is_no_percentage(text: str) -> None:
    assert percent(text) is None
