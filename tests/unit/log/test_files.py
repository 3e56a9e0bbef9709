"""File appenders, with several processes that write and rotate at once."""

import fcntl
import logging
import os
import re
import time

import pytest

from fastscp.log.files import DailyRollingFileAppender, FileAppender, RollingFileAppender
from fastscp.log.pattern import PatternLayout


def make(kind, path, **properties):
    return kind(PatternLayout("%m%n"), [], {"File": str(path), **properties})


def log(appender, text, created=None):
    record = logging.LogRecord("name", logging.INFO, "", 0, text, (), None)
    if created is not None:
        record.created = created
    appender.handle(record)


def test_file_is_emptied_unless_appended_to(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("before\n")
    appender = make(FileAppender, path, Append="true")
    log(appender, "after")
    appender.close()
    assert path.read_text() == "before\nafter\n"
    make(FileAppender, path).close()
    assert path.read_text() == ""


def test_file_moved_away_is_opened_again(tmp_path):
    """As logrotate does it, without any signal."""
    path = tmp_path / "a.log"
    appender = make(FileAppender, path)
    log(appender, "one")
    path.rename(tmp_path / "a.log.1")
    log(appender, "two")
    appender.close()
    assert ((tmp_path / "a.log.1").read_text(), path.read_text()) == ("one\n", "two\n")


def test_relative_name_survives_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    appender = make(FileAppender, "a.log")
    monkeypatch.chdir("/")
    (tmp_path / "a.log").unlink()
    log(appender, "one")
    appender.close()
    assert (tmp_path / "a.log").read_text() == "one\n"


def test_missing_name_and_missing_directory(tmp_path):
    with pytest.raises(KeyError):
        make(FileAppender, "")
    with pytest.raises(FileNotFoundError):
        make(FileAppender, tmp_path / "no" / "a.log")


def test_full_disk_is_reported_once(capfd):
    appender = make(FileAppender, "/dev/full")
    log(appender, "one")
    log(appender, "two")
    assert re.fullmatch("E: cannot write log: .*No space left.*\n", capfd.readouterr().err)


def test_rolling_keeps_so_many_backups(tmp_path):
    path = tmp_path / "r.log"
    appender = make(RollingFileAppender, path, MaxFileSize="1KB", MaxBackupIndex="2")  # at least 200 KB
    for number in range(50):
        log(appender, f"{number:02}" + "x" * 20_000)
    appender.close()
    assert sorted(name.name for name in tmp_path.iterdir()) == ["r.log", "r.log.1", "r.log.2"]
    assert (tmp_path / "r.log.1").stat().st_size > 200 * 1024
    numbers = [line[:2] for name in ("r.log.2", "r.log.1", "r.log")
               for line in (tmp_path / name).read_text().splitlines()]
    assert numbers == [f"{number:02}" for number in range(int(numbers[0]), 50)]


@pytest.mark.parametrize(("size", "limit"), [
    ("500KB", 500 * 1024), ("5mb", 5 * 1024 * 1024), ("300000", 300_000), ("junk", 200 * 1024),
])
def test_sizes(tmp_path, size, limit):
    appender = make(RollingFileAppender, tmp_path / "r.log", MaxFileSize=size)
    appender.close()
    assert appender._limit_octets == limit


def in_processes(count, work):
    """Run ``work(number)`` in forked processes that start together; all must end well."""
    start, go = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(go)
                os.read(start, 1)
                work(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(start)
    os.close(go)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def test_several_processes_lose_and_mix_nothing_while_rotating(tmp_path):
    appender = make(RollingFileAppender, tmp_path / "r.log", MaxFileSize="200KB", MaxBackupIndex="30")

    def work(number):
        for line in range(400):
            log(appender, f"{number}.{line:03} " + "y" * 2000)

    in_processes(4, work)
    appender.close()
    lines = [line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    assert sorted(line.split()[0] for line in lines) == [f"{number}.{line:03}" for number in range(4) for line in range(400)]
    assert {len(line) for line in lines} == {2006}
    assert all(file.stat().st_size < 230 * 1024 for file in tmp_path.iterdir())


def stamp(text):
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


def aged(path, text, moment):
    path.write_text(text)
    os.utime(path, (moment, moment))


@pytest.mark.parametrize(("schedule", "suffix"), [
    ("MONTHLY", "2024-02"), ("weekly", "2024-09"), ("DAILY", "2024-02-28"), ("TWICE_DAILY", "2024-02-28-PM"),
    ("HOURLY", "2024-02-28-13"), ("MINUTELY", "2024-02-28-13-59"), ("unknown", "2024-02-28"),
])
def test_finished_file_is_named_after_its_period(tmp_path, schedule, suffix):
    path = tmp_path / "d.log"
    aged(path, "old\n", stamp("2024-02-28 13:59"))
    appender = make(DailyRollingFileAppender, path, Schedule=schedule)
    log(appender, "new")
    appender.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["d.log", f"d.log.{suffix}"]
    assert (path.read_text(), (tmp_path / f"d.log.{suffix}").read_text()) == ("new\n", "old\n")


def test_same_period_goes_on_in_the_same_file(tmp_path):
    path = tmp_path / "d.log"
    path.write_text("first\n")
    now = path.stat().st_mtime
    appender = make(DailyRollingFileAppender, path, Schedule="MONTHLY")
    log(appender, "second", created=now)
    appender.close()
    assert path.read_text() == "first\nsecond\n"


def test_finished_file_of_the_same_name_is_kept_under_a_number(tmp_path):
    path = tmp_path / "d.log"
    (tmp_path / "d.log.2024-02-28").write_text("before\n")
    (tmp_path / "d.log.2024-02-28.1").write_text("before that\n")
    aged(path, "old\n", stamp("2024-02-28 13:59"))
    appender = make(DailyRollingFileAppender, path, Schedule="DAILY", MaxBackupIndex="2")
    log(appender, "new")
    appender.close()
    contents = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert contents == {"d.log": "new\n", "d.log.2024-02-28": "old\n", "d.log.2024-02-28.1": "before\n",
                        "d.log.2024-02-28.2": "before that\n"}


def test_late_message_of_the_old_period_does_not_rotate_the_new_file(tmp_path):
    path = tmp_path / "d.log"
    appender = make(DailyRollingFileAppender, path, Schedule="MINUTELY")
    now = path.stat().st_mtime
    log(appender, "new", created=now)
    log(appender, "late", created=now - 60)
    appender.close()
    assert path.read_text() == "new\nlate\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_period_is_that_of_the_file_another_process_has_begun(tmp_path):
    path = tmp_path / "d.log"
    aged(path, "old\n", stamp("2024-02-28 13:59"))
    first, second = (make(DailyRollingFileAppender, path, Schedule="DAILY") for _ in range(2))
    log(first, "one")
    log(second, "two")
    log(first, "three")
    first.close()
    second.close()
    assert path.read_text() == "one\ntwo\nthree\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_processes_rotate_a_finished_day_once(tmp_path):
    path = tmp_path / "d.log"
    aged(path, "old\n", stamp("2024-02-28 13:59"))
    appender = make(DailyRollingFileAppender, path, Schedule="DAILY")
    in_processes(4, lambda number: [log(appender, f"{number} {line}") for line in range(50)])
    appender.close()
    assert (tmp_path / "d.log.2024-02-28").read_text() == "old\n"
    assert len(path.read_text().splitlines()) == 200
    assert len(list(tmp_path.iterdir())) == 2


def test_rotation_that_a_stopped_process_has_begun_is_not_waited_for(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 300 * 1024)
    appender = make(RollingFileAppender, path, MaxFileSize="200KB")
    ready, go_on = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            held = os.open(path, os.O_WRONLY)
            fcntl.lockf(held, fcntl.LOCK_EX)
            os.write(ready[1], b"x")
            os.read(go_on[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    log(appender, "while")
    assert path.read_bytes().endswith(b"while\n")
    os.write(go_on[1], b"x")
    os.waitpid(pid, 0)
    log(appender, "after")
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "log.1").read_bytes().endswith(b"while\n")
    for end in (*ready, *go_on):
        os.close(end)


def test_file_stays_open_when_there_is_no_descriptor_for_the_next(tmp_path, monkeypatch):
    path = tmp_path / "log"
    appender = make(RollingFileAppender, path)
    path.rename(tmp_path / "moved")

    def none_left(_flags=0):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(appender, "_open", none_left)
    log(appender, "lost")
    monkeypatch.undo()
    log(appender, "found")
    assert path.read_bytes() == b"found\n"


def test_day_that_another_process_is_finishing_is_tried_again(tmp_path):
    path = tmp_path / "d.log"
    aged(path, "old\n", stamp("2024-03-05 12:00"))
    appender = make(DailyRollingFileAppender, path)
    ready, go_on = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            fcntl.lockf(os.open(path, os.O_WRONLY), fcntl.LOCK_EX)
            os.write(ready[1], b"x")
            os.read(go_on[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    log(appender, "while", stamp("2024-03-06 00:01"))
    assert path.read_text() == "old\nwhile\n"
    os.write(go_on[1], b"x")
    os.waitpid(pid, 0)
    log(appender, "after", stamp("2024-03-06 00:02"))
    assert path.read_text() == "after\n"
    assert (tmp_path / "d.log.2024-03-05").read_text() == "old\nwhile\n"
    for end in (*ready, *go_on):
        os.close(end)
