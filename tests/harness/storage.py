"""A real object store for tests: SeaweedFS, which speaks S3.

Google's XML interface has the same requests with other signatures, so its client is tried on one that takes what is not
signed.
"""

import json
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.parts.program import Program
from frontdesk.adapters.blob_store.object_store import Bucket, ObjectBlobStore, open_bucket
from harness.ports import lasting_port

PORTS = range(26600, 26900)
BUCKET = "files"
S3_KEY, S3_SECRET = "test-key", "test-secret-that-is-long-enough"


class S3Server:
    """SeaweedFS with one bucket. If `signed`, it holds to signatures and to their time, as the real one does; else it
    takes everything, as no real one does.
    """

    def __init__(self, directory: Path, *, signed: bool) -> None:
        self.port, *others = (lasting_port(PORTS) for _ in range(8))
        keys = [{"accessKey": S3_KEY, "secretKey": S3_SECRET}]
        people = [{"name": "test", "credentials": keys, "actions": ["Admin"]}]
        (directory / "s3.json").write_text(json.dumps({"identities": people}))
        names = ("master", "volume", "filer")
        ports = [f"-{name}.port={port}" for name, port in zip(names, others, strict=False)]
        grpc = [f"-{name}.port.grpc={port}" for name, port in zip((*names, "s3"), others[3:], strict=True)]
        options = ["-volume.max=20", "-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", *ports, *grpc]
        if signed:
            options.append(f"-s3.config={directory / 's3.json'}")
        self._program = Program(
            str(Path(sysconfig.get_path("scripts")) / "weed"),
            "server",
            f"-dir={directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={self.port}",
            "-master.volumeSizeLimitMB=64",
            "-master.telemetry=false",
            *options,
            log=directory / "log",
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._program.start()
        # It answers before its parts have found each other: the bucket can be made when they have.
        address = str(obstore.sign(self._bucket(self.url), "PUT", "", timedelta(minutes=5)))
        self._program.await_ready(lambda: _put(address) == 200, seconds=30)

    def stop(self) -> None:
        if self._program.started:
            self._program.kill()

    def store(self, *, url: str | None = None, prefix: str = "") -> ObjectBlobStore:
        """The bucket, or what another address leads to."""
        return ObjectBlobStore(self._bucket(url or self.url), prefix=prefix, address=f"s3://{BUCKET}")

    def google_store(self) -> ObjectBlobStore:
        account = {"client_email": "test@example.com", "private_key": _private_key(), "private_key_id": "1"}
        bucket = open_bucket(
            "gs",
            BUCKET,
            base_url=self.url,
            service_account_key=json.dumps(account),
            skip_signature=True,
            client_options={"allow_http": True},
        )
        return ObjectBlobStore(bucket, prefix="", address=f"gs://{BUCKET}")

    @staticmethod
    def _bucket(url: str) -> Bucket:
        return open_bucket(
            "s3",
            BUCKET,
            endpoint=url,
            access_key_id=S3_KEY,
            secret_access_key=S3_SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
        )


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _running(tmp_path_factory.mktemp("s3"), signed=True)


@pytest.fixture(scope="session")
def unsigned_s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    yield from _running(tmp_path_factory.mktemp("unsigned_s3"), signed=False)


def _running(directory: Path, *, signed: bool) -> Iterator[S3Server]:
    server = S3Server(directory, signed=signed)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*encoding).decode()


def _put(url: str) -> int:
    """0 when nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
