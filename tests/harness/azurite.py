"""Microsoft's own emulator of Azure Blob Storage. Only `make test-azure` asks for it: it is 200 MB of packages."""

import base64
import hashlib
import hmac
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from deploy.parts.program import Program
from frontdesk.adapters.blob_store.object_store import ObjectBlobStore, open_bucket
from harness.ports import lasting_port

IS_ASKED_FOR = bool(os.environ.get("FRONTDESK_TESTS_AZURE"))
PROGRAM = Path(__file__).parents[1] / "azure/node_modules/azurite/dist/src/blob/main.js"
PORTS = range(26900, 26950)
CONTAINER = "files"
# The account that the emulator has, as its documentation says.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_API_VERSION = "2021-08-06"


class Azurite:
    """With one container."""

    def __init__(self, directory: Path) -> None:
        self._port = lasting_port(PORTS)
        options = ("--silent", "--disableTelemetry", "--skipApiVersionCheck", f"--location={directory}")
        where = ("--blobHost=127.0.0.1", f"--blobPort={self._port}")
        self._program = Program("node", str(PROGRAM), *where, *options, log=directory / "log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/{ACCOUNT}"

    def start(self) -> None:
        self._program.start()
        self._program.await_ready(self._make_container, seconds=60)

    def stop(self) -> None:
        if self._program.started:
            self._program.kill()

    def store(self, *, prefix: str) -> ObjectBlobStore:
        bucket = open_bucket(
            "az",
            CONTAINER,
            account_name=ACCOUNT,
            account_key=KEY,
            endpoint=self.url,
            client_options={"allow_http": True},
        )
        return ObjectBlobStore(bucket, prefix=prefix, address=f"az://{CONTAINER}")

    def _make_container(self) -> bool:
        """Signed with the account's key ("Authorize with Shared Key" of the service's REST API); the store can't."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _API_VERSION}
        lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
        signed = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}", "restype:container"])
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
        request = urllib.request.Request(f"{self.url}/{CONTAINER}?restype=container", method="PUT", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status) == 201
        except urllib.error.HTTPError:
            raise
        except OSError:
            return False


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    server = Azurite(tmp_path_factory.mktemp("azurite"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
