"""A server whose places are all taken: what it says to whom, and on which connections."""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import make_url
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from frontdesk.http.event_stream import EventStream
from harness.callers import Caller, founder
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.served import served

PLACES = 4
NOBODY = "01900000-0000-7000-8000-000000000000"
SECONDS = 20


@dataclass
class Full:
    """`taken` wait for the database until it is let go."""

    owner: Caller
    taken: list[asyncio.Task[httpx.Response]]

    @property
    def root(self) -> str:
        return f"http://{self.owner.client.base_url.netloc.decode()}"

    async def metric(self, name: str) -> float:
        lines = (await self.owner.client.get(f"{self.root}/metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    async def exchange(self, *sent: bytes, until: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.root.removeprefix("http://").split(":"), limit=1 << 24)
        try:
            writer.write(b"".join(sent))
            async with asyncio.timeout(SECONDS):
                return await reader.readuntil(until) if until else await reader.read()
        finally:
            writer.transport.abort()

    def head(self, start: str, *fields: str) -> bytes:
        lines = [start, "Host: x", f"Authorization: {self.owner.headers['Authorization']}", *fields]
        return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def _full(url: str, **settings: object) -> AsyncIterator[Full]:
    chosen = {"requests_at_once": PLACES, "requests_waiting": 0, "database_timeout_seconds": SECONDS, **settings}
    async with served(settings_for(url, **chosen)) as client:
        owner = await founder(client)
        with closing(sqlite3.connect(make_url(url).database or "", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            full = Full(owner, [asyncio.create_task(owner.send("POST", "/threads", json={})) for _ in range(PLACES)])
            async with asyncio.timeout(SECONDS):
                while await full.metric("frontdesk_requests_in_work") < PLACES:  # noqa: ASYNC110  a figure
                    await asyncio.sleep(0.01)
            try:
                yield full
            finally:
                other.execute("ROLLBACK")
                answers = await asyncio.gather(*full.taken)
        assert [answer.status_code for answer in answers] == [201] * PLACES


@pytest.fixture
async def full(sqlite_url: str) -> AsyncIterator[Full]:
    async with _full(sqlite_url) as made:
        yield made


async def test_what_is_turned_away_is_told_when_to_come_again(full: Full) -> None:
    answer = await full.owner.send("GET", "/threads")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.json()["code"], answer.json()["status"]) == ("overloaded", 503)
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    assert await full.metric('frontdesk_requests_shed_total{lane="ordinary"}') == 1


async def test_operations_stops_and_resumes_are_served(full: Full) -> None:
    assert (await full.owner.client.get(f"{full.root}/health")).status_code == 200
    for method, path in (("POST", "cancel"), ("GET", "stream")):
        answer = await full.owner.send(method, f"/threads/{NOBODY}/executions/{NOBODY}/{path}")
        assert answer.status_code == 404, path
    assert await full.metric('frontdesk_requests_shed_total{lane="urgent"}') == 0


async def test_the_connection_goes_on_and_the_body_is_no_request(full: Full) -> None:
    smuggled = full.head("GET /health HTTP/1.1")
    post = full.head("POST /api/threads HTTP/1.1", f"Content-Length: {len(smuggled)}")
    told = await full.exchange(post, smuggled, post, smuggled, smuggled, until=b'"version":"0.1.0"}')
    assert (told.count(b"HTTP/1.1 503 "), told.count(b"HTTP/1.1 200 ")) == (2, 1)


async def test_many_in_one_write_are_told_one_by_one(full: Full) -> None:
    """Also more than could be turned away inside of each other."""
    many = full.head("GET /api/threads HTTP/1.1") * 3_000
    told = await full.exchange(many, full.head("GET /health HTTP/1.1"), until=b'"version":"0.1.0"}')
    assert told.count(b"HTTP/1.1 503 ") == 3_000


async def test_many_behind_one_that_is_served_are_told_one_by_one(full: Full) -> None:
    many = full.head("GET /health HTTP/1.1") + full.head("GET /api/threads HTTP/1.1") * 3_000
    told = await full.exchange(many, full.head("GET /health HTTP/1.1", "Connection: close"), until=b"")
    assert (told.count(b"HTTP/1.1 503 "), told.count(b"HTTP/1.1 200 ")) == (3_000, 2)


async def test_who_asks_before_sending_the_body_has_the_connection_closed(full: Full) -> None:
    post = full.head("POST /api/threads HTTP/1.1", "Content-Length: 2", "Expect: 100-continue")
    told = await full.exchange(post, until=b"")
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nconnection: close\r\n" in told


async def test_a_body_that_comes_slowly_holds_no_place(sqlite_url: str) -> None:
    async with served(settings_for(sqlite_url, requests_at_once=PLACES, requests_waiting=0)) as client:
        full = Full(await founder(client), [])
        address = full.root.removeprefix("http://").split(":")
        post = full.head("POST /api/threads HTTP/1.1", "Content-Type: application/json", "Content-Length: 2")
        slow = [await asyncio.open_connection(*address) for _ in range(3 * PLACES)]
        try:
            for _, writer in slow:
                writer.write(post)
                assert (await full.owner.send("GET", "/threads")).status_code == 200
            assert await full.metric("frontdesk_requests_in_work") == 0
            for reader, writer in slow:
                writer.write(b"{}")
                async with asyncio.timeout(SECONDS):
                    assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        finally:
            for _, writer in slow:
                writer.transport.abort()
        assert await full.metric('frontdesk_requests_shed_total{lane="ordinary"}') == 0


async def test_a_burst_waits_for_its_turn(sqlite_url: str) -> None:
    async with served(settings_for(sqlite_url, requests_at_once=PLACES, requests_waiting=100)) as client:
        owner = await founder(client)
        answers = await asyncio.gather(*(owner.send("GET", "/threads") for _ in range(20)))
        assert [answer.status_code for answer in answers] == [200] * 20


async def _kept_of(owner: Caller, *, status: int) -> int:
    """How many requests are still in memory after 40, if the garbage collector does not look for them."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert (await owner.send("POST", "/threads", json={})).status_code == status
            assert (await owner.send("GET", "/threads")).status_code in {200, status}
        return sum(isinstance(each, RequestResponseCycle) for each in gc.get_objects())
    finally:
        gc.enable()


async def test_who_is_turned_away_leaves_nothing_to_the_garbage_collector(full: Full) -> None:
    """It stops everything while it looks for what keeps itself: once that was half of what turning away cost."""
    assert await _kept_of(full.owner, status=503) <= 2 * PLACES


async def test_who_is_served_leaves_nothing_to_the_garbage_collector(sqlite_url: str) -> None:
    async with served(settings_for(sqlite_url)) as client:
        assert await _kept_of(await founder(client), status=201) <= 2


async def test_a_stream_that_has_ended_leaves_nothing_to_the_garbage_collector(
    sqlite_url: str, model_stub: ModelStub
) -> None:
    async with served(settings_for(sqlite_url, llm_enabled=True, llm_api_base=model_stub.url)) as client:
        owner = await founder(client)
        path = f"/threads/{(await owner.send('POST', '/threads', json={})).json()['id']}/messages/stream"
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                answer = await owner.send("POST", path, json={"text": "Go on", "model": "scripted?tokens=3"})
                assert answer.text.endswith("data: [DONE]\n\n")
            assert sum(isinstance(each, EventStream) for each in gc.get_objects()) <= 1
        finally:
            gc.enable()


async def test_a_path_that_is_not_there_leaves_no_class_behind(sqlite_url: str) -> None:
    async with served(settings_for(sqlite_url)) as client:
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                assert (await client.get("/nowhere")).json()["code"] == "not_found"
                assert (await client.put("/threads")).json()["code"] == "method_not_allowed"
            assert sum(isinstance(each, type) and each.__name__ == "HttpError" for each in gc.get_objects()) <= 2
        finally:
            gc.enable()
