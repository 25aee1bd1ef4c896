"""The checklist of public chats, point by point, as a visitor's browser would go through it: over the served program in
a process of its own, on each database.

Points about files, links and pages belong to those parts.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection, update

from frontdesk.conversation.executions.models import executions
from frontdesk.database import open_database
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.public_chat.sessions.models import chat_interface_sessions
from harness.model_stub import ModelStub
from harness.server import Server, serve
from harness.sse_client import Event, open_sse

MODEL = "scripted?tokens=12&pause_ms=20"
WHOLE = "".join(f"t{number} " for number in range(12))


class Page:
    """A chat's page in somebody's browser."""

    def __init__(self, server: Server, slug: str) -> None:
        self._server = server
        self.root = f"{server.url}/api/public/chat-interfaces/{slug}"
        self.token = ""
        self.events: list[tuple[str, Any]] = []

    async def ask(self, method: str, below: str, body: Any = None) -> tuple[int, Any, Any]:
        async with self._server.session.request(method, self.root + below, json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None, answer.headers

    async def open(self, **visit: Any) -> dict[str, Any]:
        status, opened, _ = await self.ask("POST", "/sessions", visit)
        assert status == 201, opened
        self.token = opened["sessionToken"]
        found: dict[str, Any] = opened
        return found

    async def send(self, text: str) -> tuple[int, Any, Any]:
        return await self.ask("POST", "/messages", {"sessionToken": self.token, "message": text})

    async def read(self, *, after: str | None = None, most: int = 10_000) -> tuple[str, str | None, list[str]]:
        """The text that the page shows, the last id and the names of the events, of at most so many events."""
        text, last, names = "", after, []
        headers = {"X-Session-Token": self.token}
        async with open_sse(f"{self.root}/stream", headers=headers, last_event_id=after) as stream, asyncio.timeout(30):
            assert stream.status == 200
            async for event in stream:
                if event.data is None:
                    continue
                self._note(event)
                names.append(event.type or "")
                last = event.id
                text += json.loads(event.data)["token"] if event.type == "token" else ""
                if len(names) >= most:
                    break
        return text, last, names

    def _note(self, event: Event) -> None:
        self.events.append((event.type or "", json.loads(event.data or "null")))

    async def history(self) -> list[tuple[str, str]]:
        _, listed, _ = await self.ask("GET", f"/sessions/{self.token}/messages")
        return [(message["role"], message["content"]) for message in listed["messages"]]


class Place:
    def __init__(self, server: Server, headers: dict[str, str], database_url: str) -> None:
        self.server = server
        self._headers = headers
        self._database_url = database_url

    async def let_pass(self, *, minutes: int) -> None:
        """All sessions were last used so long ago."""
        then = SystemClock().now() - timedelta(minutes=minutes)

        def work(connection: Connection) -> None:
            connection.execute(update(chat_interface_sessions).values(last_activity_at=then))
            ended = executions.c.finished_at.is_not(None)
            connection.execute(update(executions).where(ended).values(finished_at=then))

        database = open_database(self._database_url, pool_size=1, timeout=5)
        try:
            await database.write(work)
        finally:
            await database.aclose()

    async def owner(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.server.url}/api{path}"
        async with self.server.session.request(method, url, json=body, headers=self._headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def page(self, *, model: str = MODEL, **fields: Any) -> Page:
        agent = await self.owner("POST", "/agents", {"name": "Guide", "model": model})
        made = await self.owner("POST", "/chat-interfaces", {"name": "Help", "agentId": agent["id"], **fields})
        await self.owner("POST", f"/chat-interfaces/{made['id']}/publish")
        return Page(self.server, made["slug"])


@pytest.fixture(scope="module")
async def place(
    each_module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    folder: Path = tmp_path_factory.mktemp("public")
    limits = {"visitor_sessions_per_address": 1000, "execution_lease_seconds": 1.5, "engine_tick_seconds": 0.3}
    url = each_module_database_url
    async with serve(database_url=url, model_url=model_stub.url, directory=folder, **limits) as server:
        user = await server.user("ann")
        yield Place(server, user.headers, url)


async def test_01_a_new_session_has_no_thread(place: Place) -> None:
    opened = await (await place.page()).open()
    assert opened["threadId"] is None


async def test_02_the_first_message_makes_the_thread_of_the_session(place: Place) -> None:
    page = await place.page()
    opened = await page.open()
    status, sent, _ = await page.send("hello")
    assert (status, sent["status"]) == (202, "running")
    thread = await place.owner("GET", f"/threads/{sent['threadId']}")
    assert thread["metadata"]["source"] == "chat_interface"
    assert thread["metadata"]["sessionId"] == opened["sessionId"]


async def test_03_a_resumed_session_has_its_thread_and_its_messages(place: Place) -> None:
    page = await place.page(persistenceType="local_storage")
    opened = await page.open()
    _, sent, _ = await page.send("hello")
    await page.read()
    again = await page.open(persistenceToken=opened["persistenceToken"])
    assert again["threadId"] == sent["threadId"]
    told = [(message["role"], message["content"]) for message in again["existingMessages"]]
    assert told == [("user", "hello"), ("assistant", WHOLE)] == await page.history()


async def test_04_each_session_has_a_thread_of_its_own(place: Place) -> None:
    one = await place.page()
    two = Page(place.server, one.root.rpartition("/")[2])
    for page in (one, two):
        await page.open()
    threads = [(await page.send("hello"))[1]["threadId"] for page in (one, two)]
    assert len(set(threads)) == 2


async def test_05_and_06_a_message_starts_an_answer_whose_tokens_are_streamed(place: Place) -> None:
    page = await place.page()
    await page.open()
    _, sent, _ = await page.send("hello")
    text, _, names = await page.read()
    assert text == WHOLE
    assert names[0] == "connected"
    assert names[-2:] == ["message", "execution_completed"]
    assert page.events[-1][1]["executionId"] == sent["executionId"]


async def test_07_a_finished_answer_is_stored_in_the_thread(place: Place) -> None:
    page = await place.page()
    await page.open()
    _, sent, _ = await page.send("hello")
    await page.read()
    thread = await place.owner("GET", f"/threads/{sent['threadId']}")
    assert [message["text"] for message in reversed(thread["messages"])] == ["hello", WHOLE]


async def test_08_a_second_message_has_the_first_as_context(place: Place, model_stub: ModelStub) -> None:
    key = new_id()
    page = await place.page(model=f"scripted?tokens=1&key={key}")
    await page.open()
    for text in ("my name is Ann", "what is my name"):
        await page.send(text)
        await page.read()
    heard = (await model_stub.calls(key))[-1]["body"]["messages"]
    assert [(one["role"], one["content"]) for one in heard] == [
        ("user", "my name is Ann"),
        ("assistant", "t0 "),
        ("user", "what is my name"),
    ]


async def test_09_beyond_the_limit_is_429_with_retry_after(place: Place) -> None:
    page = await place.page(rateLimitMessages=1)
    await page.open()
    await page.send("one")
    await page.read()
    status, failure, headers = await page.send("two")
    assert (status, failure["code"], failure["success"]) == (429, "rate_limited", False)
    assert int(headers["Retry-After"]) > 0


async def test_22_an_expired_session_says_so_and_asks_for_a_new_one(place: Place) -> None:
    page = await place.page(sessionTimeoutMinutes=1)
    await page.open()
    assert (await page.send("in time"))[0] == 202
    await page.read()
    await place.let_pass(minutes=1)
    status, failure, _ = await page.send("too late")
    assert (status, failure["code"]) == (410, "session_expired")
    assert "start a new session" in failure["error"]
    assert (await page.open())["threadId"] is None


async def test_23_a_failed_answer_is_shown_and_can_be_tried_again(place: Place) -> None:
    page = await place.page(model=f"scripted?status=500&fail_first=3&key={new_id()}&tokens=3")  # two are retries
    await page.open()
    await page.send("hello")
    _, _, names = await page.read()
    assert names[-1] == "execution_failed"
    assert page.events[-1][1]["error"]["message"]
    assert (await page.send("again"))[0] == 202
    assert (await page.read())[0] == "t0 t1 t2 "


async def test_24_a_stream_that_breaks_goes_on_where_it_was(place: Place) -> None:
    page = await place.page()
    await page.open()
    await page.send("hello")
    text, last, names = await page.read(most=4)
    assert names[0] == "connected"
    rest, _, names = await page.read(after=last)
    assert names[-1] == "execution_completed"
    assert text + rest == WHOLE


async def test_24_an_answer_survives_the_end_of_its_server(place: Place) -> None:
    page = await place.page(model="scripted?tokens=30&pause_ms=40")
    await page.open()
    await page.send("hello")
    text, last, _ = await page.read(most=5)
    await place.server.kill_and_restart()
    while True:
        try:
            _, last, names = await page.read(after=last)
        except (OSError, EOFError, aiohttp.ClientError):
            continue
        if names[-1:] == ["execution_completed"]:
            break
    assert text
    assert (await page.history())[-1] == ("assistant", "".join(f"t{number} " for number in range(30)))


async def test_what_is_logged_names_no_token(place: Place) -> None:
    page = await place.page(persistenceType="local_storage")
    opened = await page.open()
    await page.send("hello")
    await page.read()
    await page.history()
    await page.ask("POST", f"/sessions/{page.token}/end")
    await page.ask("DELETE", f"/sessions/{page.token}")
    logged = place.server.log.read_text()
    assert "/public/chat-interfaces/{slug}/sessions/{token}/messages" in logged
    assert not [token for token in (opened["sessionToken"], opened["persistenceToken"]) if token in logged]
    assert "sess_" not in logged
