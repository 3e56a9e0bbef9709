from __future__ import annotations

import os

from fastscp.process.flag import Flag


def test_change_is_news_once() -> None:
    flag = Flag()
    assert not flag.change(to=False)
    assert flag.change(to=True)
    assert flag
    assert not flag.change(to=True)
    assert flag.change(to=False)


def test_what_one_process_finds_out_is_no_news_in_another() -> None:
    flag = Flag()
    pid = os.fork()
    if not pid:
        os._exit(flag.change(to=True))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert not flag.change(to=True)
