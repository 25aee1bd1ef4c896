"""The feed of a session: what it shows, that it resumes anywhere, and how often the back end is asked for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.parts.redis import RedisServer
from frontdesk.conversation.sessions.moments import parse_place
from harness.callers import Caller, founder
from harness.document_api import DocumentApi, document_api
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.sessions import SessionCaller, data, is_answered, is_called, read_until, session_gateway
from harness.sse_client import Event, SseStream
from harness.tool_sources import BackEndStub

POLL_SECONDS = 0.3
TOOL_EVENTS = 4  # the beginnings and ends of two calls


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentApi]:
    with document_api(tmp_path_factory.mktemp("documents")) as api:
        yield api


@dataclass(frozen=True)
class Place:
    user: SessionCaller
    account: Caller


@pytest.fixture(scope="module")
async def place(module_database_url: str, model_stub: ModelStub, documents: DocumentApi) -> AsyncIterator[Place]:
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=5&pause_ms=20",
        session_poll_seconds=POLL_SECONDS,
        api_base_url=documents.url,
    )
    async with session_gateway(chosen) as visitor:
        account = await founder(visitor.client)
        yield Place(SessionCaller(visitor.client, visitor.root, account.headers), account)


def is_snapshot(event: Event) -> bool:
    return event.type == "snapshot"


async def test_a_feed_begins_with_a_snapshot(place: Place) -> None:
    session_id = await place.user.session(title="s", metadata={"a": 1})
    said = await place.user.say(session_id, "before")
    async with place.user.feed(session_id) as feed:
        ((name, snapshot, _),) = await read_until(feed, is_snapshot)
    assert feed.headers["content-type"].startswith("text/event-stream")
    assert name == "snapshot"
    assert snapshot["messages"] == [said]
    assert (snapshot["session"]["title"], snapshot["session"]["message_count"]) == ("s", 1)
    assert (snapshot["jobs"], snapshot["pipeline"], snapshot["backend"]) == ([], [], {"status": "available"})


async def test_an_answer_is_followed_whatever_began_it(place: Place) -> None:
    session = (await place.user.ask("POST", "/chat/sessions", json={})).json()
    async with place.user.feed(session["id"]) as feed:
        await read_until(feed, is_snapshot)
        for here in (True, False):
            if here:
                sent = await place.user.say(session["id"], "here", respond=True)
            else:
                sent = await place.account.say(session["thread_id"], "there")
            shown = await read_until(feed, is_answered)
            messages = [one for name, one, _ in shown if name == "message"]
            assert [(one["role"], one["status"]) for one in messages] == [
                ("user", "queued"),
                ("assistant", messages[1]["status"]),
                ("assistant", "completed"),
            ]
            assert messages[0]["id"] == sent["id"]
            deltas = [one for name, one, _ in shown if name == "message_delta"]
            assert "".join(one["text"] for one in deltas) == messages[-1]["content"] == "t0 t1 t2 t3 t4 "
            assert {one["message_id"] for one in deltas} == {messages[1]["id"]} == {messages[2]["id"]}


async def test_answers_that_wait_for_each_other_are_shown_in_turn(place: Place) -> None:
    session_id = await place.user.session()
    async with place.user.feed(session_id) as feed:
        await read_until(feed, is_snapshot)
        for number in range(3):
            await place.user.say(session_id, str(number), respond=True, if_active="queue")
        ends = [data(event) for event in await _collect(feed, is_answered, 3)]
    assert len({one["id"] for one in ends}) == 3
    deltas: dict[str, str] = {}
    for event in feed.events:
        if event.type == "message_delta":
            deltas[data(event)["message_id"]] = deltas.get(data(event)["message_id"], "") + data(event)["text"]
    assert deltas == {one["id"]: one["content"] for one in ends}


async def _collect(feed: SseStream, holds: Callable[[Event], bool], count: int) -> list[Event]:
    found: list[Event] = []
    while len(found) < count:
        await read_until(feed, holds)
        found = [event for event in feed.events if event.data is not None and holds(event)]
    return found


async def _busy_feed(place: Place, session_id: str) -> list[Event]:
    """A feed with something of everything in it, to its last event."""
    async with place.user.feed(session_id) as feed:
        await read_until(feed, is_snapshot)
        await place.user.say(session_id, "a note", role="tool")
        await place.user.say(session_id, "hello", respond=True)
        await read_until(feed, is_answered)
        made = await place.user.invoke(session_id, "ingest_text", json={"title": "t", "text": "some   words"})
        await place.user.invoke(session_id, "optimize", json={"document_id": made.json()["id"]})
        await read_until(feed, _ends_job)
        while sum(event.type == "tool" for event in feed.events) < TOOL_EVENTS:  # a job may end before its call
            await read_until(feed, lambda event: event.type == "tool")
        return [event for event in feed.events if event.id is not None]


def _ends_job(event: Event) -> bool:
    return event.type == "job" and data(event)["events"][-1]["state"] == "completed"


def _seen(events: list[Event]) -> dict[str, Any]:
    """What a reader knows in the end. An answer that ended meanwhile is shown whole and not in pieces."""
    messages: dict[str, tuple[str, str]] = {}
    calls: list[Any] = []
    reports: list[tuple[str, str]] = []
    for event in events:
        told = data(event)
        if event.type == "message_delta":
            role, content = messages[told["message_id"]]
            messages[told["message_id"]] = (role, ("" if told["reset"] else content) + told["text"])
        elif event.type == "message":
            messages[told["id"]] = (told["role"], told["content"])
        elif event.type == "tool":
            calls.append(told)
        elif event.type != "snapshot":
            reports += [(str(event.type), one["cursor"]) for one in told["events"]]
    return {"messages": messages, "calls": calls, "reports": reports}


async def test_a_feed_resumes_at_every_event(place: Place) -> None:
    session_id = await place.user.session()
    events = await _busy_feed(place, session_id)
    assert {event.type for event in events} == {"snapshot", "message", "message_delta", "tool", "pipeline", "job"}
    whole = _seen(events)
    for number, event in enumerate(events[:-1], start=1):
        seen = events[:number]
        async with place.user.feed(session_id, after=event.id) as feed, asyncio.timeout(30):
            async for following in feed:
                assert following.type != "snapshot", (number, event)
                seen += [following] if following.data is not None else []
                if _seen(seen) == whole:
                    break
        assert _seen(seen) == whole, (number, event)


async def test_a_feed_that_is_cut_in_an_answer_goes_on_in_it(place: Place) -> None:
    session = (await place.user.ask("POST", "/chat/sessions", json={})).json()
    async with place.user.feed(session["id"]) as feed:
        await read_until(feed, is_snapshot)
        await place.account.say(session["thread_id"], "go", model="scripted?tokens=60&pause_ms=20")
        texts, last = "", ""
        shown = await read_until(feed, lambda event: event.type == "message_delta")
        while True:
            texts += "".join(one["text"] for name, one, _ in shown if name == "message_delta")
            last = shown[-1][2]
            if any(is_answered(event) for event in feed.events if event.data):
                break
            feed.cut()
            async with place.user.feed(session["id"], after=last) as feed:  # noqa: PLW2901  the next life of it
                shown = await _some(feed)
    assert texts == "".join(f"t{number} " for number in range(60))


async def _some(feed: SseStream) -> list[tuple[str, Any, str]]:
    """Ten deltas, or what there is to the answer's end."""
    count = 0

    def is_enough(event: Event) -> bool:
        nonlocal count
        count += event.type == "message_delta"
        return count == 10 or is_answered(event)

    return await read_until(feed, is_enough)


