"""PS3.7, DIMSE messages, sans-IO: fragments go in, requests and octets come out. Public: what is in ``__all__``."""

from typing import TYPE_CHECKING

from fastscp import lazy

if TYPE_CHECKING:
    from fastscp.dimse.command import Command
    from fastscp.dimse.provider import (
        ActionRequest,
        DataEnd,
        DataFragments,
        EchoRequest,
        Item,
        Provider,
        ReportAnswer,
        StoreRequest,
        UnrecognizedRequest,
    )

__all__ = ["ActionRequest", "Command", "DataEnd", "DataFragments", "EchoRequest", "Item", "Provider", "ReportAnswer", "StoreRequest",
           "UnrecognizedRequest"]

__getattr__ = lazy.names("fastscp.dimse", {
    "Command": "fastscp.dimse.command",
    **dict.fromkeys(("ActionRequest", "DataEnd", "DataFragments", "EchoRequest", "Item", "Provider", "ReportAnswer", "StoreRequest",
                     "UnrecognizedRequest"), "fastscp.dimse.provider"),
})
