"""Benchmarks; README.md says what is where.

Each program imports this first: with a Python that has not got what it needs it ends with a sentence.
"""

import sys
from importlib.util import find_spec

_MISSING = [name for name in ("orjson", "psutil", "pydicom", "pynetdicom", "setproctitle") if find_spec(name) is None]
if _MISSING:
    sys.exit(f"{sys.argv[0]} needs {', '.join(_MISSING)}, which {sys.executable} has not got. In the checkout:\n"
             f"  python3 -m venv .venv && .venv/bin/pip install -e '.[test]'\n"
             f"  .venv/bin/python {' '.join(sys.argv)}")
