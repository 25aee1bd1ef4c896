"""Answers whose runner died, whose log is gone, or whose provider is odd: what readers and the database see."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection
from sqlalchemy import text as sql

from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import HeldClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.language_model import ModelChunks, ModelRequest
from frontdesk.ports.thread_log import TERMINAL, EventType
from harness.answers import kinds, script, shown, tokens
from harness.conversations import Core, in_process_log, next_events, open_core, read_all, read_until, until
from harness.model_stub import ModelStub

NEVER = 3600.0
RETENTION = 60.0


async def checkpointed(core: Core, message: Any) -> str:
    return str(await until(lambda: core.stored_text(message), lambda text: text != ""))


async def test_an_execution_whose_lease_ran_out_is_taken_over(database_url: str, model_stub: ModelStub) -> None:
    key, log = new_id(), in_process_log()
    stalls_once = script(key, stall_at=3, stall_ms=1500, fail_first=1)
    async with open_core(database_url, model_stub.url, log=log, tick=NEVER, lease=0.3) as first:
        thread_id = await first.thread()
        message = await first.send(thread_id, model=stalls_once)
        reader = await first.feed.join(thread_id, message.execution_id or "")
        async with open_core(database_url, model_stub.url, log=log, user=first.user) as second:
            events = await read_all(reader)
            assert kinds(events) == [
                "execution_queued", "execution_started", "chunk", "execution_restarted", "chunk", "execution_completed"
            ]  # fmt: skip
            assert [event.attempt for event in events if event.type is not EventType.chunk] == [0, 1, 2, 2]
            assert shown(events) == tokens(5)
            await until(lambda: asyncio.sleep(0, first.runner.running), lambda running: running == 0)
            again = await second.read(thread_id, message.execution_id or "")
            assert again == [event for event in events if event.attempt == 2], "the first appended nothing more"
            (row,) = await second.executions(thread_id)
            assert (row.state, row.attempt) == ("completed", 2)
            assert await second.stored_text(message) == tokens(5)
    assert len(await model_stub.calls(key)) == 2
    await log.aclose()


async def test_after_a_crash_the_next_process_finishes_what_was_under_way(
    database_url: str, model_stub: ModelStub
) -> None:
    key = new_id()
    async with open_core(database_url, model_stub.url, lease=0.5) as first:
        thread_id = await first.thread()
        message = await first.send(thread_id, model=script(key, stall_at=3, fail_first=1))
        waiting = await first.send(thread_id, model=script(new_id()), if_active="queue")
        seen = await read_until(await first.feed.join(thread_id, message.execution_id or ""), EventType.chunk)
        await checkpointed(first, message)
        await first.crash()
        async with open_core(database_url, model_stub.url, user=first.user) as second:
            reader = await second.feed.open(second.user, thread_id, message.execution_id or "", after=seen[-1].cursor)
            joined = await second.feed.open(second.user, thread_id, message.execution_id or "")
            events = await read_all(reader)
            assert kinds(events) == ["execution_restarted", "chunk", "execution_completed"]
            assert shown(events) == tokens(5)
            assert shown(await read_all(joined)) == tokens(5)
            rows = await second.ended(thread_id)
            assert [row.state for row in rows] == ["completed", "completed"]
            assert shown(await second.read(thread_id, waiting.execution_id or "")) == tokens(5)


async def test_an_engine_that_is_closed_gives_its_work_back_at_once(database_url: str, model_stub: ModelStub) -> None:
    key = new_id()
    async with open_core(database_url, model_stub.url, lease=600, tick=NEVER) as first:
        thread_id = await first.thread()
        message = await first.send(thread_id, model=script(key, stall_at=3, fail_first=1))
        await read_until(await first.feed.join(thread_id, message.execution_id or ""), EventType.chunk)
        await first.engine.aclose()
        assert (await first.stored_text(message)).startswith("t0 "), "what was shown is stored"
        async with open_core(database_url, model_stub.url, user=first.user, tick=NEVER) as second:
            await second.ended(thread_id)
            assert await second.stored_text(message) == tokens(5)
            assert (await second.executions(thread_id))[0].attempt == 2


async def test_a_threads_next_answer_needs_no_tick(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url, tick=NEVER) as core:
        thread_id = await core.thread()
        for _ in range(4):
            await core.send(thread_id, model=script(new_id(), pause_ms=5), if_active="queue")
        assert [row.state for row in await core.ended(thread_id)] == ["completed"] * 4


async def test_a_closed_engine_begins_nothing(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url) as core:
        thread_id = await core.thread()
        for _ in range(3):
            await core.send(thread_id, model=script(new_id(), tokens=1), if_active="queue")
        await core.engine.aclose()
        assert core.runner.running == 0
        message = await core.send(thread_id, model=script(new_id()), if_active="queue")
        core.engine.start(message.execution_id or "")
        assert core.runner.running == 0


async def test_an_answer_that_was_begun_too_often_fails_and_keeps_its_text(
    database_url: str, model_stub: ModelStub
) -> None:
    async with open_core(database_url, model_stub.url) as first:
        thread_id = await first.thread()
        message = await first.send(thread_id, model=script(new_id(), stall_at=3))
        text = await checkpointed(first, message)
        await first.crash()
        await first.database.write(
            lambda c: c.execute(sql("UPDATE executions SET attempt = 5, restarts = 4, lease_until = started_at"))
        )
        async with open_core(database_url, model_stub.url, user=first.user, max_attempts=5) as second:
            (row,) = await second.ended(thread_id)
            assert (row.state, row.error_code) == ("failed", "attempts_exhausted")
            assert await second.stored_text(message) == text
            events = await second.read(thread_id, message.execution_id or "")
            assert kinds(events)[-1] == "execution_failed"
            assert shown(events) == text


async def test_more_than_there_is_room_for_is_answered_later(database_url: str, model_stub: ModelStub) -> None:
    most = 0
    async with open_core(database_url, model_stub.url, concurrency=2) as core:

        async def one() -> str:
            nonlocal most
            thread_id = await core.thread()
            message = await core.send(thread_id, model=script(new_id(), pause_ms=10))
            reader = await core.feed.join(thread_id, message.execution_id or "")
            while not reader.ended:
                await next_events(reader)
                most = max(most, core.runner.running)
            return (await core.executions(thread_id))[0].state

        assert await asyncio.gather(*(one() for _ in range(8))) == ["completed"] * 8
    assert most == 2


@asynccontextmanager
async def core_with_short_memory(url: str, stub: ModelStub) -> AsyncIterator[tuple[Core, Any]]:
    clock = HeldClock()
    log = in_process_log(clock=clock, retention=RETENTION)

    def forget() -> None:
        clock.advance(RETENTION + 1)
        log.append("elsewhere", new_id(), 1, entries=[(EventType.execution_completed, b"{}")])

    async with open_core(url, stub.url, log=log) as core:
        yield core, forget
    await log.aclose()


async def test_a_finished_answer_can_be_joined_when_its_log_is_gone(database_url: str, model_stub: ModelStub) -> None:
    key = new_id()
    async with core_with_short_memory(database_url, model_stub) as (core, forget):
        thread_id = await core.thread()
        for options, end in (({}, "execution_completed"), ({"reset_at": 3}, "execution_failed")):
            message = await core.send(thread_id, model=script(key, **options))
            execution_id = message.execution_id or ""
            fresh = await read_all(await core.feed.join(thread_id, execution_id))
            forget()
            events = await core.read(thread_id, execution_id)
            assert kinds(events) == ["execution_queued", "execution_started", "snapshot", end]
            assert shown(events) == shown(fresh) == await core.stored_text(message)
            for number, event in enumerate(events, start=1):
                assert await core.read(thread_id, execution_id, after=event.cursor) == events[number:]
    assert len(await model_stub.calls(key)) == 2, "nothing was asked again"


async def test_a_place_that_is_gone_is_told_honestly(database_url: str, model_stub: ModelStub) -> None:
    key = new_id()
    async with core_with_short_memory(database_url, model_stub) as (core, forget):
        thread_id = await core.thread()
        message = await core.send(thread_id, model=script(key))
        execution_id = message.execution_id or ""
        fresh = await read_all(await core.feed.join(thread_id, execution_id))
        forget()
        for event in fresh:
            events = await core.read(thread_id, execution_id, after=event.cursor)
            assert kinds(events) == ["execution_restarted", "snapshot", "execution_completed"]
            assert shown(events) == tokens(5)
            for number, again in enumerate(events, start=1):
                assert await core.read(thread_id, execution_id, after=again.cursor) == events[number:]
    assert len(await model_stub.calls(key)) == 1, "and the model is not asked again"


async def test_an_answer_without_text_is_joined_too(database_url: str, model_stub: ModelStub) -> None:
    async with core_with_short_memory(database_url, model_stub) as (core, forget):
        thread_id = await core.thread()
        message = await core.send(thread_id, model=script(new_id(), status=400))
        await core.ended(thread_id)
        forget()
        assert kinds(await core.read(thread_id, message.execution_id or "")) == [
            "execution_queued", "execution_started", "execution_failed"
        ]  # fmt: skip


def long_answers(url: str, stub: ModelStub, **options: Any) -> AbstractAsyncContextManager[Core]:
    return open_core(url, stub.url, log=in_process_log(thread_bytes=65_536), **options)


async def test_a_reader_that_falls_behind_a_long_answer_gets_the_whole_text(
    database_url: str, model_stub: ModelStub
) -> None:
    async with long_answers(database_url, model_stub) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id, model=script(new_id(), tokens=300, size=1000, pause_ms=5))
        execution_id = message.execution_id or ""
        slow = await core.feed.join(thread_id, execution_id)
        seen = await next_events(slow)
        await until(lambda: core.log.holds(thread_id, execution_id), lambda holds: not holds)
        late = await core.feed.open(core.user, thread_id, execution_id)
        resumed = await core.feed.open(core.user, thread_id, execution_id, after=seen[0].cursor)
        for reader in (slow, late, resumed):
            events = await read_all(reader)
            assert shown(events) == await core.stored_text(message)
            assert sum(event.type in TERMINAL for event in events) == 1
            if reader is not late:
                assert events[0].type is EventType.execution_restarted
        assert len(await core.stored_text(message)) == 300_000
        await core.log.aclose()


async def test_a_reader_that_waits_for_stored_text_hears_of_the_end(database_url: str, model_stub: ModelStub) -> None:
    async with long_answers(database_url, model_stub, tick=NEVER, lease=NEVER) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id, model=script(new_id(), tokens=300, size=1000, pause_ms=5))
        execution_id = message.execution_id or ""
        await until(lambda: core.log.holds(thread_id, execution_id), lambda holds: not holds)
        events = await core.read(thread_id, execution_id)
        assert events[-1].type is EventType.execution_completed
        assert shown(events) == await core.stored_text(message)
        await core.log.aclose()


async def test_a_reader_elsewhere_learns_of_the_end_once(database_url: str, model_stub: ModelStub) -> None:
    async with (
        open_core(database_url, model_stub.url) as runs,
        open_core(database_url, model_stub.url, user=runs.user, tick=NEVER) as reads,
    ):
        thread_id = await runs.thread()
        message = await runs.send(thread_id, model=script(new_id(), pause_ms=20))
        reader = await reads.feed.open(reads.user, thread_id, message.execution_id or "")
        await reader.look_around()
        assert list(reader.take()) == []
        await runs.ended(thread_id)
        events = await read_all(reader)
        assert kinds(events) == ["execution_restarted", "snapshot", "execution_completed"]
        assert shown(events) == tokens(5)


class DatabaseThatMayBeAway:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        if self.away:
            raise UnavailableError
        return await self._database.read(work)


async def test_a_reader_elsewhere_waits_for_a_database_that_is_away(database_url: str, model_stub: ModelStub) -> None:
    async with (
        open_core(database_url, model_stub.url) as first,
        open_core(database_url, model_stub.url, user=first.user, tick=NEVER, wrap=DatabaseThatMayBeAway) as second,
    ):
        thread_id = await first.thread()
        message = await first.send(thread_id, model=script(new_id(), first_ms=500))
        reader = await second.feed.open(second.user, thread_id, message.execution_id or "")
        database: Any = second.database
        database.away = True
        await reader.look_around()
        assert not reader.take()
        assert not reader.ended
        database.away = False
        await first.ended(thread_id)
        assert shown(await read_all(reader)) == tokens(5)


async def test_an_abandoned_answer_that_is_stopped_shows_what_was_stored(
    database_url: str, model_stub: ModelStub
) -> None:
    async with open_core(database_url, model_stub.url) as first:
        thread_id = await first.thread()
        message = await first.send(thread_id, model=script(new_id(), stall_at=3))
        execution_id = message.execution_id or ""
        seen = await read_until(await first.feed.join(thread_id, execution_id), EventType.chunk)
        text = await checkpointed(first, message)
        await first.crash()
        async with open_core(database_url, model_stub.url, user=first.user, tick=NEVER) as second:
            waiting = await second.feed.open(second.user, thread_id, execution_id)
            resumed = await second.feed.open(second.user, thread_id, execution_id, after=seen[-1].cursor)
            stopped = await second.conversation.cancel(second.user, thread_id, execution_id)
            assert stopped.result.state == "interrupted"
            assert await second.stored_text(message) == text
            for events in (
                await read_all(waiting), await read_all(resumed), await second.read(thread_id, execution_id)
            ):  # fmt: skip
                assert events[-1].type is EventType.execution_interrupted
                assert shown(events) == text


class ModelThatSays:
    """A model whose chunks are given."""

    def __init__(self, *chunks: ModelChunks) -> None:
        self._chunks = chunks

    async def stream(self, _request: ModelRequest, take: Callable[[ModelChunks], None]) -> None:
        for chunks in self._chunks:
            take(chunks)

    async def stop(self, thread_id: str) -> None: ...

    async def models(self) -> list[dict[str, Any]]:
        return [{"id": "m", "object": "model"}]

    async def aclose(self) -> None: ...


class DatabaseThatGoesBehindTheCommit:
    """Loses its connection once, when a step of an answer is stored and before that is known; or just before that."""

    def __init__(self, database: Database, step: str = "._end.", *, stores: bool = True) -> None:
        self._database = database
        self._stores = stores
        self.step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        goes = bool(self.step) and self.step in work.__qualname__
        if goes and not self._stores:
            self.step = ""
            raise UnavailableError
        done = await self._database.write(work)
        if goes:
            self.step = ""
            raise UnavailableError
        return done


async def test_an_end_whose_commit_was_not_heard_of_reaches_its_readers(
    database_url: str, model_stub: ModelStub
) -> None:
    async with open_core(database_url, model_stub.url, wrap=DatabaseThatGoesBehindTheCommit) as core:
        thread_id = await core.thread()
        events = await core.answer(thread_id, model="scripted?tokens=3")
        assert events[-1].type is EventType.execution_completed
        assert [row.state for row in await core.executions(thread_id)] == ["completed"]
        assert (await core.answer(thread_id, model="scripted?tokens=3"))[-1].type is EventType.execution_completed


async def test_an_end_that_was_not_stored_is_stored_when_the_database_is_back(
    database_url: str, model_stub: ModelStub
) -> None:
    def wrap(database: Database) -> Any:
        return DatabaseThatGoesBehindTheCommit(database, stores=False)

    async with open_core(database_url, model_stub.url, wrap=wrap) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id, model=script(new_id()))
        events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
        assert events[-1].type is EventType.execution_completed
        assert [row.state for row in await core.executions(thread_id)] == ["completed"]
        assert await core.stored_text(message) == tokens(5)


async def test_an_end_whose_commit_was_not_heard_of_gives_the_thread_on(
    database_url: str, model_stub: ModelStub
) -> None:
    key = new_id()
    async with open_core(database_url, model_stub.url, tick=NEVER, wrap=DatabaseThatGoesBehindTheCommit) as core:
        thread_id = await core.thread()
        await core.send(thread_id, model="scripted?tokens=5&pause_ms=50")
        waiting = await core.send(thread_id, model=script(key), if_active="queue")
        assert shown(await core.read(thread_id, waiting.execution_id or "")) == tokens(5)
        assert [row.state for row in await core.ended(thread_id)] == ["completed", "completed"]
    assert len(await model_stub.calls(key)) == 1


async def test_a_claim_that_was_not_heard_of_is_not_kept_for_ever(database_url: str, model_stub: ModelStub) -> None:
    def wrap(database: Database) -> Any:
        return DatabaseThatGoesBehindTheCommit(database, step="")

    async with open_core(database_url, model_stub.url, lease=2, wrap=wrap) as core:
        busy, thread_id = await core.thread(), await core.thread()
        other = await core.send(busy, model=script(new_id(), stall_at=3))
        await checkpointed(core, other)
        database: Any = core.database
        database.step = "._claim."
        message = await core.send(thread_id, model=script(new_id()))
        (row,) = await core.ended(thread_id)
        assert (row.state, row.attempt) == ("completed", 2)
        assert await core.stored_text(message) == tokens(5)
        await core.conversation.cancel(core.user, busy, other.execution_id or "")


async def test_what_a_provider_says_is_stored_as_far_as_it_can_be(database_url: str) -> None:
    odd = ModelChunks(
        [b'{"choices":[{"delta":{"content":"a\\u0000b"}}]}'],
        text="a\x00b",
        finish_reason="stop",
        model="m\x00" * 1000,
        conversation_id="c" * 5000,
    )
    async with open_core(database_url, ModelThatSays(odd)) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id)
        (row,) = await core.ended(thread_id)
        assert (row.state, row.attempt) == ("completed", 1)
        answer = await core.answer_to(message)
        assert answer.text == "a\ufffdb"
        assert answer.model is not None
        assert answer.model.startswith("m\ufffdm")
        assert len(answer.model) == 255


@pytest.mark.parametrize(
    ("status", "state"), [("completed", "completed"), ("interrupted", "interrupted"), ("failed", "failed")]
)
async def test_a_provider_may_say_how_it_ended(database_url: str, status: str, state: str) -> None:
    chunk = ModelChunks([b'{"choices":[]}'], text="text", agent_status=status, finish_reason="stop")
    async with open_core(database_url, ModelThatSays(chunk)) as core:
        thread_id = await core.thread()
        events = await core.answer(thread_id)
        assert events[-1].type == f"execution_{state}"
        assert msgspec.json.decode(events[-1].payload)["announced"] is True
        assert [row.state for row in await core.ended(thread_id)] == [state]


async def test_a_message_that_names_no_model_gets_the_providers_first(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id)
        await core.ended(thread_id)
        assert ((await core.answer_to(message)).model or "").startswith("scripted")


async def test_a_provider_that_is_not_there_is_a_failed_answer(database_url: str) -> None:
    async with open_core(database_url, "http://127.0.0.1:18598/v1") as core:
        thread_id = await core.thread()
        events = await core.answer(thread_id)
        assert events[-1].type is EventType.execution_failed
        (row,) = await core.ended(thread_id)
        assert row.error_code == "connect"
