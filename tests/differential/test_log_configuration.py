"""Logger configuration files given to fastscp and to the real storescp: the same lines on the same streams.

Both log the expanded command line (info, root logger), the program's identification (debug) and the missing output
directory (fatal); the program's name in them is made equal.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK's storescp is not installed"),
]

CONSOLE = "log4cplus.appender.c = log4cplus::ConsoleAppender\n"
PATTERN = "log4cplus.appender.c.layout = log4cplus::PatternLayout\n"
PLAIN = CONSOLE + PATTERN + "log4cplus.appender.c.layout.ConversionPattern = %P %c: %m%n\n"
DEBUG = "log4cplus.rootLogger = DEBUG, c\n"
#: storescp logs where its dictionaries are
QUIET_DICTIONARY = "log4cplus.logger.dcmtk.dcmdata = OFF\n"
FILTER = "log4cplus.appender.c.filters"


def pattern(text):
    return f"{DEBUG}{CONSOLE}{PATTERN}log4cplus.appender.c.layout.ConversionPattern = {text}\n"


CONFIGURATIONS = {
    "no-layout": DEBUG + CONSOLE,
    "simple": DEBUG + CONSOLE + "log4cplus.appender.c.layout = log4cplus::SimpleLayout\n",
    "levels": pattern("[%p|%P|%5p|%-6p|%.2p|%-6.2p|%010p] %m%n"),
    "loggers": pattern("[%c|%c{1}|%c{2}|%c{9}|%c{0}|%c{x}|%.3c|%20c{1}|%-20c{2}] %m%n"),
    "literal": pattern("50%% of a {b} %m%n"),
    "contexts": pattern("[%x|%X|%X{key}] %m%n"),
    "message-width": pattern("%.2m|%-3m|%m%n"),
    "no-newline": pattern("%m|"),
    "two-newlines": pattern("%m%n%n"),
    "unknown-conversions": pattern("[%z|%s|%C|%5%|%-|] %m%n"),
    "deprecated-key": DEBUG + CONSOLE + PATTERN + "log4cplus.appender.c.layout.Pattern = P %m%n\n",
    "no-pattern": DEBUG + CONSOLE + PATTERN,
    "unknown-layout": DEBUG + CONSOLE + "log4cplus.appender.c.layout = log4cplus::FooLayout\n",
    "unknown-appender": DEBUG + "log4cplus.appender.c = log4cplus::FooAppender\n",
    "case-of-class": DEBUG + "log4cplus.appender.c = log4cplus::consoleappender\n",
    "missing-appender": "log4cplus.rootLogger = DEBUG, x, c\n" + PLAIN,
    "lower-case-level": "log4cplus.rootLogger = warn, c\n" + PLAIN,
    "off": "log4cplus.rootLogger = OFF, c\n" + PLAIN,
    "all": "log4cplus.rootLogger = ALL, c\n" + PLAIN,
    "no-blanks": "log4cplus.rootLogger=DEBUG,c  \n" + PLAIN,
    "twice": "log4cplus.rootLogger = WARN, c\n" + DEBUG + PLAIN,
    "comment": DEBUG + PLAIN + " # log4cplus.rootLogger = FATAL, c\n! x=y\nlog4cplus.rootLogger DEBUG\n",
    "windows": (DEBUG + PLAIN).replace("\n", "\r\n"),
    "stderr": DEBUG + PLAIN + "log4cplus.appender.c.logToStdErr = TRUE\n",
    "stderr-1": DEBUG + PLAIN + "log4cplus.appender.c.logToStdErr = 1\n",
    "stderr-misspelt": DEBUG + PLAIN + "log4cplus.appender.c.logToStderr = true\n",
    "threshold": DEBUG + PLAIN + "log4cplus.appender.c.Threshold = info\n",
    "threshold-unknown": DEBUG + PLAIN + "log4cplus.appender.c.Threshold = foo\n",
    "inherit": DEBUG + PLAIN + "log4cplus.logger.dcmtk.apps = INHERIT\n",
    "inherited-twice": DEBUG + PLAIN + "log4cplus.logger.dcmtk.apps = INHERITED, c\n",
    "logger-level": DEBUG + PLAIN + "log4cplus.logger.dcmtk.apps.storescp = ERROR\n",
    "not-additive": DEBUG + PLAIN + "log4cplus.logger.dcmtk.apps = DEBUG, c\nlog4cplus.additivity.dcmtk.apps = False\n",
    "additivity-unknown": DEBUG + PLAIN
    + "log4cplus.logger.dcmtk.apps = DEBUG, c\nlog4cplus.additivity.dcmtk.apps = maybe\n",
    "range-accepts": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::LogLevelRangeFilter\n{FILTER}.1.LogLevelMin = INFO\n"
    f"{FILTER}.1.LogLevelMax=INFO\n{FILTER}.1.AcceptOnMatch = true\n{FILTER}.2 = log4cplus::spi::DenyAllFilter\n",
    "range-neutral": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::LogLevelRangeFilter\n{FILTER}.1.LogLevelMin = INFO\n",
    "range-misspelt": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::LogLevelRangeFilter\n{FILTER}.1.logLevelMin = info\n"
    f"{FILTER}.1.acceptOnMatch = true\n{FILTER}.2 = log4cplus::spi::DenyAllFilter\n",
    "match-denies": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::LogLevelMatchFilter\n"
    f"{FILTER}.1.LogLevelToMatch = debug\n",
    "match-accepts": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::LogLevelMatchFilter\n"
    f"{FILTER}.1.LogLevelToMatch = FATAL\n{FILTER}.1.AcceptOnMatch=true\n{FILTER}.2 = log4cplus::spi::DenyAllFilter\n",
    "string": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::StringMatchFilter\n{FILTER}.1.StringToMatch = calling\n"
    f"{FILTER}.1.AcceptOnMatch=true\n{FILTER}.2 = log4cplus::spi::DenyAllFilter\n",
    "string-denies": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::StringMatchFilter\n"
    f"{FILTER}.1.StringToMatch = directory\n",
    "filter-gap": DEBUG + PLAIN + f"{FILTER}.2 = log4cplus::spi::DenyAllFilter\n",
    "filter-unknown": DEBUG + PLAIN + f"{FILTER}.1 = log4cplus::spi::FooFilter\n",
    "variables": pattern("[${word}|${log4cplus.rootLogger}|${appname}|${date}|${hostname}|${NOPE}|${FROM_OUTSIDE}] %m%n")
    + "word = %P\n",
    "variable-unterminated": pattern("${x %m%n"),
    "null": DEBUG + "log4cplus.appender.c = log4cplus::NullAppender\n",
    "file-unopenable": DEBUG + "log4cplus.appender.c = log4cplus::FileAppender\nlog4cplus.appender.c.File=/nonexistent/x\n",
    "file-missing": DEBUG + "log4cplus.appender.c = log4cplus::FileAppender\n",
    "empty": "",
    "junk": "a = b\n",
    "no-root": PLAIN,
}


def run(command, directory, file="c.cfg"):
    """Log by ``directory/file``; return exit status, stdout and stderr without what is particular to one program."""
    done = subprocess.run(
        [*command, "--log-config", file, "-od", "nowhere", "11112", "--arguments"], cwd=directory, check=False,
        capture_output=True, text=True, env={**os.environ, "FROM_OUTSIDE": "outside"}, stdin=subprocess.DEVNULL)
    return done.returncode, equal(done.stdout), equal(done.stderr)


def equal(text):
    """Drop lines about dictionaries and about the configuration itself; make names and version equal."""
    text = re.sub(r"\$(dcmtk|fastscp): \w+ v\S+ \S+ \$", "$identification$", text.replace("\r", ""))
    lines = [line for line in text.replace("fastscp", "storescp").split("\n")
             if "DcmDataDictionary" not in line and not line.startswith(("log4cplus:", "E: c.cfg", " Was exp"))]
    return "\n".join(lines)


@pytest.fixture
def commands(tmp_path):
    """The two programs; ours under the name storescp, which ``${appname}`` shows."""
    script = tmp_path / "storescp"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom fastscp.cli.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return ["storescp"], [str(script)]


@pytest.fixture(autouse=True)
def import_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_same_lines(name, commands, tmp_path):
    configuration = CONFIGURATIONS[name]
    if "rootLogger" in configuration:
        configuration += QUIET_DICTIONARY
    (tmp_path / "c.cfg").write_text(configuration, newline="")
    theirs, ours = (run(command, tmp_path) for command in commands)
    assert ours == theirs


SHAPED = {
    "ttcc": DEBUG + CONSOLE + "log4cplus.appender.c.layout = log4cplus::TTCCLayout\n",
    "ttcc-date": DEBUG + CONSOLE + "log4cplus.appender.c.layout = log4cplus::TTCCLayout\n"
    "log4cplus.appender.c.layout.DateFormat=%Y-%m-%d %q\nlog4cplus.appender.c.layout.Use_gmtime=true\n",
    "dates": pattern("[%d|%D|%d{%H:%M}|%D{%y/%m/%d %q}|%D{%Q}|%D{}|%D{%%q}] %m%n"),
    "process": pattern("[%i|%t|%r] %m%n"),
    "host": pattern("[%h|%H] %m%n"),
}


@pytest.mark.parametrize("name", SHAPED)
def test_same_shape(name, commands, tmp_path):
    """Numbers that differ from run to run are compared by form only."""
    (tmp_path / "c.cfg").write_text(SHAPED[name] + QUIET_DICTIONARY)
    theirs, ours = (re.sub(r"[0-9]+", "9", run(command, tmp_path)[1]) for command in commands)
    assert ours == theirs


@pytest.mark.parametrize("sample", ["logger.cfg", "filelog.cfg"])
def test_samples_of_dcmtk(sample, commands, tmp_path):
    source = Path("/etc/dcmtk") / sample
    if not source.is_file():
        pytest.skip("DCMTK's samples are not installed")
    results = []
    for command in commands:
        directory = tmp_path / f"run{len(results)}"
        directory.mkdir()
        shutil.copy(source, directory / "c.cfg")
        status, stdout, stderr = run(command, directory)
        log = equal((directory / "storescp.log").read_text())
        results.append((status, *(re.sub(r"[0-9][0-9.:-]+", "9", text) for text in (stdout, stderr, log))))
    assert results[0] == results[1]
    assert "calling" in results[0][3]
