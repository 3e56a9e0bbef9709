import pytest

from fastscp.errors import UsageError
from fastscp.log.properties import load, predefined, subset, substituted

ROOT = "log4cplus.rootLogger = WARN, c\n"


def written(tmp_path, text, name="log.cfg"):
    file = tmp_path / name
    file.write_text(text, newline="")
    return str(file)


def test_lines(tmp_path):
    name = written(tmp_path, "# comment\n  # too\r\n" + ROOT + "\tkey\t=  a = b \r\nno assignment\nkey2=\n")
    assert load(name, "fastscp") == {"log4cplus.rootLogger": "WARN, c", "key": "a = b", "key2": ""}


def test_last_assignment_counts(tmp_path):
    assert load(written(tmp_path, ROOT + "a=1\na=2\n"), "fastscp")["a"] == "2"


def test_variables_come_from_the_file_then_the_program_then_the_environment():
    properties = {"a": "${b}-${appname}-${HOME}-${nope}-${c", "b": "two"}
    variables = {"appname": "fastscp", "HOME": "/home/of", "b": "not this"}
    assert substituted(properties, variables)["a"] == "two-fastscp-/home/of-${nope}-${c"


def test_predefined_variables():
    assert set(predefined("x")) == {"appname", "date", "time", "pid", "hostname"}
    assert predefined("x")["appname"] == "x"


def test_include_reads_another_file_beside_it(tmp_path):
    (tmp_path / "more").mkdir()
    written(tmp_path, "a = inner\ninclude second.cfg\n", "more/first.cfg")
    written(tmp_path, "b = innermost\n", "more/second.cfg")
    loaded = load(written(tmp_path, ROOT + "a = outer\ninclude more/first.cfg\n"), "fastscp")
    assert (loaded["a"], loaded["b"]) == ("inner", "innermost")


def test_files_that_include_one_another_are_refused(tmp_path):
    with pytest.raises(UsageError, match="include one another"):
        load(written(tmp_path, "include log.cfg\n"), "fastscp")


@pytest.mark.parametrize(("text", "message"), [
    ("", "does not contain any settings"),
    ("a = b\n", "does not contain any valid settings"),
    ("log4cplus.appender.c = x\n", "does not set up log4cplus.rootLogger"),
    (ROOT + "include absent.cfg\n", "cannot be read: .*absent.cfg"),
])
def test_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        load(written(tmp_path, text), "fastscp")


def test_missing_file():
    with pytest.raises(UsageError, match="does not exist"):
        load("/nonexistent/log.cfg", "fastscp")


def test_subset():
    assert subset({"a.b": "1", "a.c.d": "2", "ab": "3"}, "a.") == {"b": "1", "c.d": "2"}
