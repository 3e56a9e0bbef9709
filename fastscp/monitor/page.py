"""The live page: one document without anything from elsewhere, as it is in the package (``page.html``)."""

from __future__ import annotations

from importlib import resources


def page() -> bytes:
    """Return the page."""
    return resources.files("fastscp.monitor").joinpath("page.html").read_bytes()
