from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastscp.coordinator import requests
from fastscp.store import hidden


def test_requests_come_in_order_and_are_gone_when_removed(tmp_path: Path) -> None:
    requests.put(tmp_path, requests.RETRY, [3, 1])
    first, = tmp_path.iterdir()
    os.utime(first, ns=(5, 5))
    requests.put(tmp_path, requests.FORGET, None)
    waiting = requests.waiting(tmp_path)
    assert [(request.kind, request.numbers) for request in waiting] == [("retry", [3, 1]), ("forget", None)]
    for request in waiting:
        requests.remove(request)
        requests.remove(request)
    assert os.listdir(tmp_path) == []


def test_request_is_readable_by_a_service_of_another_user(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    requests.put(tmp_path, requests.RETRY, [1])
    os.umask(mask)
    file, = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"kind": "retry"}', b'{"kind": "x", "numbers": [1]}',
                                     b'{"kind": "retry", "numbers": ["1"]}'])
def test_what_is_no_request_is_passed_over(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "request-x.json").write_bytes(content)
    (tmp_path / "request-y.tmp").write_text("")
    assert requests.waiting(tmp_path) == []
    assert (caplog.text, len(os.listdir(tmp_path))) == ("", 2)
    assert requests.waiting(tmp_path, discard=True) == []
    assert "is no request, removed" in caplog.text
    assert os.listdir(tmp_path) == []


def test_request_that_was_never_finished_goes_when_who_began_it_is_gone(tmp_path: Path) -> None:
    with (tmp_path / "request-x.tmp").open("wb") as file:
        assert hidden.claim(file.fileno())
        assert requests.waiting(tmp_path, discard=True) == []
        assert os.listdir(tmp_path) == ["request-x.tmp"], "who began it lives"
    assert requests.waiting(tmp_path) == []
    assert os.listdir(tmp_path) == ["request-x.tmp"]
    assert requests.waiting(tmp_path, discard=True) == []
    assert os.listdir(tmp_path) == []


def test_request_is_its_authors_until_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        assert requests.waiting(tmp_path, discard=True) == []
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    requests.put(tmp_path, requests.RETRY, [1])
    assert [request.numbers for request in requests.waiting(tmp_path)] == [[1]]


def test_directory_that_is_not_there_has_no_requests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert requests.waiting(tmp_path / "gone") == []
    assert caplog.text == ""
    (tmp_path / "file").write_text("")
    assert requests.waiting(tmp_path / "file") == []
    assert "cannot look for requests" in caplog.text
    with pytest.raises(OSError, match="Not a directory"):
        requests.put(tmp_path / "file", requests.RETRY, [1])


def test_request_that_cannot_be_removed_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "request-x.json").mkdir()
    requests.remove(requests.Request(tmp_path / "request-x.json", "retry", [1]))
    assert "cannot remove" in caplog.text
