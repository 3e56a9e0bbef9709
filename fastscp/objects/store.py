"""The object store, by botocore: what uploads and manifests need of it, and what its answers mean.

Strategy: every request is made once; who asks knows what to do about failures. Credentials, region, CA certificates and
proxies are what botocore finds in its usual places.

Whatever goes wrong is a ``StoreError``: ``AwayError`` where nothing can be said of the request (network, time, an overloaded or refusing
store), ``TakenError`` where the key is, ``DamagedError`` where the octets that arrived were others than those that were sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from fastscp.errors import ProcessError

CONNECT_S: Final = 10
READ_S: Final = 60
_TAKEN: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_DAMAGED: Final = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidDigest"})
_NOT_THERE: Final = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchUpload"})
_PIECE: Final = 1 << 20


class StoreError(ProcessError):
    """The store did not do what it was asked for."""


class AwayError(StoreError):
    """It cannot be reached, or takes nothing now."""


class TakenError(StoreError):
    """There is something under that key."""


class DamagedError(StoreError):
    """It got other octets than were to be sent."""


class NotThereError(StoreError):
    """There is nothing under that key."""


@dataclass(frozen=True)
class Found:
    """What is under a key. ``checksum`` is its SHA-256 or that of its parts' in base64, "" where the store does not know it."""

    size: int
    checksum: str


class S3Store:
    """One bucket."""

    def __init__(self, bucket: str, endpoint: str | None, *, most_connections: int, client: Any = None) -> None:
        self._bucket = bucket
        self._client = client or _client(endpoint, most_connections)

    def put(self, key: str, body: bytes, checksum: str, *, only_new: bool = True) -> str:
        """Store an object as a whole; return the checksum of what arrived, "" where the store does not tell."""
        with _meant():
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentLength=len(body),
                                             ChecksumSHA256=checksum, **({"IfNoneMatch": "*"} if only_new else {}))
        return str(answer.get("ChecksumSHA256", ""))

    def begin(self, key: str) -> str:
        """Begin an upload in parts; return its number."""
        with _meant():
            answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256")
        return str(answer["UploadId"])

    def put_part(self, key: str, upload: str, number: int, body: bytes, checksum: str) -> dict[str, Any]:
        """Upload a part; return what ``complete`` needs of it."""
        with _meant():
            answer = self._client.upload_part(Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=body,
                                              ContentLength=len(body), ChecksumSHA256=checksum)
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise DamagedError(f"part {number} of {key} arrived with other octets")
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def complete(self, key: str, upload: str, parts: Sequence[Mapping[str, Any]], *, only_new: bool = True) -> str:
        """Make an object of its parts; return its checksum, "" where the store does not tell."""
        with _meant():
            answer = self._client.complete_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload,
                                                            MultipartUpload={"Parts": list(parts)},
                                                            **({"IfNoneMatch": "*"} if only_new else {}))
        return str(answer.get("ChecksumSHA256", ""))

    def abort(self, key: str, upload: str) -> None:
        """Drop an upload in parts, and what came of it."""
        with contextlib.suppress(NotThereError), _meant():
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)

    def unfinished(self, key: str) -> list[str]:
        """Return the uploads of a key that were begun and not completed."""
        with _meant():
            answer = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key)
        return [entry["UploadId"] for entry in answer.get("Uploads", ()) if entry["Key"] == key]

    def find(self, key: str) -> Found | None:
        """Return what is under a key, None where nothing is."""
        try:
            with _meant():
                answer = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except NotThereError:
            return None
        return Found(int(answer["ContentLength"]), str(answer.get("ChecksumSHA256", "")))

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the octets of an object."""
        with _meant():
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            with contextlib.closing(body):
                while octets := body.read(_PIECE):
                    yield octets

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin so, in order."""
        token: dict[str, str] = {}
        while True:
            with _meant():
                answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **token)
            yield from (entry["Key"] for entry in answer.get("Contents", ()))
            if not answer.get("IsTruncated"):
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}


def _client(endpoint: str | None, most_connections: int) -> Any:
    """Return a client. An endpoint of one's own is asked by path: it need not have a name for each bucket."""
    session = botocore.session.get_session()
    own = endpoint or session.get_config_variable("endpoint_url")
    return session.create_client(
        "s3", endpoint_url=endpoint, region_name=session.get_config_variable("region") or "us-east-1",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=CONNECT_S, read_timeout=READ_S,
                      max_pool_connections=most_connections, s3={"addressing_style": "path" if own else "auto"}))


@contextlib.contextmanager
def _meant() -> Iterator[None]:
    """Say what an error of the client means."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = (TakenError if code in _TAKEN else DamagedError if code in _DAMAGED else NotThereError if code in _NOT_THERE else AwayError)
        raise kind(_said(error)) from error
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise AwayError(_said(error)) from error


def _said(error: Exception) -> str:
    """Return the first line of what was said."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]
