"""The object store behind a seeded run of a fleet: it is cut off for a while now and then, and has to have everything afterwards."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tests.support.s3 import BUCKET, ENVIRONMENT, Bucket, Moto, Proxy
from tests.support.servers import wait_until

COMPLETE_S = 120.0  #: for the last manifests


class Contents(Protocol):
    """What is in a bucket."""

    def keys(self, prefix: str = "") -> list[str]: ...
    def objects(self, prefix: str = "p/") -> dict[str, bytes]: ...
    def manifests(self, prefix: str = "p/") -> dict[str, dict[str, Any]]: ...
    def unfinished(self) -> list[str]: ...


class StoreBehind:
    """``with StoreBehind() as store``: what gateways get as ``options`` and ``environment``."""

    environment = ENVIRONMENT

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> StoreBehind:  # noqa: PYI034 - Self is newer than Python 3.10
        moto = self._stack.enter_context(Moto())
        self._proxy = self._stack.enter_context(Proxy(moto.port))
        self.bucket = Bucket(moto.url)
        self.options = ("--object-store", f"s3://{BUCKET}/p", "--object-store-endpoint", self._proxy.url)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def cut_off(self, chance: random.Random, over: threading.Event) -> None:
        """Have nobody reach the store for a while, some of them after it has done what they asked for."""
        harm = chance.choice(["reset", "lost", "503"])
        self._proxy.fault = lambda _method, _path: harm
        over.wait(chance.uniform(0.2, 1.5))
        self._proxy.fault = lambda _method, _path: ""

    def manifest_at(self, study: str, revision: int) -> float | None:
        """Return when the store had a manifest, in seconds since the epoch; None when it has none."""
        return self._proxy.written.get(f"/{BUCKET}/{_manifest_key(study, revision)}")

    def faults(self, wanted: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
        """Return what the store lacks, or has and should not: of each study the objects of each of its ends are ``wanted``."""
        return faults_of(self.bucket, wanted)


def _manifest_key(study: str, revision: int) -> str:
    return f"p/studies/{study}/{revision:08d}.json"


def faults_of(bucket: Contents, wanted: Mapping[str, Sequence[Sequence[str]]], complete_s: float = COMPLETE_S) -> list[str]:
    """Return what a bucket lacks, or has and should not. What is still under way may take so long."""
    manifests = {_manifest_key(study, revision): (study, revision, sorted(end))
                 for study, ends in wanted.items() for revision, end in enumerate(ends, 1)}
    objects = sorted({(study, instance) for study, ends in wanted.items() for end in ends for instance in end})
    found: list[str] = []
    with _listed(found):
        wait_until(lambda: set(bucket.keys("p/studies/")) >= manifests.keys(), "the store has the manifest of every end", complete_s)
    with _listed(found):  # what came through two gateways may be on its way from the other one still
        wait_until(lambda: not bucket.unfinished(), "nothing is left unfinished in the store", complete_s)
    with _listed(found):
        there = {key: _said(manifest) for key, manifest in bucket.manifests().items()}
        found.extend(f"{key}: {there.get(key)} instead of {manifests.get(key)}" for key in sorted({*there, *manifests})
                     if there.get(key) != manifests.get(key))
    with _listed(found):
        stored = sorted((key.split("/")[-4], key.split("/")[-2]) for key in bucket.objects())  # compares octets with what keys say
        if stored != objects:
            found.append(f"in the store: {stored} instead of {objects}")
    return found


def _said(manifest: Mapping[str, Any]) -> tuple[str, int, list[str]]:
    return manifest["study_uid"], manifest["revision"], sorted(entry["sop_instance_uid"] for entry in manifest["objects"])


@contextlib.contextmanager
def _listed(found: list[str]) -> Iterator[None]:
    """Have what a look at the store asserts be one fault of several."""
    try:
        yield
    except AssertionError as error:
        found.append(str(error))