@pytest.mark.parametrize("wrong", ["x", "0-1", "a:0-1:1:end:1:", "a" * 5000, "a:b:c:d:e:f"])
async def test_an_id_that_is_none_of_the_sessions_begins_anew(place: Place, wrong: str) -> None:
    session_id, other = await place.user.session(), await place.user.session()
    async with place.user.feed(other) as feed:
        await read_until(feed, is_snapshot)
    for after in (wrong, feed.last_id):
        async with place.user.feed(session_id, after=after) as again:
            assert (await read_until(again, is_snapshot))[0][0] == "snapshot"


async def test_a_reader_who_comes_later_is_told_the_jobs_that_are_known(place: Place) -> None:
    session_id = await place.user.session()
    await _busy_feed(place, session_id)
    async with place.user.feed(session_id) as feed:
        ((_, snapshot, _),) = await read_until(feed, is_snapshot)
    assert [(job["kind"], job["state"]) for job in snapshot["jobs"]] == [("optimize", "completed")]
    assert [update["stage"] for update in snapshot["pipeline"]] == ["ingested", "optimized"]


async def test_a_message_reaches_every_feed(place: Place) -> None:
    session_id = await place.user.session()
    async with AsyncExitStack() as stack:
        feeds = [await stack.enter_async_context(place.user.feed(session_id)) for _ in range(20)]
        for feed in feeds:
            await read_until(feed, is_snapshot)
        said = await place.user.say(session_id, "to all")
        for feed in feeds:
            ((name, shown, _),) = await read_until(feed, lambda event: event.type == "message")
            assert (name, shown) == ("message", said)


