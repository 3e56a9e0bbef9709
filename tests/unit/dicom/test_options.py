"""Output options that the engine cannot work with are refused where they are made."""

from __future__ import annotations

from typing import Any

import pytest

from fastscp.dicom.options import OutputOptions
from fastscp.errors import UsageError
from tests.support import datasets as ds


@pytest.mark.parametrize(("options", "message"), [
    ({"transfer_syntax": "1.2.3"}, "transfer syntax 1.2.3"),
    ({"transfer_syntax": "1.2.840.10008.1.2.4.50"}, "1.2.840.10008.1.2.4.50"),
    ({"compression_level": 10}, "compression level 10"),
    ({"compression_level": -1}, "compression level -1"),
    ({"file_padding": -1}, "-1 and 0"),
    ({"item_padding": -3}, "0 and -3"),
    ({"max_depth": 0}, "nesting of 0"),
])
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OutputOptions(**options)


@pytest.mark.parametrize("transfer_syntax", [None, ds.IMPLICIT, ds.EXPLICIT, ds.BIG, ds.DEFLATED])
@pytest.mark.parametrize("level", [0, 9])
def test_what_the_manual_offers_is_taken(transfer_syntax: str | None, level: int) -> None:
    options = OutputOptions(transfer_syntax=transfer_syntax, compression_level=level)
    assert (options.transfer_syntax, options.compression_level) == (transfer_syntax, level)
