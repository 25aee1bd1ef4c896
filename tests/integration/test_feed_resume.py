"""Readers of answers that have ended: before their eyes, or in another process."""

import asyncio

from sqlalchemy import Connection, text

from frontdesk.conversation.stored_answer import read_stored_answer
from frontdesk.ports.thread_log import EventType
from harness.conversations import open_core, read_all
from harness.model_stub import ModelStub


async def test_a_reader_that_has_seen_the_end_gets_the_end_and_nothing_else(
    database_url: str, model_stub: ModelStub
) -> None:
    async with open_core(database_url, model_stub.url) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id, model="scripted?tokens=3")
        execution_id = message.execution_id or ""
        events = await read_all(await core.feed.join(thread_id, execution_id))

        assert await core.read(thread_id, execution_id, after=events[-1].cursor) == []


async def test_an_answer_that_ended_in_another_process_is_told_once(database_url: str, model_stub: ModelStub) -> None:
    async with (
        open_core(database_url, model_stub.url) as core,
        open_core(database_url, model_stub.url, user=core.user) as other,
    ):
        thread_id = await core.thread()
        message = await core.send(thread_id, model="scripted?tokens=3&stall_at=2&stall_ms=300")
        execution_id = message.execution_id or ""
        reader = await other.feed.open(other.user, thread_id, execution_id)
        waiting = asyncio.create_task(read_all(reader))
        await read_all(await core.feed.join(thread_id, execution_id))
        assert not waiting.done()

        waiting.cancel()

        events = await read_all(reader)
        told = [EventType.execution_restarted, EventType.snapshot, EventType.execution_completed]
        assert [event.type for event in events] == told


async def test_a_stored_text_and_the_cursor_that_it_goes_to_are_read_of_one_moment(
    postgres_url: str, model_stub: ModelStub
) -> None:
    """Also when they are stored between the reading of one and of the other."""
    async with open_core(postgres_url, model_stub.url) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id, model="scripted?tokens=3")
        await read_all(await core.feed.join(thread_id, message.execution_id or ""))
        locked = asyncio.Event()

        def store(connection: Connection) -> None:
            connection.execute(text("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE"))
            locked.set()
            waiting = text("SELECT count(*) FROM pg_locks WHERE relation = 'messages'::regclass AND NOT granted")
            while connection.execute(waiting).scalar_one() == 0:  # until the reader has the execution
                connection.execute(text("SELECT pg_sleep(0.01)"))
            connection.execute(text("UPDATE executions SET checkpoint_cursor = '1-9'"))
            connection.execute(text("UPDATE messages SET text = 'nine'"))

        storing = asyncio.create_task(core.database.write(store))
        await locked.wait()
        execution, stored = await core.database.read(
            lambda connection: read_stored_answer(connection, thread_id, message.execution_id or "")
        )
        await storing
        assert (execution.checkpoint_cursor, stored.text) == ("1-9", "nine")
