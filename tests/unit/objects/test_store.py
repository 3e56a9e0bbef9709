"""What the answers of a store mean."""

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from fastscp.objects.store import (
    AwayError,
    DamagedError,
    Found,
    NotThereError,
    S3Store,
    StoreError,
    TakenError,
)


class Client:
    """Answers what the test says, and notes what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def ask(**arguments: Any) -> Any:
            self.asked.append((name, arguments))
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask


def store(*answers: Any) -> tuple[S3Store, Client]:
    client = Client(*answers)
    return S3Store("bucket", None, most_connections=1, client=client), client


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "said"}}, "PutObject")


@pytest.mark.parametrize(("error", "meant"), [
    (refused("PreconditionFailed"), TakenError), (refused("ConditionalRequestConflict"), TakenError), (refused("BadDigest"), DamagedError),
    (refused("XAmzContentSHA256Mismatch"), DamagedError), (refused("NoSuchKey"), NotThereError), (refused("SlowDown"), AwayError),
    (refused("AccessDenied"), AwayError), (refused("NoSuchBucket"), AwayError), (refused("500"), AwayError),
    (EndpointConnectionError(endpoint_url="http://x"), AwayError), (ConnectionResetError("reset"), AwayError),
])
def test_errors(error: Exception, meant: type[StoreError]) -> None:
    with pytest.raises(meant):
        store(error)[0].put("k", b"o", "c")


def test_an_object_is_put_only_where_nothing_is() -> None:
    found, client = store({"ChecksumSHA256": "c"}, {})
    assert found.put("k", b"octets", "c") == "c"
    assert found.put("k", b"octets", "c", only_new=False) == ""
    (_, first), (_, second) = client.asked
    assert (first["IfNoneMatch"], first["ChecksumSHA256"], first["ContentLength"]) == ("*", "c", 6)
    assert "IfNoneMatch" not in second


def test_an_upload_in_parts_is_completed_only_where_nothing_is() -> None:
    found, client = store({"UploadId": "u"}, {"ETag": "e", "ChecksumSHA256": "c"}, {"ChecksumSHA256": "w-1"})
    part = found.put_part("k", found.begin("k"), 1, b"o", "c")
    assert found.complete("k", "u", [part]) == "w-1"
    assert client.asked[-1][1]["IfNoneMatch"] == "*"
    assert client.asked[-1][1]["MultipartUpload"] == {"Parts": [{"PartNumber": 1, "ETag": "e", "ChecksumSHA256": "c"}]}


def test_a_part_that_arrived_with_other_octets() -> None:
    with pytest.raises(DamagedError):
        store({"ETag": "e", "ChecksumSHA256": "other"})[0].put_part("k", "u", 1, b"o", "c")


def test_an_upload_that_is_gone_is_aborted() -> None:
    store(refused("NoSuchUpload"))[0].abort("k", "u")


def test_finding() -> None:
    found, _ = store({"ContentLength": 3, "ChecksumSHA256": "c"}, {"ContentLength": 3}, refused("404"))
    assert [found.find("k") for _ in range(3)] == [Found(3, "c"), Found(3, ""), None]


def test_uploads_of_other_keys_are_not_ours() -> None:
    found, _ = store({"Uploads": [{"Key": "k", "UploadId": "1"}, {"Key": "k2", "UploadId": "2"}]})
    assert found.unfinished("k") == ["1"]


def test_keys_of_several_pages() -> None:
    found, client = store({"Contents": [{"Key": "a"}], "IsTruncated": True, "NextContinuationToken": "t"}, {"Contents": [{"Key": "b"}]})
    assert list(found.keys("")) == ["a", "b"]
    assert client.asked[1][1]["ContinuationToken"] == "t"


def test_reading_closes_what_it_reads() -> None:
    body = io.BytesIO(b"octets")
    assert b"".join(store({"Body": body})[0].read("k")) == b"octets"
    assert body.closed
