"""Whole set-ups; each test puts the standard logging back as it was."""

import json
import logging
import re

import pytest

from fastscp.errors import UsageError
from fastscp.log import configure, names
from fastscp.log.policy import LogPolicy
from fastscp.log.setup import reset

APPLICATION = logging.getLogger(names.APPLICATION)
LEVELS = {"fatal": "F", "error": "FE", "warn": "FEW", "info": "FEWI", "debug": "FEWID", "trace": "FEWIDT"}


@pytest.fixture(autouse=True)
def as_before():
    root = logging.getLogger()
    handlers, level, last, raising = root.handlers[:], root.level, logging.lastResort, logging.raiseExceptions
    yield
    reset()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.lastResort, logging.raiseExceptions = last, raising


def log_all():
    for name, level in names.LEVELS.items():
        APPLICATION.log(level, name)


@pytest.mark.parametrize(("level", "letters"), LEVELS.items())
def test_lines_begin_with_the_letter_of_their_level(level, letters, capfd):
    configure(LogPolicy(level=level))
    log_all()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "".join(line[0] for line in captured.err.splitlines()) == letters
    assert all(re.fullmatch("[FEWIDT]: [a-z]+", line) for line in captured.err.splitlines())


def test_every_line_of_a_message_has_the_letter(capfd):
    configure(LogPolicy())
    APPLICATION.warning("one\ntwo")
    assert capfd.readouterr().err == "W: one\nW: two\n"


def test_configuring_again_replaces(capfd):
    configure(LogPolicy(level="debug"))
    configure(LogPolicy(level="error"))
    log_all()
    assert capfd.readouterr().err == "F: fatal\nE: error\n"


def test_json_lines(capfd):
    configure(LogPolicy(level="info", json=True))
    APPLICATION.error('said "%s"\n\udce4', "ä")
    entry = json.loads(capfd.readouterr().err)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert isinstance(entry.pop("process"), int)
    assert entry == {"level": "error", "logger": names.APPLICATION, "message": 'said "ä"\n?'}


def configured(tmp_path, text):
    file = tmp_path / "log.cfg"
    file.write_text(text)
    configure(LogPolicy(config_file=str(file), application="storescp"))


def test_configuration_file(tmp_path, capfd):
    configured(tmp_path, f"""
        log4cplus.rootLogger = INFO, out, file
        log4cplus.appender.out = log4cplus::ConsoleAppender
        log4cplus.appender.out.Threshold = ERROR
        log4cplus.appender.file = log4cplus::FileAppender
        log4cplus.appender.file.File = {tmp_path}/${{appname}}.log
        log4cplus.logger.dcmtk.dcmnet = OFF
        log4cplus.logger.dcmtk.apps = INHERITED, file
        log4cplus.additivity.dcmtk.apps = false
    """)
    log_all()
    logging.getLogger(names.NETWORK).critical("not seen")
    logging.getLogger(names.DATA).error("seen twice")
    assert capfd.readouterr() == ("ERROR - seen twice\n", "")
    lines = (tmp_path / "storescp.log").read_text().splitlines()
    assert lines == ["FATAL - fatal", "ERROR - error", "WARN - warn", "INFO - info", "ERROR - seen twice"]


def test_configuring_again_undoes_the_file(tmp_path, capfd):
    configured(tmp_path, "log4cplus.rootLogger = OFF\nlog4cplus.logger.dcmtk.apps = FATAL\nlog4cplus.additivity.dcmtk=false")
    configure(LogPolicy(level="error"))
    APPLICATION.error("seen")
    assert capfd.readouterr().err == "E: seen\n"


PROBLEMS = [
    ("log4cplus.appender.x = log4cplus::FooAppender", "appender x: unknown class log4cplus::FooAppender"),
    ("log4cplus.appender.x = log4cplus::FileAppender", "appender x: File is missing"),
    ("log4cplus.appender.x = log4cplus::FileAppender\nlog4cplus.appender.x.File=/nonexistent/x", "No such file"),
    ("log4cplus.appender.c.layout = log4cplus::FooLayout", "appender c: unknown layout log4cplus::FooLayout"),
    ("log4cplus.appender.c.layout = log4cplus::PatternLayout", "appender c: ConversionPattern is missing"),
    ("log4cplus.appender.c.layout = log4cplus::PatternLayout\nlog4cplus.appender.c.layout.ConversionPattern=ab%z",
     "appender c: unexpected conversion '%z' at position 3"),
    ("log4cplus.appender.c.filters.1 = Foo", "appender c: unknown filter Foo"),
    ("log4cplus.logger.a = INFO, nobody", "logger a: no appender nobody"),
    ("log4cplus.additivity.a = maybe", "logger a: additivity is 'maybe', not true or false"),
]


@pytest.mark.parametrize(("lines", "problem"), PROBLEMS)
def test_problems_are_told_and_the_rest_works(tmp_path, capfd, lines, problem):
    configured(tmp_path, f"log4cplus.rootLogger = INFO, c\nlog4cplus.appender.c = log4cplus::ConsoleAppender\n{lines}\n")
    APPLICATION.info("works")
    captured = capfd.readouterr()
    assert f"E: {tmp_path}/log.cfg: " in captured.err
    assert problem in captured.err
    assert captured.out in ("INFO - works\n", "ab%z")


def test_unknown_schedule_is_told(tmp_path, capfd):
    configured(tmp_path, f"log4cplus.rootLogger = INFO, c\nlog4cplus.appender.c = log4cplus::DailyRollingFileAppender\n"
                         f"log4cplus.appender.c.File = {tmp_path}/d.log\nlog4cplus.appender.c.Schedule = yearly\n")
    assert "appender c: unknown Schedule 'yearly', DAILY is taken" in capfd.readouterr().err


@pytest.mark.parametrize("level", ["FOO, c", "", ", c"])
def test_root_logger_without_level_is_refused(tmp_path, level):
    with pytest.raises(UsageError, match="rootLogger has no valid level"):
        configured(tmp_path, f"log4cplus.rootLogger = {level}\n")
