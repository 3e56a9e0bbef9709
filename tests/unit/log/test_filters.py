import logging

import pytest

from fastscp.log.filters import FILTERS, passes
from fastscp.log.names import DEBUG, ERROR, FATAL, INFO, WARN


def chain(*filters):
    return [FILTERS[f"log4cplus::spi::{name}"](properties) for name, properties in filters]


def passing(links, levels=(DEBUG, INFO, WARN, ERROR, FATAL), text="message"):
    return [level for level in levels
            if passes(links, logging.LogRecord("name", level, "", 0, text, (), None))]


DENY = ("DenyAllFilter", {})


@pytest.mark.parametrize(("filters", "expected"), [
    ([], [DEBUG, INFO, WARN, ERROR, FATAL]),
    ([DENY], []),
    ([("LogLevelMatchFilter", {"LogLevelToMatch": "INFO", "AcceptOnMatch": "true"}), DENY], [INFO]),
    ([("LogLevelMatchFilter", {"LogLevelToMatch": "info"})], [DEBUG, WARN, ERROR, FATAL]),
    ([("LogLevelMatchFilter", {"LogLevelToMatch": "unknown"})], [DEBUG, INFO, WARN, ERROR, FATAL]),
    ([("LogLevelRangeFilter", {"LogLevelMin": "INFO", "LogLevelMax": "ERROR"})], [INFO, WARN, ERROR]),
    ([("LogLevelRangeFilter", {"LogLevelMin": "WARN", "AcceptOnMatch": "1"}), DENY], [WARN, ERROR, FATAL]),
    ([("LogLevelRangeFilter", {"LogLevelMin": "WARN"}), DENY], []),
    ([("StringMatchFilter", {"StringToMatch": "ess", "AcceptOnMatch": "true"}), DENY],
     [DEBUG, INFO, WARN, ERROR, FATAL]),
    ([("StringMatchFilter", {"StringToMatch": "ess"})], []),
    ([("StringMatchFilter", {"StringToMatch": ""}), DENY], []),
])
def test_chain(filters, expected):
    assert passing(chain(*filters)) == expected
