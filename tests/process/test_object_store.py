"""Objects in an object store: real services and clients, a real S3 server, faults in between."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import fleet
from tests.support.fleet import url_of
from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.oracle import file_meta
from tests.support.postgres import Postgres, needed
from tests.support.rawscu import RawSCU
from tests.support.s3 import BUCKET, ENVIRONMENT, Bucket, Moto, Proxy, seeded
from tests.support.servers import free_port, wait_until

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


class Gateway(fleet.Gateway):
    """A service with an object store."""

    def __init__(self, directory: Path, url: str, *options: object, sorting: tuple[str, str] = ("-su", "s")) -> None:
        super().__init__(directory, *sorting, "-tos", 1, "--workers", 1, "--object-store", f"s3://{BUCKET}/p", "--object-store-endpoint", url,
                         *options, environment=ENVIRONMENT)

    def store(self, study: str, *instances: str, patient: str = "A", pixels: int = 2048) -> None:
        send(self.port, study, *instances, patient=patient, pixels=pixels)

    def files(self) -> dict[str, bytes]:
        """Return the files of objects that are here."""
        found = {}
        for path in sorted(self.output.rglob("CT*")):
            with contextlib.suppress(FileNotFoundError):  # it may be renamed or removed meanwhile
                found[str(path.relative_to(self.output))] = path.read_bytes()
        return found


def send(port: int, study: str, *instances: str, patient: str = "A", pixels: int = 2048) -> None:
    with RawSCU("127.0.0.1", port) as scu:
        scu.associate(CT_CONTEXT)
        for instance in instances:
            status = scu.store(1, CT, instance, data_set(instance, study=study, patient=patient, pixels=pixels))
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


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("dcmsend") is None, reason="DCMTK is not installed")
def test_what_dcmsend_and_storescu_send_is_in_the_store(tmp_path: Path, gateway: Gateway, bucket: Bucket) -> None:
    for number in range(1, 4):
        (tmp_path / f"{number}.dcm").write_bytes(file_meta("1.2.840.10008.1.2.1", CT, f"1.2.5.{number}")
                                                 + data_set(f"1.2.5.{number}", study="1.2.5"))
    for program, name in (("dcmsend", "1.dcm"), ("dcmsend", "2.dcm"), ("storescu", "3.dcm")):
        subprocess.run([program, "127.0.0.1", str(gateway.port), str(tmp_path / name)], check=True,
                       env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True)
    wait_until(lambda: complete(bucket, "1.2.5"), "the manifest", LONG_S)
    assert sorted(bucket.objects().values()) == sorted(gateway.files().values())
    assert len(bucket.manifests()["p/studies/1.2.5/00000001.json"]["objects"]) == 3


@pytest.mark.parametrize("seed", [3])
def test_a_store_that_fails_again_and_again_gets_everything_in_the_end(gateway: Gateway, store: Proxy, bucket: Bucket, seed: int) -> None:
    store.fault = seeded(seed, 0.35)
    for study in range(2):
        gateway.store(f"1.2.6.{study}", *(f"1.2.6.{study}.{number}" for number in range(5)))
    wait_until(lambda: complete(bucket, *(f"1.2.6.{study}" for study in range(2))), "every manifest", 2 * LONG_S)
    assert sum(count for harm, count in store.done.items() if harm) > 2
    assert sorted(bucket.objects().values()) == sorted(gateway.files().values())
    assert all(len(manifest["objects"]) == 5 for manifest in bucket.manifests().values())
    assert all(key.endswith("/00000001.json") for key in bucket.manifests())


def test_octets_that_are_damaged_on_their_way_are_sent_again(gateway: Gateway, store: Proxy, bucket: Bucket) -> None:
    store.fault = lambda method, path: "damage" if method == "PUT" and store.done["damage"] < 2 else ""
    gateway.store("1.2.7", "1.2.7.1")
    wait_until(lambda: complete(bucket, "1.2.7"), "the manifest", LONG_S)
    assert store.done["damage"] == 2
    assert digests(bucket.objects()) == digests(gateway.files())


def test_receiving_goes_on_while_the_store_is_away(tmp_path: Path, store: Proxy, bucket: Bucket) -> None:
    port = free_port()
    with Gateway(tmp_path, store.url, "--metrics", port) as gateway:
        gateway.store("1.2.8", "1.2.8.1")
        wait_until(lambda: complete(bucket, "1.2.8"), "the manifest", LONG_S)
        wait_until(lambda: "degraded" not in ready(port), "all is well")
        store.fault = lambda _method, _path: "reset"
        gateway.store("1.2.9", "1.2.9.1", "1.2.9.2")
        wait_until(lambda: ready(port).get("degraded"), "degraded", LONG_S)
        verdict = ready(port)
        assert verdict["ok"] is True
        wait_until(lambda: ready(port)["checks"]["object store"]["detail"] == "it is away, 2 objects wait", "what waits is told", LONG_S)
        assert not complete(bucket, "1.2.9")
        assert gateway.server is not None
        pid = gateway.server.process.pid if gateway.server.process else 0
        gateway.store("1.2.9", "1.2.9.3")
        store.fault = lambda _method, _path: ""
        wait_until(lambda: {entry["sop_instance_uid"] for key, manifest in bucket.manifests().items() if "/1.2.9/" in key
                            for entry in manifest["objects"]} == {"1.2.9.1", "1.2.9.2", "1.2.9.3"}, "it has caught up", 2 * LONG_S)
        wait_until(lambda: "degraded" not in ready(port), "all is well again", LONG_S)
        assert gateway.server.process is not None
        assert gateway.server.process.pid == pid
        assert gateway.server.log().count(b"the object store is away") == 1
        assert gateway.server.log().count(b"the object store is there again") == 1
        wait_until(lambda: b"fastscp_object_store_objects_total 4.0" in metrics(port), "counted", LONG_S)


def ready(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
        verdict: dict[str, Any] = json.loads(answer.read())
    return verdict


MIB = 1 << 20
FULL = 0xA700  #: Refused: out of resources


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 24 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(mount)], capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own needs root")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_receiving_goes_on_until_the_disk_is_full_and_again_when_the_store_has_caught_up(small: Path, store: Proxy, bucket: Bucket) -> None:
    """The bucket is away until ``--min-free``, then A700; afterwards everything is there, and there is room again."""
    store.fault = lambda _method, _path: "503"
    acknowledged: list[str] = []

    def send_one(number: int) -> int:
        instance = f"1.2.19.{number // 3}.{number}"
        with RawSCU("127.0.0.1", gateway.port) as scu:
            scu.associate(CT_CONTEXT)
            status = scu.store(1, CT, instance, data_set(instance, study=f"1.2.19.{number // 3}", pixels=MIB))
            scu.release()
        if status == 0:
            acknowledged.append(instance)
        return status

    with Gateway(small, store.url, "--min-free", "12M", "--keep-local", "until-completed") as gateway:
        statuses = [send_one(number) for number in range(20)]
        assert set(statuses) == {0, FULL}
        assert statuses == sorted(statuses)
        assert 6 <= len(acknowledged) <= 12
        assert len(gateway.files()) == len(acknowledged)
        gateway.kill()  # with a full disk, as well
        gateway.start()
        assert send_one(20) == FULL
        store.fault = lambda _method, _path: ""
        wait_until(lambda: not gateway.files(), "the files are gone", 2 * LONG_S)
        assert [send_one(number) for number in range(30, 33)] == [0, 0, 0]
        wait_until(lambda: complete(bucket, *{instance.rpartition(".")[0] for instance in acknowledged}), "every manifest", LONG_S)
    assert sorted(key.split("/")[-2] for key in bucket.objects()) == sorted(acknowledged)
    assert {entry["sop_instance_uid"] for manifest in bucket.manifests().values() for entry in manifest["objects"]} == set(acknowledged)


def metrics(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        octets: bytes = answer.read()
    return octets


@pytest.mark.parametrize("seed", [11])
def test_nothing_is_lost_and_nothing_twice_when_processes_are_killed(tmp_path: Path, store: Proxy, bucket: Bucket, seed: int) -> None:
    chance = random.Random(seed)
    store.fault = seeded(seed, 0.2, ("slow", "lost", "503"))
    with Gateway(tmp_path, store.url) as gateway:
        for study in range(4):
            gateway.store(f"1.2.10.{study}", *(f"1.2.10.{study}.{number}" for number in range(4)))
            before = sum(store.done.values())
            wanted = chance.randrange(1, 5)
            wait_until(lambda before=before, wanted=wanted: sum(store.done.values()) >= before + wanted, "something is uploaded", LONG_S)
            victim = ("objects", "coordinator", "gateway", "objects")[study % 4]
            if victim == "gateway":
                gateway.kill()
                gateway.start()
            else:
                for process in gateway.role(victim):
                    process.kill()
        wait_until(lambda: complete(bucket, *(f"1.2.10.{study}" for study in range(4))), "every manifest", 2 * LONG_S)
        wait_until(lambda: backlog(gateway) == (0, 0), "the journal is empty", LONG_S)
    assert sorted(bucket.objects().values()) == sorted(gateway.files().values())
    manifests = bucket.manifests()
    assert len(manifests) == 4
    assert all(len(manifest["objects"]) == 4 for manifest in manifests.values())


def backlog(gateway: Gateway) -> tuple[int, int]:
    """Return how many files and ends are in the journal."""
    with contextlib.closing(sqlite3.connect(f"file:{gateway.output}/.fastscp/state.sqlite3?mode=ro", uri=True)) as connection:
        (uploads,), (parts,) = (connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("uploads", "parts"))
    return uploads, parts


def test_a_long_object_goes_in_parts_and_leaves_none_when_it_is_interrupted(gateway: Gateway, store: Proxy, bucket: Bucket) -> None:
    killed: list[int] = []

    def fault(method: str, path: str) -> str:
        if method == "PUT" and "partNumber=2" in path and not killed:
            killed.extend(process.pid for process in gateway.role("objects"))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            return "reset"
        return ""

    store.fault = fault
    gateway.store("1.2.11", "1.2.11.1", pixels=40 << 20)
    wait_until(lambda: killed, "the process was killed in the middle", LONG_S)
    wait_until(lambda: complete(bucket, "1.2.11"), "the manifest", LONG_S)
    assert digests(bucket.objects()) == digests(gateway.files())
    assert bucket.unfinished() == []


# -- --keep-local ---------------------------------------------------------------------------------------------


def test_files_go_when_the_study_is_in_the_store_and_its_hook_has_run(tmp_path: Path, store: Proxy, bucket: Bucket) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    hook = f'while [ ! -e {go} ]; do sleep 0.05; done; cat #p/CT* | sha256sum >>{log}; [ "$(wc -l <{log})" -gt 1 ]'
    with Gateway(tmp_path, store.url, "--keep-local", "until-completed", "-xcs", hook, "--hook-retries", 3, "-v") as gateway:
        gateway.store("1.2.12", "1.2.12.1", "1.2.12.2")
        wait_until(lambda: complete(bucket, "1.2.12"), "the manifest", LONG_S)
        files = gateway.files()
        assert len(files) == 2  # the hook runs
        go.touch()
        wait_until(lambda: not gateway.files(), "the files are gone", LONG_S)
        first, second = log.read_text().splitlines()  # the hook failed once, and had the files when it ran again
        assert first == second
        assert sorted(bucket.objects().values()) == sorted(files.values())
        wait_until(lambda: backlog(gateway) == (0, 0), "nothing is left of it", LONG_S)
        assert not any(path.name.startswith("s_") for path in gateway.output.iterdir())
        # the same again: it is known, and changes nothing
        gateway.store("1.2.12", "1.2.12.1")
        assert gateway.server is not None
        server = gateway.server
        wait_until(lambda: b"nothing but repeated objects came" in server.log(), "it is recognised", LONG_S)
        wait_until(lambda: not gateway.files() and backlog(gateway) == (0, 0), "and goes again", LONG_S)
        assert len(log.read_text().splitlines()) == 2
        # and something new is a new revision, in which everything is
        gateway.store("1.2.12", "1.2.12.3")
        wait_until(lambda: complete(bucket, "1.2.12", revision=2), "the next manifest", LONG_S)
        late = bucket.manifests()["p/studies/1.2.12/00000002.json"]
        assert [(entry["sop_instance_uid"], entry["revision"]) for entry in late["objects"]] == [
            ("1.2.12.1", 1), ("1.2.12.2", 1), ("1.2.12.3", 2)]


def test_no_file_goes_that_the_store_does_not_have(tmp_path: Path, store: Proxy, bucket: Bucket) -> None:
    store.fault = lambda method, path: "503" if method == "PUT" and "1.2.13.2" in path else ""
    with Gateway(tmp_path, store.url, "--keep-local", "until-completed") as gateway:
        gateway.store("1.2.13", "1.2.13.1", "1.2.13.2")
        gateway.store("1.2.14", "1.2.14.1")
        wait_until(lambda: store.done["503"] > 2, "it was tried again and again", LONG_S)
        assert len([name for name in gateway.files() if "1.2.13" in name]) == 2
        assert not complete(bucket, "1.2.13")
        store.fault = lambda _method, _path: ""
        wait_until(lambda: complete(bucket, "1.2.13", "1.2.14"), "the manifests", LONG_S)
        wait_until(lambda: not gateway.files(), "the files are gone", LONG_S)
    assert len(bucket.objects()) == 3


def test_files_stay_for_as_long_as_is_said(tmp_path: Path, store: Proxy, bucket: Bucket) -> None:
    with Gateway(tmp_path, store.url, "--keep-local", "1h") as gateway:
        gateway.store("1.2.15", "1.2.15.1")
        wait_until(lambda: complete(bucket, "1.2.15"), "the manifest", LONG_S)
        wait_until(lambda: written(gateway), "that is known", LONG_S)
        assert len(gateway.files()) == 1
        assert backlog(gateway) == (1, 1)


def written(gateway: Gateway) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{gateway.output}/.fastscp/state.sqlite3?mode=ro", uri=True)) as connection:
        return bool(connection.execute("SELECT 1 FROM parts WHERE written IS NOT NULL").fetchone())


def test_a_study_is_handed_over_when_the_store_has_it(tmp_path: Path, store: Proxy, bucket: Bucket) -> None:
    completed = tmp_path / "completed"
    completed.mkdir()
    store.fault = lambda method, _path: "503" if method == "PUT" else ""
    with Gateway(tmp_path, store.url, "--completed-directory", completed) as gateway:
        gateway.store("1.2.16", "1.2.16.1")
        wait_until(lambda: store.done["503"] > 1, "the store is asked", LONG_S)
        assert list(completed.iterdir()) == []
        store.fault = lambda _method, _path: ""
        wait_until(lambda: list(completed.rglob("CT*")), "it is handed over", LONG_S)
        shutil.rmtree(completed / "s_1.2.16")  # whoever it is for takes it away
        wait_until(lambda: complete(bucket, "1.2.16"), "the manifest", LONG_S)
    assert len(bucket.objects()) == 1


def test_files_that_are_renamed_under_way_are_found(tmp_path: Path, store: Proxy, bucket: Bucket) -> None:
    store.fault = lambda method, path: "slow" if method == "PUT" else ""
    with Gateway(tmp_path, store.url, "-rns", "--keep-local", "until-completed", sorting=("-ss", "s")) as gateway:
        for study in range(3):
            gateway.store(f"1.2.17.{study}", *(f"1.2.17.{study}.{number}" for number in range(6)))
        wait_until(lambda: complete(bucket, *(f"1.2.17.{study}" for study in range(3))), "every manifest", LONG_S)
        wait_until(lambda: not gateway.files(), "the files are gone", LONG_S)
    assert len(bucket.objects()) == 18


# -- in a fleet -----------------------------------------------------------------------------------------------


def test_a_study_through_two_gateways_has_one_manifest_with_everything(tmp_path: Path, store: Proxy, bucket: Bucket) -> None:
    needed()
    with Postgres() as postgres, contextlib.ExitStack() as stack:
        members = [stack.enter_context(Gateway(tmp_path / name, store.url, "--state", url_of(postgres), "--keep-local", "until-completed",
                                               "-xcs", f"cp $FASTSCP_FLEET_OBJECTS {tmp_path}/list.$FASTSCP_REVISION"))
                   for name in "ab"]
        wait_until(lambda: postgres.query("SELECT count(*) FROM fastscp.gateways WHERE shipped_through IS NOT NULL") == "2", "both", LONG_S)
        members[0].store("1.2.18", "1.2.18.1", "1.2.18.3")
        members[1].store("1.2.18", "1.2.18.2", "1.2.18.3")
        members[1].role("objects")[0].kill()
        wait_until(lambda: complete(bucket, "1.2.18"), "the manifest", LONG_S)
        wait_until(lambda: not (members[0].files() or members[1].files()), "the files are gone on both", LONG_S)
        manifests = bucket.manifests()
        assert list(manifests) == ["p/studies/1.2.18/00000001.json"]
        (manifest,) = manifests.values()
        assert [entry["sop_instance_uid"] for entry in manifest["objects"]] == ["1.2.18.1", "1.2.18.2", "1.2.18.3"]
        assert len(bucket.objects()) == 3
        assert len(json.loads((tmp_path / "list.1").read_bytes())["objects"]) == 3
        members[1].store("1.2.18", "1.2.18.4")
        wait_until(lambda: complete(bucket, "1.2.18", revision=2), "the next manifest", LONG_S)
        assert len(bucket.manifests()["p/studies/1.2.18/00000002.json"]["objects"]) == 4
        wait_until((tmp_path / "list.2").exists, "the next hook", LONG_S)
        told = {entry["sop_instance_uid"]: entry["store_key"] for entry in json.loads((tmp_path / "list.2").read_bytes())["objects"]}
        assert told["1.2.18.1"].startswith("p/objects/1.2.18/")  # whose file is gone


# -- without it -----------------------------------------------------------------------------------------------


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=30,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})


def test_without_the_extra_the_message_names_it(tmp_path: Path) -> None:
    done = run("-c", f"""
import importlib.util, runpy, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "botocore" else found(name, package)
sys.argv = ["x", "-su", "s", "-tos", "5", "-od", {str(tmp_path)!r}, "--object-store", "s3://bucket/p", "11112"]
runpy.run_module("fastscp", run_name="__main__", alter_sys=True)
""")
    assert done.returncode == 1
    assert "install fastscp[s3]" in done.stderr


def test_without_an_object_store_nothing_of_it_is_imported() -> None:
    done = run("-c", ("import sys\nimport fastscp.cli.main, fastscp.service.run, fastscp.coordinator.process\n"
                      "print([name for name in sys.modules if name.startswith(('boto', 'fastscp.objects'))])"))
    assert done.stdout == "[]\n"
