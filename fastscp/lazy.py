"""Names of a package that are loaded when somebody asks for them, so that importing the package costs nothing.

::

    __getattr__ = lazy.names("fastscp.ul", {"Association": "fastscp.ul.association"})
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package (PEP 562); ``homes`` says in which module each of its names is."""
    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        setattr(sys.modules[package], name, value)  # the next time nobody asks
        return value

    return get
