"""Single conversions; that whole lines equal DCMTK's is shown in tests/differential/test_log_configuration.py."""

import logging
import os
import sys
import time

import pytest

from fastscp.log import names
from fastscp.log.layouts import SimpleLayout, TTCCLayout
from fastscp.log.pattern import PatternLayout


def record(text="hello", level=logging.WARNING, name="dcmtk.dcmnet.responses", **fields):
    made = logging.LogRecord(name, level, "/source/of/it.py", 42, text, (), None, "function")
    made.__dict__.update(fields)
    return made


@pytest.mark.parametrize(("pattern", "expected"), [
    ("%p %P", "WARN W"),
    ("%c|%c{1}|%c{2}|%c{9}", "dcmtk.dcmnet.responses|responses|dcmnet.responses|dcmtk.dcmnet.responses"),
    ("%b|%F|%L|%l|%M", "it.py|/source/of/it.py|42|/source/of/it.py:42|function"),
    ("%m%n", "hello\n"),
    ("%%p", "%p"),
    ("[%7p|%-7p|%.2p|%-6.2p]", "[   WARN|WARN   |RN|RN]"),
    ("%x%X%X{key}", ""),
    ("no conversion", "no conversion"),
])
def test_conversion(pattern, expected):
    assert PatternLayout(pattern).format(record()) == expected


@pytest.mark.parametrize(("level", "letter"), [
    (names.TRACE, "T"), (names.DEBUG, "D"), (names.INFO, "I"), (names.WARN, "W"), (names.ERROR, "E"),
    (names.FATAL, "F"), (25, "I"), (1, "T"), (99, "F"),
])
def test_every_level_has_a_letter(level, letter):
    assert PatternLayout("%P").format(record(level=level)) == letter


def test_times(monkeypatch):
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        moment = record(created=1_700_000_000.012345)
        assert PatternLayout("%d|%D").format(moment) == "2023-11-14 22:13:20|2023-11-15 00:13:20"
        assert PatternLayout("%d{%H:%M %q %Q %%q}").format(moment) == "22:13 012 012.345 %q"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_lines_of_a_message_are_laid_out_one_by_one():
    assert PatternLayout("%P: %m%n").format(record("one\n\ntwo\n")) == "W: one\nW: \nW: two\nW: \n"


def test_traceback_belongs_to_the_message():
    try:
        int("no number")
    except ValueError:
        failed = record("it failed", exc_info=sys.exc_info())
    lines = PatternLayout("%P: %m%n").format(failed).splitlines()
    assert lines[0] == "W: it failed"
    assert lines[-1] == "W: ValueError: invalid literal for int() with base 10: 'no number'"
    assert all(line.startswith("W: ") for line in lines)


def test_what_is_not_understood_is_kept_and_reported():
    layout = PatternLayout("%z %5% %m %")
    assert layout.format(record()) == "%z %5% hello %"
    assert len(layout.problems) == 2


def test_other_layouts_keep_messages_together():
    assert SimpleLayout().format(record("a\nb")) == "WARN - a\nb\n"
    line = TTCCLayout({}).format(record("a\nb", relativeCreated=17.9, thread=5))
    assert line == "17 [5] WARN dcmtk.dcmnet.responses <> - a\nb\n"
    assert TTCCLayout({"DateFormat": "%Y", "Use_gmtime": "true"}).format(record(created=0.0)).startswith("1970 [")


def test_process():
    assert PatternLayout("%i").format(record()) == str(os.getpid())
