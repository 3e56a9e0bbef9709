"""storescp's output options as words, for tests."""

from __future__ import annotations

from fastscp.cli.conv import parse
from fastscp.dicom.options import OutputOptions

#: The option sets that files are compared under.
OPTION_SETS = ("", "+B", "-F", "+te", "+tb", "+ti", "+td", "-u", "+g", "-g", "-e", "+p 512 64", "+te -e +g",
               "+ti -g -e", "+uc")

WRITE_SYNTAX = {"+te", "+tb", "+ti", "+td"}


def output_options(words: str) -> OutputOptions:
    """Return the policy for words like ``"+te -e"``."""
    return parse([*words.split(), "in", "out"], {}.get)[0]
