"""Files over HTTP: brought at once or in two steps, sent with messages, fetched by link, and gone with their thread."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest

from frontdesk.kit.ids import new_id
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.conversations import until
from harness.identities import settings_for
from harness.served import served

MOST = 300_000
AT_ONCE = 3
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
BOUNDARY = b"boundary-of-the-tests"


@dataclass(frozen=True)
class Place:
    owner: Caller
    other: Caller
    files: Path

    def stored(self) -> list[Path]:
        """Every file of the store, those on their way too."""
        return [path for path in self.files.rglob("*") if path.is_file()]

    def link(self, url: str) -> str:
        return str(self.owner.client.base_url).removesuffix("/api/") + url


@asynccontextmanager
async def place_with(database_url: str, files: Path) -> AsyncIterator[Place]:
    chosen = settings_for(
        database_url,
        blob_store=f"file://{files}",
        upload_max_bytes=MOST,
        upload_types="image/*,text/plain",
        uploads_at_once=AT_ONCE,
        body_timeout_seconds=1,
    )
    async with served(chosen) as client:
        owner = await founder(client)
        yield Place(owner, await newcomer(owner, "otto"), files)


@pytest.fixture(scope="module")
async def place(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place_with(module_database_url, tmp_path_factory.mktemp("files") / "new") as place:
        yield place


async def brought(person: Caller, content: bytes = PNG, name: str = "picture.png") -> dict[str, Any]:
    made: dict[str, Any] = await person.made("POST", "/attachments", files={"file": (name, content)})
    return made


def described(attachment: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(attachment[name] for name in ("state", "name", "media_type", "size", "sha256"))


def form(content: bytes, head: bytes = b'form-data; name="file"; filename="a.txt"') -> bytes:
    return b"--%b\r\nContent-Disposition: %b\r\n\r\n%b\r\n--%b--\r\n" % (BOUNDARY, head, content, BOUNDARY)


async def raw_upload(place: Place, parts: AsyncIterator[bytes] | bytes) -> httpx.Response:
    media_type = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    return await place.owner.send("POST", "/attachments", content=parts, headers={"Content-Type": media_type})


async def streamed_upload(place: Place, parts: AsyncIterator[bytes]) -> tuple[int, str, str]:
    """By a client that hears an answer while it is still sending: its status, code and Connection field."""
    headers = {**place.owner.headers, "Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(place.link("/api/attachments"), data=parts, headers=headers) as answer,
    ):
        return answer.status, (await answer.json(content_type=None))["code"], answer.headers["Connection"]


async def test_a_file_is_brought_and_fetched(place: Place) -> None:
    made = await brought(place.owner)
    assert (made["state"], made["name"], made["media_type"], made["size"]) == (
        "stored",
        "picture.png",
        "image/png",
        len(PNG),
    )
    assert made["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert await place.owner.made("GET", f"/attachments/{made['id']}") | {"download_url": ""} == made | {
        "download_url": ""
    }
    fetched = await place.owner.client.get(place.link(made["download_url"]))
    assert (fetched.status_code, fetched.content) == (200, PNG)
    assert fetched.headers["content-type"] == "image/png"
    assert fetched.headers["content-disposition"] == 'attachment; filename="picture.png"'
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in fetched.headers["content-security-policy"]


async def test_names_are_shown_in_any_script_and_lead_nowhere(place: Place) -> None:
    made = await brought(place.owner, b"text", '../../etc/\u202eÄrger "1".txt')
    assert made["name"] == "Ärger _1_.txt"
    fetched = await place.owner.client.get(place.link(made["download_url"]))
    assert "filename*=UTF-8''%C3%84rger%20_1_.txt" in fetched.headers["content-disposition"]
    assert all(path.is_relative_to(place.files) for path in place.stored())


@pytest.mark.parametrize(
    ("wanted", "status", "content", "told"),
    [
        ("bytes=0-3", 206, PNG[:4], f"bytes 0-3/{len(PNG)}"),
        ("bytes=10-", 206, PNG[10:], f"bytes 10-{len(PNG) - 1}/{len(PNG)}"),
        ("bytes=-5", 206, PNG[-5:], f"bytes {len(PNG) - 5}-{len(PNG) - 1}/{len(PNG)}"),
        ("bytes=5-999999", 206, PNG[5:], f"bytes 5-{len(PNG) - 1}/{len(PNG)}"),
        ("bytes=0-1,3-4", 200, PNG, None),
        ("lines=1-2", 200, PNG, None),
        ("bytes=4-2", 200, PNG, None),
        (f"bytes={len(PNG)}-", 416, None, f"bytes */{len(PNG)}"),
        ("bytes=-0", 416, None, f"bytes */{len(PNG)}"),
    ],
)
async def test_ranges(place: Place, wanted: str, status: int, content: bytes | None, told: str | None) -> None:
    url = place.link((await brought(place.owner))["download_url"])
    answer = await place.owner.client.get(url, headers={"Range": wanted})
    assert (answer.status_code, answer.headers.get("content-range")) == (status, told)
    assert content is None or answer.content == content


async def test_a_link_holds_for_what_it_was_made(place: Place) -> None:
    made, other = await brought(place.owner), await brought(place.owner, b"secret", "b.txt")
    url = place.link(made["download_url"])
    client = place.owner.client
    key, query = urlsplit(url).path, urlsplit(url).query
    for forged in (
        url.replace("image%2Fpng", "text%2Fhtml"),
        url.replace("name=picture", "name=other"),
        url.replace("expires=", "expires=9"),
        place.link(urlsplit(other["download_url"]).path) + f"?{query}",
        url[:-1] + ("A" if url[-1] != "A" else "B"),
        url + "%C3%A9",
        url.partition("?")[0],
    ):
        assert_problem(await client.get(forged), 403, "bad_link")
    assert_problem(await client.put(url, content=b"x"), 403, "bad_link")
    escaping = place.link(key.replace("/attachments/", "/attachments/%2e%2e/")) + f"?{query}"
    assert (await client.get(escaping)).status_code in {403, 404}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"MZ" + bytes(5000)),
        ("a.txt", b"\x7fELF" + bytes(200)),
        ("a.png", b"GIF89a" + b"\x00" * 20 + b"<script>alert(1)</script>" + PNG),
        ("a.pdf", b"\x00" * 3000),
        ("a.png", PNG + b"PK\x05\x06" + bytes(18)),
    ],
)
async def test_the_content_decides_what_a_file_is(place: Place, name: str, content: bytes) -> None:
    before = len(place.stored())
    refused = await place.owner.send("POST", "/attachments", files={"file": (name, content, "image/png")})
    problem = assert_problem(refused, 415, "file_type_not_allowed")
    assert problem["allowed"] == ["image/*", "text/plain"]
    assert "image/*, text/plain" in problem["detail"]
    assert len(place.stored()) == before


async def test_too_much_is_stopped_on_its_way(place: Place) -> None:
    before, sent = len(place.stored()), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield form(b"").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        while True:
            sent += 65_536
            yield b"x" * 65_536

    refused = await streamed_upload(place, endless())
    assert refused == (413, "file_too_large", "close")
    assert sent < 40_000_000
    declared = await raw_upload(place, b"x" * (MOST + 70_000))
    assert_problem(declared, 413, "file_too_large")
    assert len(place.stored()) == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(b"x")[:-10], 400),
        (form(b"x", b'form-data; name="other"; filename="a"'), 422),
        (form(b"x", b'form-data; name="file"'), 422),
        (form(b"x", b'form-data; filename="a"'), 422),
        (form(b"x").replace(b"--boundary-of-the-tests--", b"") + form(b"y"), 400),
        (b"--%b\r\n" % BOUNDARY + b"A: %b\r\n" % (b"x" * 5000), 400),
        (b"--%b\r\n" % BOUNDARY + b"A: x\r\n" * 20, 400),
        (form(b"x" * 70_000, b'form-data; name="other"'), 400),
        (b"", 422),
        (b"no form at all", 400),
    ],
)
async def test_forms_that_are_none(place: Place, body: bytes, status: int) -> None:
    before = len(place.stored())
    assert_problem(await raw_upload(place, body), status)
    assert len(place.stored()) == before
    assert (await place.owner.send("POST", "/attachments", json={})).status_code == 400
    assert (await place.owner.client.post("/attachments", files={"file": b"x"})).status_code == 401


async def test_who_sends_slowly_is_given_up(place: Place) -> None:
    before = len(place.stored())
    never = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield form(b"x")[:90]
        await never.wait()

    assert await streamed_upload(place, stalling()) == (408, "body_timeout", "close")
    assert len(place.stored()) == before


async def test_a_file_in_two_steps(place: Place) -> None:
    announced = await place.owner.made("POST", "/attachments/uploads", json={"name": "picture.png"})
    path = f"/attachments/{announced['id']}"
    assert (announced["state"], announced["download_url"]) == ("pending", None)
    assert_problem(await place.owner.send("POST", f"{path}/complete"), 409, "attachment_not_uploaded")
    url = place.link(announced["upload_url"])
    assert_problem(await place.owner.client.put(url, content=b"x" * (MOST + 1)), 413, "file_too_large")
    put = await place.owner.client.put(url, content=PNG, headers=announced["upload_headers"])
    assert put.status_code == 204
    assert_problem(await place.other.send("POST", f"{path}/complete"), 404, "not_found")
    done = await place.owner.made("POST", f"{path}/complete")
    assert (done["state"], done["media_type"], done["sha256"]) == (
        "stored",
        "image/png",
        hashlib.sha256(PNG).hexdigest(),
    )
    assert await place.owner.made("POST", f"{path}/complete") | {"download_url": ""} == done | {"download_url": ""}
    # What is put there later changes nothing of what was looked at.
    assert (await place.owner.client.put(url, content=b"something else")).status_code == 204
    assert (await place.owner.client.get(place.link(done["download_url"]))).content == PNG


async def test_what_was_announced_and_may_not_be_is_refused_and_gone(place: Place) -> None:
    announced = await place.owner.made("POST", "/attachments/uploads", json={"name": "a.png"})
    await place.owner.client.put(place.link(announced["upload_url"]), content=b"MZ" + bytes(100))
    path = f"/attachments/{announced['id']}"
    assert_problem(await place.owner.send("POST", f"{path}/complete"), 415, "file_type_not_allowed")
    assert_problem(await place.owner.send("GET", path), 404)


async def test_files_are_sent_with_a_message_and_go_with_their_thread(place: Place) -> None:
    owner = place.owner
    before = len(place.stored())
    whole = await brought(owner)
    announced = await owner.made("POST", "/attachments/uploads", json={"name": "later.txt"})
    await owner.client.put(place.link(announced["upload_url"]), content=b"some text")
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    sent = await owner.say(thread, attachments=[whole["id"], announced["id"], whole["id"]], metadata={"a": 1})
    told = [
        {"id": whole["id"], "name": "picture.png", "media_type": "image/png", "size": len(PNG)},
        {"id": announced["id"], "name": "later.txt", "media_type": "text/plain", "size": 9},
    ]
    assert sent["metadata"] == {"a": 1, "attachments": told}
    elsewhere = (await owner.made("POST", "/threads", json={}))["id"]
    refused = await owner.send(
        "POST", f"/threads/{elsewhere}/messages", json={"text": "x", "attachments": [whole["id"]]}
    )
    assert_problem(refused, 422, "unknown_attachment")
    assert (await owner.send("DELETE", f"/threads/{thread}?purge=true")).status_code == 204
    for one in (whole, announced):
        assert_problem(await owner.send("GET", f"/attachments/{one['id']}"), 404)
    assert_problem(await owner.client.get(place.link(whole["download_url"])), 404)
    assert len(place.stored()) == before


async def test_nobody_sends_what_is_anothers_or_is_not_there(place: Place) -> None:
    foreign = await brought(place.other)
    thread = (await place.owner.made("POST", "/threads", json={}))["id"]
    for wrong in (foreign["id"], new_id(), "x"):
        body = {"text": "x", "attachments": [wrong]}
        assert_problem(
            await place.owner.send("POST", f"/threads/{thread}/messages", json=body), 422, "unknown_attachment"
        )
    assert (await place.owner.made("GET", f"/threads/{thread}/messages"))["total"] == 0
    assert_problem(await place.owner.send("DELETE", f"/attachments/{foreign['id']}"), 404)
    assert (await place.other.send("DELETE", f"/attachments/{foreign['id']}")).status_code == 204
    assert_problem(await place.other.send("GET", f"/attachments/{foreign['id']}"), 404)


async def test_more_files_at_once_than_there_are_places_are_told_to_wait(place: Place) -> None:
    before, go_on = len(place.stored()), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        whole = form(b"x" * 100)
        yield whole[:100]
        await go_on.wait()
        yield whole[100:]

    coming = [asyncio.create_task(raw_upload(place, slow())) for _ in range(AT_ONCE)]
    await until(lambda: asyncio.sleep(0, len(place.stored())), lambda there: there == before + AT_ONCE)
    refused = await place.owner.send("POST", "/attachments", files={"file": b"y"})
    assert_problem(refused, 503, "overloaded")
    go_on.set()
    assert [(await one).json()["size"] for one in coming] == [100] * AT_ONCE
