from __future__ import annotations

from fastscp.process import titles


def test_title_begins_with_the_program(monkeypatch):
    shown = []
    monkeypatch.setattr(titles, "setproctitle", shown.append)
    titles.set_title("worker 1")
    assert shown == ["fastscp: worker 1"]
