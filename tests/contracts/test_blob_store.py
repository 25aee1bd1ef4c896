"""What every store of files promises: a directory, a bucket over S3 behind a prefix, one by Google's client and, where
it is asked for, a container of Azure's.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from frontdesk.adapters.blob_store.object_store import ObjectBlobStore
from frontdesk.errors import FileTooLargeError, NotFoundError, RangeNotSatisfiableError
from frontdesk.kit.clock import SystemClock
from frontdesk.ports.blob_store import BlobStore
from harness import azurite
from harness.attachments import local_store
from harness.azurite import Azurite
from harness.storage import S3Server

CHUNK = 65_536
LARGE = 12_000_000  # more than one part of an upload in parts
MANY = 100_000_000
AZURE = ["azure"] if azurite.IS_ASKED_FOR else []
KINDS = ["local", "s3", "google", *AZURE]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    if request.param == "local":
        store: BlobStore = local_store(tmp_path / "files", SystemClock())
    elif request.param == "google":
        store = request.getfixturevalue("unsigned_s3_server").google_store()
    else:
        store = _bucket(request, request.param, prefix="one/two/")
    await store.delete_prefix("")
    yield store
    await store.aclose()


def _bucket(request: pytest.FixtureRequest, kind: str, *, prefix: str) -> ObjectBlobStore:
    server: Azurite | S3Server = request.getfixturevalue("azurite" if kind == "azure" else "s3_server")
    return server.store(prefix=prefix)


def content(size: int, seed: int = 0) -> bytes:
    return (hashlib.sha256(bytes([seed])).digest() * (size // 32 + 1))[:size]


async def chunks(data: bytes, *, broken_at: int | None = None, stuck_at: int | None = None) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK):
        if broken_at is not None and start >= broken_at:
            raise ConnectionResetError
        if stuck_at is not None and start >= stuck_at:
            await asyncio.Event().wait()
        yield data[start : start + CHUNK]


async def put(store: BlobStore, key: str, data: bytes) -> None:
    stored = await store.put(key, chunks(data), max_bytes=MANY)
    assert (stored.key, stored.size, stored.sha256) == (key, len(data), hashlib.sha256(data).hexdigest())


async def read(store: BlobStore, key: str, *, start: int = 0, stop: int | None = None) -> bytes:
    async with store.open(key, start=start, stop=stop) as blob:
        return b"".join([piece async for piece in blob.body()])


async def keys(store: BlobStore, prefix: str = "") -> list[str]:
    return sorted([blob.key async for blob in store.list(prefix)])


@pytest.mark.parametrize("size", [0, 1, CHUNK, 300_000, LARGE])
async def test_what_is_put_is_read(store: BlobStore, size: int) -> None:
    data = content(size)
    await put(store, "a/b.bin", data)
    assert await read(store, "a/b.bin") == data
    info = await store.stat("a/b.bin")
    assert (info.key, info.size) == ("a/b.bin", size)
    assert [blob.size async for blob in store.list("")] == [size]


async def test_a_later_blob_takes_the_place_of_an_earlier_one(store: BlobStore) -> None:
    await put(store, "a", content(100))
    await put(store, "a", content(50, 1))
    assert await read(store, "a") == content(50, 1)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, None), (999, None), (10, 20), (500, 5000), (7, 7)])
async def test_parts(store: BlobStore, start: int, stop: int | None) -> None:
    data = content(1000)
    await put(store, "a", data)
    assert await read(store, "a", start=start, stop=stop) == data[start:stop]
    async with store.open("a", start=start, stop=stop) as blob:
        assert blob.size == len(data)


async def test_parts_that_are_not_there(store: BlobStore) -> None:
    await put(store, "a", content(10))
    for start in (10, 11, 10_000):
        with pytest.raises(RangeNotSatisfiableError):
            await read(store, "a", start=start)
    await put(store, "empty", b"")
    assert await read(store, "empty", stop=5) == b""


async def test_what_is_not_there(store: BlobStore) -> None:
    await put(store, "a/b", b"x")
    for key in ("nothing", "a", "a/b/c"):
        with pytest.raises(NotFoundError):
            await read(store, key)
        with pytest.raises(NotFoundError):
            await store.stat(key)
        await store.delete(key)
    assert await keys(store) == ["a/b"]


@pytest.mark.parametrize("size", [1_000, LARGE])
async def test_what_passes_its_bound_is_not_stored(store: BlobStore, size: int) -> None:
    await put(store, "a", b"before")
    with pytest.raises(FileTooLargeError):
        await store.put("a", chunks(content(size)), max_bytes=size - 1)
    assert await read(store, "a") == b"before"
    assert (await store.put("b", chunks(content(size)), max_bytes=size)).size == size


@pytest.mark.parametrize("broken_at", [0, 100_000, LARGE - CHUNK])
async def test_what_breaks_off_is_not_stored(store: BlobStore, broken_at: int) -> None:
    with pytest.raises(ConnectionResetError):
        await store.put("a", chunks(content(LARGE), broken_at=broken_at), max_bytes=MANY)
    assert await keys(store) == []


@pytest.mark.parametrize("stuck_at", [0, LARGE - CHUNK])
async def test_what_is_cancelled_is_not_stored(store: BlobStore, stuck_at: int) -> None:
    taken = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        async for chunk in chunks(content(LARGE)[:stuck_at]):
            yield chunk
        taken.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(store.put("a", stuck(), max_bytes=MANY))
    await taken.wait()
    assert await keys(store) == []
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await keys(store) == []


async def test_nothing_is_left_of_an_upload_in_parts_that_was_given_up(unsigned_s3_server: S3Server) -> None:
    store = unsigned_s3_server.google_store()
    with pytest.raises(ConnectionResetError):
        await store.put("a", chunks(content(LARGE), broken_at=LARGE - CHUNK), max_bytes=MANY)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await store.put("a", chunks(content(LARGE), stuck_at=LARGE - CHUNK), max_bytes=MANY)
    async with aiohttp.ClientSession() as client, client.get(f"{unsigned_s3_server.url}/files?uploads") as answer:
        listed = await answer.text()
    assert "ListMultipartUploadsResult" in listed
    assert "<Upload>" not in listed


async def test_reading_may_end_early(store: BlobStore) -> None:
    await put(store, "a", content(LARGE))
    async with store.open("a") as blob:
        first = await anext(blob.body())
    assert content(LARGE).startswith(first)
    assert len(first) < LARGE


async def test_prefixes(store: BlobStore) -> None:
    for key in ("s/1/a", "s/1/b/c", "s/10/a", "s/2", "t"):
        await put(store, key, key.encode())
    assert await keys(store, "s/1/") == ["s/1/a", "s/1/b/c"]
    assert await store.delete_prefix("s/1/") == 2
    assert await keys(store) == ["s/10/a", "s/2", "t"]
    assert await store.delete_prefix("nothing/") == 0
    assert await store.delete_prefix("") == 3
    assert await keys(store) == []


async def test_many_at_once(store: BlobStore) -> None:
    """Also where one deletes what is beside the other, directory and all."""

    async def come_and_go(number: int) -> None:
        for turn in range(5):
            await put(store, f"shared/{number}", content(1000, number))
            assert await read(store, f"shared/{number}") == content(1000, number), turn
            await store.delete(f"shared/{number}")

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(come_and_go(number))
    assert await keys(store) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../b",
        "a/./b",
        ".hidden",
        "a\\b",
        "a\x00b",
        "a b",
        "ä",
        "a~",
        "x" * 201,
        "a/" * 600,
    ],
)
async def test_keys_that_are_none(store: BlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        await store.put(key, chunks(b"x"), max_bytes=10)
    with pytest.raises(ValueError, match="no key"):
        await read(store, key)
    with pytest.raises(ValueError, match="no key"):
        await store.delete(key)
    with pytest.raises(ValueError, match=r"must end|no key"):
        await store.delete_prefix(key + "/" if key and not key.endswith("/") else "a//")


async def test_a_name_for_people(store: BlobStore) -> None:
    uri = store.uri("a/b")
    assert uri.endswith("/a/b")
    assert uri.partition("://")[0] in {"file", "s3", "gs", "az"}
    await store.check()
    await store.sweep()


@pytest.mark.parametrize("kind", ["s3", *AZURE])
async def test_signed_addresses_of_a_bucket(request: pytest.FixtureRequest, kind: str) -> None:
    store = _bucket(request, kind, prefix="signed/")
    await store.put("a.txt", chunks(b"hello"), max_bytes=10, name="Ä.html")
    url = await store.download_url("a.txt", name="Ä.html", media_type="text/html", seconds=60)
    link = await store.upload_link("b.txt", max_bytes=10, seconds=60)
    short = await store.download_url("a.txt", name="a", media_type="text/html", seconds=1)
    async with aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, b"hello")
            assert answer.headers["Content-Disposition"].startswith("attachment")
        async with client.get(url.replace("a.txt", "b.txt")) as answer:
            assert answer.status == 403
        async with client.put(url, data=b"x", headers=link.headers) as answer:
            assert answer.status == 403
        async with client.put(link.url, data=b"brought", headers=link.headers) as answer:
            assert answer.status in {200, 201}
        assert await read(store, "b.txt") == b"brought"
        async with asyncio.timeout(10):
            while True:
                async with client.get(short) as answer:
                    if answer.status == 403:
                        break
