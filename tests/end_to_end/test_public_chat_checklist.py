"""The checklist of public chats, point by point, as a visitor's browser would go through it: over the served program in
a process of its own, on each database.

Of points 14 to 16, what a page of each kind asks is here; the pages themselves belong to their part.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from sqlalchemy import Connection, select, update

from frontdesk.conversation.executions.models import executions
from frontdesk.database import open_database
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.public_chat.sessions.models import chat_interface_sessions
from frontdesk.retrieval.sources.models import chat_interface_message_chunks
from harness.model_stub import ModelStub
from harness.server import Server, serve
from harness.sse_client import Event, open_sse
from harness.web_site import SITE, Site, web_site

MODEL = "scripted?tokens=12&pause_ms=20"
GUIDE = b"The museum of clocks opens at nine and closes at six, and on Mondays it stays closed."
LONG = b"Nobody wants to know what this sentence says, but it is to be read to its end. " * 80
WHOLE = "".join(f"t{number} " for number in range(12))


class Page:
    """A chat's page in somebody's browser."""

    def __init__(self, server: Server, slug: str) -> None:
        self._server = server
        self.root = f"{server.url}/api/public/chat-interfaces/{slug}"
        self.token = ""
        self.origin: str | None = None
        self.events: list[tuple[str, Any]] = []

    async def ask(self, method: str, below: str, body: Any = None) -> tuple[int, Any, Any]:
        headers = {"Origin": self.origin} if self.origin else {}
        async with self._server.session.request(method, self.root + below, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None, answer.headers

    async def open(self, **visit: Any) -> dict[str, Any]:
        status, opened, _ = await self.ask("POST", "/sessions", visit)
        assert status == 201, opened
        self.token = opened["sessionToken"]
        found: dict[str, Any] = opened
        return found

    async def send(self, text: str, *attachments: dict[str, Any]) -> tuple[int, Any, Any]:
        body = {"sessionToken": self.token, "message": text, "attachments": list(attachments)}
        return await self.ask("POST", "/messages", body)

    async def upload(self, content: bytes, name: str = "notes.txt") -> tuple[int, Any, Any]:
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name)
        headers = {"X-Session-Token": self.token}
        async with self._server.session.post(f"{self.root}/upload", data=form, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def bring(self, content: bytes, name: str = "notes.txt") -> dict[str, Any]:
        """As a message brings it."""
        status, uploaded, _ = await self.upload(content, name)
        assert status == 201, uploaded
        return {"type": "file", "gcsUri": uploaded["gcsUri"]}

    async def query(self, text: str) -> list[dict[str, Any]]:
        status, answer, _ = await self.ask("POST", "/query", {"sessionToken": self.token, "query": text})
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["results"]
        return found

    async def told(self) -> list[dict[str, Any]]:
        _, listed, _ = await self.ask("GET", f"/sessions/{self.token}/messages")
        found: list[dict[str, Any]] = listed["messages"]
        return found

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

    async def read_to_the_end(self, after: str | None) -> None:
        """As often as it takes, from a server that is just back."""
        while True:
            try:
                _, after, names = await self.read(after=after)
            except (OSError, EOFError, aiohttp.ClientError):
                continue
            if names[-1:] == ["execution_completed"]:
                return

    def _note(self, event: Event) -> None:
        self.events.append((event.type or "", json.loads(event.data or "null")))

    async def history(self) -> list[tuple[str, str]]:
        _, listed, _ = await self.ask("GET", f"/sessions/{self.token}/messages")
        return [(message["role"], message["content"]) for message in listed["messages"]]


class Place:
    def __init__(self, server: Server, headers: dict[str, str], database_url: str, folder: Path, site: Site) -> None:
        self.server = server
        self.folder = folder
        self.link = f"http://{SITE}:{site.port}/page"
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

    async def count(self, session_id: str) -> int:
        """The chunks that are stored of a session."""
        table = chat_interface_message_chunks

        def work(connection: Connection) -> int:
            return len(connection.execute(select(table.c.id).where(table.c.session_id == session_id)).all())

        database = open_database(self._database_url, pool_size=1, timeout=5)
        try:
            return await database.read(work)
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
    async with web_site() as site:
        files = {
            "embedder": "packaged",
            "blob_store": f"file://{folder}/blobs",
            "scratch_directory": f"{folder}/scratch",
            "link_networks": f"{SITE}/32",
            "link_ports": f"80,443,{site.port}",
        }
        async with serve(database_url=url, model_url=model_stub.url, directory=folder, **limits, **files) as server:
            user = await server.user("ann")
            yield Place(server, user.headers, url, folder, site)


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


async def test_10_an_upload_lies_in_the_store(place: Place) -> None:
    page = await place.page(allowFileUpload=True)
    opened = await page.open()
    status, uploaded, _ = await page.upload(GUIDE, "guide.txt")
    assert status == 201
    key = uploaded["gcsUri"].removeprefix("file:///")
    assert f"/{opened['sessionId']}/" in key
    assert (place.folder / "blobs" / f"{key}~").read_bytes() == GUIDE


async def test_11_its_link_is_for_24_hours(place: Place) -> None:
    page = await place.page(allowFileUpload=True)
    await page.open()
    _, uploaded, _ = await page.upload(GUIDE)
    expires = int(parse_qs(urlsplit(uploaded["downloadUrl"]).query)["expires"][0])
    assert abs(expires - SystemClock().now().timestamp() - 24 * 60 * 60) < 60
    async with place.server.session.get(place.server.url + uploaded["downloadUrl"]) as answer:
        assert (answer.status, await answer.read()) == (200, GUIDE)
        assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_12_17_19_and_20_a_file_is_read_found_and_used_by_the_agent(place: Place, model_stub: ModelStub) -> None:
    key = new_id()
    wanted = json.dumps({"query": "When is the museum of clocks closed?"})
    page = await place.page(model=f"scripted?echo=1&key={key}&calls=search_attachments:{wanted}", allowFileUpload=True)
    opened = await page.open()
    await page.send("When is the museum closed?", await page.bring(GUIDE, "guide.txt"))
    _, _, names = await page.read()
    assert names.index("attachment_progress") < names.index("token") < names.index("tool_call_started")
    first, second = [call["body"]["messages"] for call in await model_stub.calls(key)]
    assert "on Mondays it stays closed" in first[-1]["content"]
    assert "on Mondays it stays closed" in second[-1]["content"]
    assert second[-1]["role"] == "tool"
    assert await place.count(opened["sessionId"]) == 1
    (found,) = await page.query("museum")
    assert found["source"] == {"type": "file", "name": "guide.txt", "url": None}
    asked, answered = await page.told()
    assert asked["attachments"][0]["status"] == "ready"
    assert answered["citations"][0]["source"]["name"] == "guide.txt"


async def test_13_a_file_of_another_type_is_refused_in_clear_words(place: Place) -> None:
    page = await place.page(allowFileUpload=True, allowedFileTypes=["application/pdf"])
    await page.open()
    status, failure, _ = await page.upload(GUIDE, "guide.pdf")
    assert (status, failure["code"]) == (415, "file_type_not_allowed")
    assert failure["error"] == "This is text/plain; allowed are application/pdf"


@pytest.mark.parametrize("origin", [None, "own", "https://shop.example"], ids=["14_page", "15_iframe", "16_widget"])
async def test_every_kind_of_page_gets_an_answer(place: Place, origin: str | None) -> None:
    page = await place.page(allowedOrigins=["https://shop.example"])
    page.origin = place.server.url if origin == "own" else origin
    _, _, headers = await page.ask("GET", "")
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self' https://shop.example"
    await page.open()
    assert (await page.send("hello"))[0] == 202
    assert (await page.read())[0] == WHOLE
    page.origin = "https://evil.example"
    assert (await page.send("hello"))[0] == 403


async def test_18_a_link_is_fetched_read_and_found(place: Place) -> None:
    page = await place.page(allowFileUpload=True)
    opened = await page.open()
    await page.send("What is there?", {"type": "url", "url": place.link})
    await page.read()
    assert await place.count(opened["sessionId"]) > 0
    (found, *_) = await page.query("public text")
    assert found["source"] == {"type": "url", "name": place.link, "url": place.link}


async def test_21_chunks_and_files_go_with_their_session(place: Place) -> None:
    page = await place.page(allowFileUpload=True)
    opened = await page.open()
    await page.send("hello", await page.bring(GUIDE))
    await page.read()
    assert await place.count(opened["sessionId"]) == 1
    await page.ask("DELETE", f"/sessions/{page.token}")
    assert await place.count(opened["sessionId"]) == 0
    assert not list((place.folder / "blobs").rglob(f"{opened['sessionId']}/*"))


async def test_a_file_is_read_although_the_server_dies_meanwhile(place: Place) -> None:
    """Point 12, at a bad moment: what was accepted is read and answered."""
    page = await place.page(allowFileUpload=True, model="scripted?tokens=3")
    opened = await page.open()
    status, _, _ = await page.send("hello", await page.bring(GUIDE), await page.bring(LONG, "long.txt"))
    assert status == 202
    _, last, _ = await page.read(most=4)
    await place.server.kill_and_restart()
    await page.read_to_the_end(last)
    asked, answered = await page.told()
    assert [one["status"] for one in asked["attachments"]] == ["ready", "ready"]
    assert answered["content"] == "t0 t1 t2 "
    assert await place.count(opened["sessionId"]) > 4
    assert not [path for path in (place.folder / "scratch").rglob("*") if path.is_file()]


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
    await page.read_to_the_end(last)
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
