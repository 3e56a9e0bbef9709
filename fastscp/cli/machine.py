"""Which machines the programs run on: Linux, with Python 3.10 or later.

The package asks before it imports anything else, so that elsewhere a message appears and no traceback. Therefore
this module, and those imported before it, keep to what Python 3.6 understands.
"""

_OLDEST_PYTHON = (3, 10)


def complaint(platform: str, python: "tuple[int, int]") -> str:
    """Return why fastscp cannot run with ``sys.platform`` and this version of Python, "" when it can."""
    if platform != "linux":
        return f"runs on Linux only, not on {platform}"
    if python < _OLDEST_PYTHON:
        return f"needs Python 3.10 or later, this is {python[0]}.{python[1]}"
    return ""
