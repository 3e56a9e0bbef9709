"""Objects in an object store: real services and clients, a real S3 server, faults in between."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.s3 import BUCKET, ENVIRONMENT, Bucket, Moto, Proxy
from tests.support.servers import FastscpServer, wait_until

pytestmark = pytest.mark.slow
LONG_S = 60.0


@pytest.fixture(scope="module")
def shared() -> Iterator[Moto]:
    with Moto() as moto:
        yield moto


@pytest.fixture
def store(shared: Moto) -> Iterator[Proxy]:
    """Return a proxy in front of an empty bucket."""
    shared.reset()
    with Proxy(shared.port) as proxy:
        yield proxy


@pytest.fixture
def bucket(shared: Moto) -> Bucket:
    return Bucket(shared.url)


class Gateway:
    """A service with an object store."""

    def __init__(self, directory: Path, url: str, *options: object) -> None:
        self.output = directory / "in"
        self.output.mkdir(parents=True, exist_ok=True)
        self.arguments = ["-od", self.output, "-su", "s", "-tos", "1", "--workers", "1", "--object-store", f"s3://{BUCKET}/p",
                          "--object-store-endpoint", url, *options]
        self.server: FastscpServer | None = None
        self.port = 0

    def start(self) -> Gateway:
        self.server = FastscpServer([str(argument) for argument in self.arguments], environment=ENVIRONMENT)
        if self.port:
            self.server.port = self.port
        self.server.start()
        self.port = self.server.port
        return self

    def __enter__(self) -> Gateway:  # noqa: PYI034 - Self is newer than Python 3.10
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.server is not None:
            self.server.__exit__(*(exc or (None, None, None)))

    def kill(self) -> None:
        """End every process at once, the one that uploads included."""
        assert self.server is not None
        uploaders = self.server.role("objects")
        self.server.kill()
        for process in uploaders:
            if process.is_running():
                process.kill()
        self.server.__exit__(None, None, None)
        self.server = None

    def store(self, study: str, *instances: str, patient: str = "") -> None:
        send(self.port, study, *instances, patient=patient)

    def files(self, *suffix: str) -> dict[str, bytes]:
        """Return the files of objects that are here."""
        return {str(path.relative_to(self.output)): path.read_bytes() for path in sorted(self.output.rglob("CT.*"))
                if ".fastscp" not in path.parts}


def send(port: int, study: str, *instances: str, patient: str = "") -> None:
    with RawSCU("127.0.0.1", port) as scu:
        scu.associate(CT_CONTEXT)
        for instance in instances:
            status = scu.store(1, CT, instance, data_set(instance, study=study, **({"patient": patient} if patient else {})))
            assert status == 0, f"{status:04X}"
        scu.release()


def complete(bucket: Bucket, *studies: str, revision: int = 1) -> bool:
    return {f"p/studies/{study}/{revision:08d}.json" for study in studies} <= set(bucket.keys("p/studies/"))


def digests(files: dict[str, bytes]) -> set[str]:
    return {hashlib.sha256(octets).hexdigest() for octets in files.values()}


@pytest.fixture
def gateway(tmp_path: Path, store: Proxy) -> Iterator[Gateway]:
    with Gateway(tmp_path, store.url) as gateway:
        yield gateway


def test_what_is_received_is_in_the_store_and_the_manifest_comes_last(gateway: Gateway, store: Proxy, bucket: Bucket) -> None:
    order: list[str] = []

    def noted(method: str, path: str) -> str:
        if method == "PUT":
            order.append(path)
        return ""

    store.fault = noted
    gateway.store("1.2.3", "1.2.3.1", "1.2.3.2")
    gateway.store("1.2.4", "1.2.4.1")
    wait_until(lambda: complete(bucket, "1.2.3", "1.2.4"), "both manifests", LONG_S)
    files, objects = gateway.files(), bucket.objects()
    assert len(files) == 3
    assert sorted(objects.values()) == sorted(files.values())
    manifest = bucket.manifests()["p/studies/1.2.3/00000001.json"]
    assert [entry["sop_instance_uid"] for entry in manifest["objects"]] == ["1.2.3.1", "1.2.3.2"]
    assert manifest["counts"] == {"series": 1, "objects": 2, "octets": sum(len(objects[e["key"]]) for e in manifest["objects"])}
    (at,) = (number for number, path in enumerate(order) if "/studies/1.2.3/" in path)
    assert sum("/objects/1.2.3/" in path for path in order[:at]) == 2
    assert not any("/objects/1.2.3/" in path for path in order[at:])
