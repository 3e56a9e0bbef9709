"""The object store behind a seeded run of a fleet: it is cut off for a while now and then, and has to have everything afterwards."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Mapping

from tests.support.s3 import BUCKET, ENVIRONMENT, Bucket, Moto, Proxy
from tests.support.servers import wait_until

COMPLETE_S = 120.0  #: for the last manifests


class StoreBehind:
    """``with StoreBehind() as store``: what gateways get as ``options`` and ``environment``."""

    environment = ENVIRONMENT

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> StoreBehind:  # noqa: PYI034 - Self is newer than Python 3.10
        moto = self._stack.enter_context(Moto())
        self._proxy = self._stack.enter_context(Proxy(moto.port))
        self._bucket = Bucket(moto.url)
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

    def faults(self, wanted: Mapping[str, tuple[int, set[str]]]) -> list[str]:
        """Return what the store lacks, or has and should not: of each study the revision and the objects are ``wanted``."""
        try:
            wait_until(lambda: self._latest().keys() >= {(study, revision) for study, (revision, _) in wanted.items()},
                       "the store has the manifest of every end", COMPLETE_S)
        except AssertionError as error:
            return [str(error)]
        found = []
        latest = self._latest()
        for study, (revision, instances) in wanted.items():
            if latest[study, revision] != sorted(instances):
                found.append(f"study {study}: the manifest of revision {revision} has {latest[study, revision]} instead of {sorted(instances)}")
        stored = sorted(key.split("/")[-2] for key in self._bucket.objects())  # compares octets with what keys say
        everything = sorted(instance for _, instances in wanted.values() for instance in instances)
        if stored != everything:
            found.append(f"in the store: {stored} instead of {everything}")
        if self._bucket.unfinished():
            found.append(f"unfinished in the store: {self._bucket.unfinished()}")
        return found

    def _latest(self) -> dict[tuple[str, int], list[str]]:
        return {(manifest["study_uid"], manifest["revision"]): sorted(entry["sop_instance_uid"] for entry in manifest["objects"])
                for manifest in self._bucket.manifests().values()}