async def test_a_feed_outlives_an_absence_of_redis(sqlite_url: str, redis_server: RedisServer) -> None:
    async with session_gateway(settings_for(sqlite_url, redis_url=redis_server.url)) as visitor:
        user = SessionCaller(visitor.client, visitor.root, (await founder(visitor.client)).headers)
        session_id = await user.session()

        async def parts() -> Any:
            return (await visitor.client.get(f"{visitor.root}/health/ready")).json()["parts"]

        async with user.feed(session_id) as feed:
            await read_until(feed, is_snapshot)
            await asyncio.to_thread(redis_server.stop)
            await _until(parts, lambda told: told["log"]["status"] != "ok")
            said = await user.say(session_id, "meanwhile")
            await asyncio.to_thread(redis_server.start)
            told = await read_until(feed, lambda event: event.type == "message")
        assert [shown for _, shown, _ in told] == [said]


async def test_a_deleted_session_ends_its_feeds(place: Place) -> None:
    session_id = await place.user.session()
    async with place.user.feed(session_id) as feed:
        await read_until(feed, is_snapshot)
        assert (await place.user.ask("DELETE", f"/chat/sessions/{session_id}")).status_code == 204
        await feed.read_all(seconds=5)


async def _until(look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if holds(await look()):
                return
            await asyncio.sleep(0.05)


async def test_fifty_feeds_on_five_sessions_are_one_poller_each(
    sqlite_url: str, model_stub: ModelStub, back_end_stub: BackEndStub
) -> None:
    chosen = settings_for(
        sqlite_url, sessions_allow_anonymous="true", session_poll_seconds=0.4, api_base_url=back_end_stub.url
    )
    async with session_gateway(chosen) as visitor:
        sessions = [await visitor.session() for _ in range(5)]

        async def polls() -> list[int]:
            return [len(await back_end_stub.lines(session_id)) for session_id in sessions]

        assert await polls() == [0] * 5
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            begun = loop.time()
            for session_id in sessions:
                for _ in range(10):
                    feed = await stack.enter_async_context(visitor.feed(session_id))
                    await read_until(feed, is_snapshot)
            await _until(polls, lambda counts: min(counts) >= 4)
            counted, most = await polls(), (loop.time() - begun) / 0.4 + 1
            assert max(counted) <= most, (counted, most)
        await asyncio.sleep(0.4)  # what was under way when the last reader left may still come
        counted = await polls()
        await asyncio.sleep(1.0)  # more than two periods, in which nothing must come
        assert await polls() == counted
        assert all("session_id=" in line for line in await back_end_stub.lines(sessions[0]))


async def test_a_back_end_that_fails_is_told_of_and_nothing_else_stops(
    sqlite_url: str, model_stub: ModelStub, tmp_path: Path
) -> None:
    documents = DocumentApi(tmp_path / "documents")
    documents.start()
    port = documents.url.rpartition(":")[2]
    chosen = settings_for(
        sqlite_url, sessions_allow_anonymous="true", session_poll_seconds=0.1, api_base_url=documents.url
    )
    try:
        async with session_gateway(chosen) as visitor:
            session_id = await visitor.session()
            async with visitor.feed(session_id) as feed:
                await read_until(feed, is_snapshot)
                documents.process.kill()
                *_, (_, told, _) = await read_until(feed, lambda event: event.type == "backend")
                assert told == {"status": "unavailable", "code": "backend_unreachable"}
                said = await visitor.say(session_id, "still here")
                *_, (_, shown, _) = await read_until(feed, lambda event: event.type == "message")
                assert shown == said
                async with visitor.feed(session_id) as other:
                    *_, (_, snapshot, _) = await read_until(other, is_snapshot)
                    assert snapshot["backend"] == told
                again = DocumentApi(tmp_path / "documents", "--port", port)
                again.start()
                documents = again
                *_, (_, told, _) = await read_until(feed, lambda event: event.type == "backend", seconds=30)
                assert told == {"status": "available"}
                await visitor.invoke(session_id, "ingest_text", json={"title": "t", "text": "x"})
                await read_until(feed, lambda event: event.type == "pipeline")
    finally:
        documents.process.kill()


async def test_a_call_is_shown_while_it_is_made(place: Place) -> None:
    session_id = await place.user.session()
    async with place.user.feed(session_id) as feed:
        await read_until(feed, is_snapshot)
        await place.user.invoke(session_id, "drive_status")
        shown = [one for name, one, _ in await read_until(feed, is_called) if name == "tool"]
    assert [(one["state"], one["execution_id"]) for one in shown] == [("started", None), ("completed", None)]
    assert shown[0]["call_id"] == shown[1]["call_id"]


def test_a_place_is_read_back_and_another_sessions_is_not() -> None:
    from_text = parse_place("abcdefgh:0-12:3:stored-void-4:5:c%3A%2F1", "abcdefghij")
    assert from_text is not None
    assert from_text.text("abcdefghij") == "abcdefgh:0-12:3:stored-void-4:5:c%3A%2F1"
    assert from_text.reports == "c:/1"
    assert parse_place("abcdefgh:0-12:3:end:5:", "bbcdefghij") is None
