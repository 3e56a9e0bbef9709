"""The command line: one option table, its parser, help, and the programs."""

import sys

from fastscp.cli import machine

_COMPLAINT = machine.complaint(sys.platform, sys.version_info[:2])
if _COMPLAINT:
    sys.exit(f"fastscp: {_COMPLAINT}")
