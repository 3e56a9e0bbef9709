"""Status codes by the names of the standard.

Source: PS3.7 Annex C, PS3.4 Table B.2-1
"""

from __future__ import annotations

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111
NO_SUCH_SOP_INSTANCE = 0x0112
INVALID_ARGUMENT_VALUE = 0x0115
INVALID_SOP_INSTANCE = 0x0117
NO_SUCH_SOP_CLASS = 0x0118
MISSING_ATTRIBUTE = 0x0120
SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORIZED = 0x0124
DUPLICATE_INVOCATION = 0x0210
UNRECOGNIZED_OPERATION = 0x0211
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213
NO_SUCH_ACTION = 0x0123

OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

_NAMES = {
    SUCCESS: "Success",
    PROCESSING_FAILURE: "Processing failure",
    DUPLICATE_SOP_INSTANCE: "Duplicate SOP instance",
    NO_SUCH_SOP_INSTANCE: "No such SOP instance",
    INVALID_ARGUMENT_VALUE: "Invalid argument value",
    INVALID_SOP_INSTANCE: "Invalid SOP instance",
    NO_SUCH_SOP_CLASS: "No such SOP class",
    MISSING_ATTRIBUTE: "Missing attribute",
    SOP_CLASS_NOT_SUPPORTED: "SOP class not supported",
    NOT_AUTHORIZED: "Not authorized",
    DUPLICATE_INVOCATION: "Duplicate invocation",
    UNRECOGNIZED_OPERATION: "Unrecognized operation",
    MISTYPED_ARGUMENT: "Mistyped argument",
    RESOURCE_LIMITATION: "Resource limitation",
    NO_SUCH_ACTION: "No such action",
}

# Storage statuses name ranges (PS3.4 Table B.2-1): (mask, value, name).
_RANGES = (
    (0xFF00, 0xA700, "Refused: Out of resources"),
    (0xFF00, 0xA900, "Error: Data set does not match SOP class"),
    (0xF000, 0xC000, "Error: Cannot understand"),
    (0xF000, 0xB000, "Warning"),
)


def name(status: int) -> str:
    """Return a text for ``status``."""
    found = _NAMES.get(status)
    if found is not None:
        return found
    for mask, value, text in _RANGES:
        if status & mask == value:
            return text
    return "Unknown status"
