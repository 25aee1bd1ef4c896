"""What is erased is gone: a word of its own stands in everything that a visitor gives, and after the session's end it
is nowhere, in no table, no index, no blob, nothing of Redis and no file on the disk.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import jwt
import pytest
from redis.asyncio import Redis

from frontdesk.kit.clock import SystemClock
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.redis import RedisServer
from harness.tool_sources import until
from harness.visitors import Chat, Visitor, file, link, public_chat
from harness.web_site import SITE, web_site

CANARY = "zqcanary"
SECONDS = 30


def canaries() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{CANARY}{number}x"


async def _visit(chat: Chat, key: str, port: int) -> Visitor:
    """Somebody who leaves a word of their own wherever one can be left."""
    word = canaries()
    claims = {"sub": next(word), "name": next(word), "email": f"{next(word)}@example.org"}
    now = int(SystemClock().now().timestamp())
    identity = jwt.encode({**claims, "exp": now + 600}, key, "HS256")
    visit = {"browserFingerprint": next(word), "referrer": f"https://{next(word)}.example/{next(word)}"}
    visitor = await chat.visitor(identity=identity, **visit)
    first = await visitor.brought(f"{next(word)} stands in a file".encode(), f"{next(word)}.txt")
    bad = await visitor.brought(b"%PDF-1.4 broken", f"{next(word)}.pdf")
    await visitor.brought(f"{next(word)} was never sent".encode(), f"{next(word)}.txt")
    here = link(f"http://{SITE}:{port}/{next(word)}")
    inside = link(f"http://127.0.0.1:{port}/{next(word)}")
    await visitor.answer(f"say {next(word)}", file(first), file(bad), here, inside)
    headers = {"Idempotency-Key": next(word)}
    sent = await visitor.send(f"and {next(word)}", headers=headers)
    assert sent.status_code == 202
    async with visitor.stream() as stream:
        await stream.read_all(seconds=SECONDS)
    await visitor.query(next(word))
    return visitor


@pytest.mark.timeout(120)
async def test_no_word_of_an_erased_session_is_anywhere(
    module_database_url: str, model_stub: ModelStub, redis_server: RedisServer, tmp_path: Path
) -> None:
    database = Path(module_database_url.removeprefix("sqlite:///"))
    async with web_site() as site:
        settings = settings_for(
            module_database_url,
            llm_enabled=True,
            llm_api_base=model_stub.url,
            redis_url=redis_server.url,
            search_enabled=True,
            search_tick_seconds=0.1,
            embedder="packaged",
            chroma_persist_directory=str(tmp_path / "chroma"),
            blob_store=f"file://{tmp_path}/blobs",
            scratch_directory=str(tmp_path / "scratch"),
            link_networks=f"{SITE}/32",
            link_ports=f"80,443,{site.port}",
        )
        async with public_chat(settings, agent={"model": "scripted?echo=1"}, allowFileUpload=True, maxFiles=4) as chat:
            secret = (await chat.owner.made("POST", f"{chat.path}/identity-secret"))["identitySecret"]
            visitor = await _visit(chat, secret, site.port)
            await until(lambda: _is_drained(database), seconds=120)
            assert len(_tables_with(database)) > 5
            assert _files_with(tmp_path / "blobs")
            assert await _keys_with(redis_server)
            erased = await chat.ask("DELETE", f"/sessions/{visitor.token}")
            assert erased.status_code == 204
            await until(lambda: _is_drained(database) and not _tables_with(database), seconds=60)
            assert await _keys_with(redis_server) == []
    assert _files_with(tmp_path) == []
    assert _files_with(database.parent) == []


def _is_drained(database: Path) -> bool:
    """Whether all changes have reached the indexes."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT 1 FROM search_outbox").fetchone() is None


def _tables_with(database: Path) -> list[str]:
    """The tables, those of the indexes too, in which a canary stands, in a name or in a value."""
    found = []
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608  names of the database's own
            if any(CANARY in _text(value) for row in rows for value in row):
                found.append(name)
    return found


def _text(value: object) -> str:
    return value.decode(errors="ignore") if isinstance(value, bytes) else str(value)


def _files_with(folder: Path) -> list[Path]:
    needle = CANARY.encode()
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if needle in path.read_bytes() or CANARY in path.name]


async def _keys_with(server: RedisServer) -> list[str]:
    found = []
    async with Redis.from_url(server.url) as redis:
        async for key in redis.scan_iter():
            kind = (await redis.type(key)).decode()
            value = await (redis.xrange(key) if kind == "stream" else redis.dump(key))
            if CANARY in repr(value) or CANARY in repr(key):
                found.append(key.decode())
    return found
