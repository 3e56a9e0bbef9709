"""An object store for tests: moto's server in a process of its own, a proxy in front that does harm, and what is in a bucket."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.servers import free_port, wait_until

BUCKET = "bucket"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
               "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


class Moto:
    """``with Moto() as store``: an S3 server that keeps everything in memory."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Moto:  # noqa: PYI034 - Self is newer than Python 3.10
        self._process = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT})
        wait_until(self._answers, "the store answers", 60)
        self.reset()
        return self

    def _answers(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def reset(self) -> None:
        """Begin with one empty bucket."""
        request(f"{self.url}/moto-api/reset", "POST")
        client(self.url).create_bucket(Bucket=BUCKET)


def client(url: str) -> Any:
    """Return a client that has nothing to do with the one under test."""
    import botocore.session
    from botocore.config import Config

    session = botocore.session.get_session()
    session.set_credentials("test", "test")
    return session.create_client("s3", endpoint_url=url, region_name="us-east-1",
                                 config=Config(s3={"addressing_style": "path"}, proxies={}))


def request(url: str, method: str = "GET") -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method), timeout=30) as answer:
        octets: bytes = answer.read()
    return octets


class Bucket:
    """What is in the bucket of a store."""

    def __init__(self, url: str) -> None:
        self._client = client(url)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))

    def read(self, key: str) -> bytes:
        octets: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return octets

    def objects(self, prefix: str = "p/") -> dict[str, bytes]:
        """Return the octets of each object, by key; each has to be what its key says."""
        found = {key: self.read(key) for key in self.keys(f"{prefix}objects/")}
        for key, octets in found.items():
            assert key.endswith(f"/{hashlib.sha256(octets).hexdigest()}.dcm"), f"{key} has other octets"
        return found

    def manifests(self, prefix: str = "p/") -> dict[str, dict[str, Any]]:
        """Return the manifests, by key; whatever they name has to be there."""
        manifests = {key: json.loads(self.read(key)) for key in self.keys(f"{prefix}studies/")}
        there = set(self.keys(f"{prefix}objects/"))
        for key, manifest in manifests.items():
            assert {entry["key"] for entry in manifest["objects"]} <= there, f"{key} names what is not there"
        return manifests

    def unfinished(self) -> list[str]:
        return [entry["Key"] for entry in self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())]


#: what is done to a request
Fault = Callable[[str, str], str]


class Proxy:
    """Passes requests on to a store, and does to them what ``fault(method, path)`` says: "" or one of ``HARMS``."""

    HARMS = ("500", "503", "reset", "late", "lost", "slow", "damage")

    def __init__(self, port: int, fault: Fault = lambda _method, _path: "") -> None:
        self.fault = fault
        self.done: Counter[str] = Counter()
        self.written: dict[str, float] = {}  #: when the store had each path first, in seconds since the epoch
        self._target = port
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                return

            def _pass(self) -> None:
                proxy.handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:  # noqa: PYI034 - Self is newer than Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        harm = self.fault(handler.command, handler.path)
        self.done[harm] += 1
        if harm == "reset":
            self._drop(handler)
            return
        if handler.headers.get("Expect", "").lower() == "100-continue" and handler.request_version != "HTTP/1.1":
            handler.send_response_only(100)
            handler.end_headers()
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        if harm in {"500", "503"}:
            self._answer(handler, int(harm), [], b"")
            return
        if harm == "slow":
            time.sleep(0.3)
        if harm == "damage" and body and handler.command == "PUT":
            body = bytes([body[0] ^ 1]) + body[1:]
        connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in {"connection", "expect"}}
        connection.request(handler.command, handler.path, body, headers)
        answer = connection.getresponse()
        octets = answer.read()
        if handler.command == "PUT" and answer.status < 300:
            self.written.setdefault(handler.path.partition("?")[0], time.time())
        if harm == "lost":  # it was done, and nobody is told
            self._drop(handler)
            return
        if harm == "late":
            time.sleep(0.2)
        self._answer(handler, answer.status, answer.getheaders(), octets)
        connection.close()

    @staticmethod
    def _drop(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.connection.close()

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], octets: bytes) -> None:
        handler.send_response_only(status)
        length = str(len(octets))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in {"connection", "transfer-encoding"}:
                handler.send_header(name, value)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(octets)


def seeded(seed: int, share: float = 0.3, harms: tuple[str, ...] = Proxy.HARMS) -> Fault:
    """Return a fault that does some harm to so many of the requests."""
    chance = random.Random(seed)
    lock = threading.Lock()

    def fault(_method: str, _path: str) -> str:
        with lock:
            return chance.choice(harms) if chance.random() < share else ""

    return fault
