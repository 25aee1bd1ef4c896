"""The conversation's rules, over real databases and a model provider behind a socket."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text as sql

from frontdesk.conversation.drafts import Draft, IfActive
from frontdesk.conversation.messages.models import FeedbackKind, MessageStatus, Role
from frontdesk.database.idempotency import IdempotencyKey
from frontdesk.errors import (
    ExecutionActiveError,
    IllegalTransitionError,
    LlmDisabledError,
    NotAllowedError,
    NotFoundError,
    SenderMismatchError,
)
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.kit.paging import Page
from frontdesk.ports.thread_log import EventType
from harness.answers import kinds, shown, tokens
from harness.conversations import Core, OverTemporal, a_user, open_core, read_all, read_until, until
from harness.model_stub import ModelStub

ENDS = {EventType.execution_completed, EventType.execution_failed, EventType.execution_interrupted}


@pytest.fixture(params=["local", "temporal"])
async def core(request: pytest.FixtureRequest, database_url: str, model_stub: ModelStub) -> AsyncIterator[Core]:
    temporal = None
    if request.param == "temporal":
        temporal = OverTemporal(request.getfixturevalue("temporal").address)
    async with open_core(database_url, model_stub.url, temporal=temporal) as core:
        yield core


def script(key: str | None = None, **options: Any) -> str:
    return "scripted?" + "&".join(
        f"{name}={value}" for name, value in {"tokens": 5, **options, "key": key or "k"}.items()
    )


async def test_a_message_is_answered(core: Core) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, "hello", model=script(tokens=30), metadata={"a": [1]})
    assert (message.role, message.sender_id, message.status, message.position) == (Role.user, core.user.id, "queued", 1)
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    assert kinds(events) == ["execution_queued", "execution_started", "chunk", "execution_completed"]
    assert shown(events) == tokens(30)
    asked, answer = await core.listed(thread_id)
    assert (asked.text, asked.status, asked.metadata) == ("hello", MessageStatus.completed, {"a": [1]})
    assert (answer.text, answer.status, answer.parent_id) == (tokens(30), MessageStatus.completed, asked.id)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 30
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 30
    thread, latest = await core.threads.get(core.user, thread_id, latest=1)
    assert (thread.active_execution_id, thread.leaf_message_id, thread.message_count) == (None, answer.id, 2)
    assert [found.id for found in latest] == [answer.id]
    assert await core.read(thread_id, message.execution_id or "") == events, "whoever joins later sees the same"


async def test_a_failure_is_stored_and_said_without_secrets(core: Core, model_stub: ModelStub) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, model=script(error_at=3))
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    assert kinds(events)[-1] == "execution_failed"
    assert shown(events) == tokens(3)
    assert (await core.answer_to(message)).text == tokens(3)
    assert (await core.answer_to(message)).status is MessageStatus.failed
    (row,) = await core.executions(thread_id)
    assert (row.state, row.error_code) == ("failed", "error_in_stream")
    assert "sk-" not in row.error_message + events[-1].payload.decode()
    assert kinds(await core.answer(thread_id, model=script()))[-1] == "execution_completed"


async def test_history_follows_the_branch(core: Core, model_stub: ModelStub) -> None:
    key, thread_id = new_id(), await core.thread()
    first = await core.send(thread_id, "one", model=script(tokens=1))
    await core.ended(thread_id)
    await core.answer(thread_id, "two", model=script(tokens=2))
    first_answer = await core.answer_to(first)
    await core.answer(thread_id, "other two", model=script(key), parent_id=first_answer.id)
    (call,) = await model_stub.calls(key)
    assert call["body"]["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "t0 "},
        {"role": "user", "content": "other two"},
    ]
    last = new_id()
    await core.answer(thread_id, "three", model=script(last))
    (call,) = await model_stub.calls(last)
    assert [m["content"] for m in call["body"]["messages"]] == ["one", "t0 ", "other two", tokens(5), "three"]
    assert "conversation_id" not in call["body"]


async def test_a_parent_of_another_thread_is_not_there(core: Core) -> None:
    one, two = await core.thread(), await core.thread()
    foreign = await core.send(one, model=script())
    with pytest.raises(NotFoundError):
        await core.send(two, parent_id=foreign.id)
    assert await core.listed(two) == []
    await core.ended(one)


async def test_regenerating_makes_a_sibling_and_the_branch_goes_on_from_it(core: Core, model_stub: ModelStub) -> None:
    thread_id, again, after = await core.thread(), new_id(), new_id()
    asked = await core.send(thread_id, "question", model=script(tokens=1))
    await core.ended(thread_id)
    first = await core.answer_to(asked)
    for source in (first.id, asked.id):
        begun = await core.conversation.regenerate(
            core.user, thread_id, source, model=script(again, tokens=3), if_active=IfActive.reject
        )
        assert (begun.result.parent_id, begun.result.role) == (asked.id, Role.assistant)
        await core.ended(thread_id)
    calls = await model_stub.calls(again)
    assert [call["body"]["messages"] for call in calls] == [[{"role": "user", "content": "question"}]] * 2
    await core.answer(thread_id, "next", model=script(after))
    (call,) = await model_stub.calls(after)
    assert [m["content"] for m in call["body"]["messages"]] == ["question", tokens(3), "next"]
    listed = await core.listed(thread_id)
    assert [m.position for m in listed] == [1, 2, 3, 4, 5, 6]
    assert {m.status for m in listed} == {MessageStatus.completed}
    assert listed[1].text == "t0 ", "the first answer is still there"


async def test_what_the_provider_named_the_conversation_is_carried_back(core: Core, model_stub: ModelStub) -> None:
    thread_id, key = await core.thread(), new_id()
    await core.answer(thread_id, model=script(conversation_id="conv-7"))
    kept = await core.threads.get_provider_thread(core.user, thread_id)
    assert kept.conversation_id == "conv-7"
    await core.answer(thread_id, model=script(key))
    (call,) = await model_stub.calls(key)
    assert call["body"]["conversation_id"] == "conv-7"
    await core.threads.put_provider_thread(
        core.user, thread_id, provider="p", conversation_id="mine", state={"a": {"b": 1}}
    )
    await core.answer(thread_id, model=script(conversation_id="conv-8"))
    kept = await core.threads.get_provider_thread(core.user, thread_id)
    assert (kept.provider, kept.conversation_id, kept.state) == ("p", "conv-8", {"a": {"b": 1}})


async def test_a_second_message_is_refused_while_one_is_answered(core: Core) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, model=script(pause_ms=20, tokens=500))
    with pytest.raises(ExecutionActiveError) as caught:
        await core.send(thread_id, model=script())
    assert caught.value.extra == {"active_execution_id": message.execution_id}
    assert len(await core.listed(thread_id)) == 2
    await core.conversation.cancel(core.user, thread_id, message.execution_id or "")
    await core.answer(thread_id, model=script())


async def test_queued_messages_are_answered_in_their_order(core: Core, model_stub: ModelStub) -> None:
    thread_id, key = await core.thread(), new_id()
    sent = [
        await core.send(thread_id, f"m{number}", model=script(key, pause_ms=1), if_active="queue")
        for number in range(5)
    ]
    rows = await core.ended(thread_id)
    assert [row.state for row in rows] == ["completed"] * 5
    starts = [row.started_at for row in rows]
    assert starts == sorted(starts)
    calls = await model_stub.calls(key)
    assert [call["body"]["messages"][-1]["content"] for call in calls] == [m.text for m in sent]
    assert [len(call["body"]["messages"]) for call in calls] == [1, 3, 5, 7, 9], "each knows the answers before it"


async def test_an_interrupting_message_stops_the_answer_and_those_that_wait(core: Core) -> None:
    thread_id = await core.thread()
    running = await core.send(thread_id, "a", model=script(pause_ms=20, tokens=500))
    waiting = await core.send(thread_id, "b", model=script(), if_active="queue")
    await read_until(await core.feed.join(thread_id, running.execution_id or ""), EventType.chunk)
    events = await core.answer(thread_id, "c", model=script(), if_active="interrupt")
    assert kinds(events)[-1] == "execution_completed"
    states = {row.id: row.state for row in await core.executions(thread_id)}
    assert (states[running.execution_id], states[waiting.execution_id]) == ("interrupted", "interrupted")
    assert (await core.answer_to(running)).text.startswith("t0 ")


@pytest.mark.parametrize("mode", list(IfActive))
async def test_50_at_once_never_run_together(core: Core, model_stub: ModelStub, mode: IfActive) -> None:
    thread_id, key = await core.thread(), new_id()
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(
            *(
                core.send(thread_id, f"m{number}", model=script(key, tokens=2, pause_ms=1), if_active=mode)
                for number in range(50)
            ),
            return_exceptions=True,
        )
    sent = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(outcome, ExecutionActiveError) for outcome in refused)
    assert len(sent) == {IfActive.queue: 50}.get(mode, len(sent))
    assert sent
    rows = await core.ended(thread_id)
    assert len(rows) == len(sent)
    assert {row.state for row in rows} <= {"completed", "interrupted"}
    if mode is not IfActive.interrupt:
        assert {row.state for row in rows} == {"completed"}
    began = sorted((row for row in rows if row.started_at), key=lambda row: str(row.started_at))
    assert all(str(one.finished_at) <= str(next_one.started_at) for one, next_one in pairwise(began))
    listed = []
    page: str | None = None
    while items := (await core.messages.list_messages(core.user, thread_id, Page(limit=30, after=page)))[0]:
        listed += items
        page = items[-1].id
    assert [m.position for m in listed] == list(range(2 * len(sent), 0, -1))
    assert (await core.threads.get(core.user, thread_id, latest=1))[0].active_execution_id is None


async def cancel(core: Core, thread_id: str, execution_id: str | None) -> str:
    return (await core.conversation.cancel(core.user, thread_id, execution_id or "")).result.state.value


async def test_an_answer_can_be_stopped_before_it_begins(core: Core) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, model=script(first_ms=5000))
    reader = await core.feed.join(thread_id, message.execution_id or "")
    assert await cancel(core, thread_id, message.execution_id) == "interrupted"
    assert kinds(await read_all(reader))[-1] == "execution_interrupted"
    assert [m.status.value for m in await core.listed(thread_id)] == ["interrupted", "interrupted"]


async def test_stopping_stores_the_partial_text_before_it_returns(core: Core, model_stub: ModelStub) -> None:
    thread_id, key = await core.thread(), new_id()
    message = await core.send(thread_id, model=script(key, pause_ms=10, tokens=1000))
    reader = await core.feed.join(thread_id, message.execution_id or "")
    events = await read_until(reader, EventType.chunk)
    assert await cancel(core, thread_id, message.execution_id) == "interrupted"
    stored = await core.stored_text(message)
    call = await model_stub.call(key, seconds=1)
    assert call["outcome"] == "closed_by_client"
    events += await read_all(reader)
    assert shown(events) == stored
    assert stored.startswith("t0 ")
    assert sum(event.type in ENDS for event in events) == 1
    assert events[-1].type is EventType.execution_interrupted
    later = await core.read(thread_id, message.execution_id or "")
    assert later == events, "nothing follows the end"
    assert await cancel(core, thread_id, message.execution_id) == "interrupted", "twice is fine"
    assert await core.stored_text(message) == stored


async def test_stopping_at_once_by_many_is_one_stop(core: Core) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, model=script(pause_ms=10, tokens=1000))
    await read_until(await core.feed.join(thread_id, message.execution_id or ""), EventType.chunk)
    states = await asyncio.gather(*(cancel(core, thread_id, message.execution_id) for _ in range(20)))
    assert set(states) == {"interrupted"}
    events = await core.read(thread_id, message.execution_id or "")
    assert sum(event.type in ENDS for event in events) == 1


async def test_an_answer_that_has_ended_cannot_be_stopped(core: Core) -> None:
    thread_id = await core.thread()
    for model in (script(), script(status=400)):
        message = await core.send(thread_id, model=model)
        await core.ended(thread_id)
        with pytest.raises(IllegalTransitionError):
            await cancel(core, thread_id, message.execution_id)


async def test_a_queued_answer_can_be_stopped_while_another_runs(core: Core) -> None:
    thread_id = await core.thread()
    running = await core.send(thread_id, model=script(pause_ms=10, tokens=50))
    stopped = await core.send(thread_id, model=script(), if_active="queue")
    last = await core.send(thread_id, model=script(), if_active="queue")
    reader = await core.feed.join(thread_id, stopped.execution_id or "")
    assert await cancel(core, thread_id, stopped.execution_id) == "interrupted"
    assert kinds(await read_all(reader)) == ["execution_queued", "execution_interrupted"]
    rows = {row.id: row.state for row in await core.ended(thread_id)}
    assert rows[running.execution_id] == rows[last.execution_id] == "completed"
    assert rows[stopped.execution_id] == "interrupted"


async def test_all_of_a_thread_is_stopped_and_nothing_begun_meanwhile(core: Core, model_stub: ModelStub) -> None:
    thread_id, keys = await core.thread(), [new_id() for _ in range(6)]
    sent = [await core.send(thread_id, model=script(key, pause_ms=10, tokens=500), if_active="queue") for key in keys]
    readers = [await core.feed.join(thread_id, message.execution_id or "") for message in sent]
    await read_until(readers[0], EventType.chunk)
    await core.conversation.stop_all(core.user, thread_id)
    assert {row.state for row in await core.executions(thread_id)} == {"interrupted"}
    for reader in readers[1:]:
        assert kinds(await read_all(reader)) == ["execution_queued", "execution_interrupted"]
    assert [len(await model_stub.calls(key)) for key in keys] == [1, 0, 0, 0, 0, 0]
    assert kinds(await core.answer(thread_id, model=script()))[-1] == "execution_completed"


async def test_stops_and_sends_in_any_order_leave_nothing_behind(core: Core) -> None:
    thread_id = await core.thread()

    async def one(number: int) -> None:
        message = await core.send(thread_id, model=script(pause_ms=2), if_active="queue")
        await asyncio.sleep(number % 7 / 100)
        try:
            await cancel(core, thread_id, message.execution_id)
        except IllegalTransitionError:
            return

    async with asyncio.timeout(60):
        await asyncio.gather(*(one(number) for number in range(40)))
        rows = await core.ended(thread_id)
    assert len(rows) == 40
    assert kinds(await core.answer(thread_id, model=script()))[-1] == "execution_completed"


async def test_a_message_can_be_edited_once_its_answer_is_there(core: Core) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, "before", model=script(pause_ms=10, tokens=1000))

    async def change(**fields: Any) -> Any:
        return await core.messages.change(core.user, thread_id, message.id, **{"text": None, "status": None, **fields})

    await read_until(await core.feed.join(thread_id, message.execution_id or ""), EventType.chunk)
    with pytest.raises(ExecutionActiveError):
        await change(text="early")
    with pytest.raises(ExecutionActiveError):
        await change(status=MessageStatus.completed)
    await cancel(core, thread_id, message.execution_id)
    assert (await change(text="after")).text == "after"
    for status in set(MessageStatus) - {MessageStatus.interrupted}:
        with pytest.raises(IllegalTransitionError):
            await change(status=status)
    assert (await change(status=MessageStatus.interrupted)).status is MessageStatus.interrupted
    with pytest.raises(NotFoundError):
        await core.messages.change(a_user(), thread_id, message.id, text="x", status=None)


async def test_the_latest_opinion_of_a_message_stands(core: Core) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, model=script())
    first = (
        await core.messages.judge(core.user, thread_id, message.id, kind=FeedbackKind.positive, comment="good")
    ).result
    second = (
        await core.messages.judge(core.user, thread_id, message.id, kind=FeedbackKind.negative, comment=None)
    ).result
    assert (second.kind, second.comment, second.created_at) == (FeedbackKind.negative, None, first.created_at)
    rows = await core.database.read(lambda c: c.execute(sql("SELECT kind, comment FROM feedback")).all())
    assert [tuple(row) for row in rows] == [("negative", None)]
    with pytest.raises(NotFoundError):
        await core.messages.judge(a_user(), thread_id, message.id, kind=FeedbackKind.positive, comment=None)
    await core.ended(thread_id)


async def test_anothers_thread_is_not_there(core: Core) -> None:
    thread_id, other = await core.thread(), a_user()
    message = await core.send(thread_id, model=script())
    execution_id = message.execution_id or ""
    steps = [
        core.threads.get(other, thread_id, latest=1),
        core.threads.change(other, thread_id, {"title": "x"}),
        core.threads.change(other, thread_id, {"is_deleted": True}),
        core.threads.delete(other, thread_id, purge=False),
        core.threads.delete(other, thread_id, purge=True),
        core.threads.export(other, thread_id),
        core.threads.get_provider_thread(other, thread_id),
        core.threads.put_provider_thread(other, thread_id, provider=None, conversation_id=None, state={}),
        core.messages.list_messages(other, thread_id, Page()),
        core.conversation.cancel(other, thread_id, execution_id),
        core.conversation.stop_all(other, thread_id),
        core.conversation.regenerate(other, thread_id, message.id, model=None, if_active=IfActive.interrupt),
        core.feed.open(other, thread_id, execution_id),
    ]
    for step in steps:
        with pytest.raises(NotFoundError):
            await step
    with pytest.raises(SenderMismatchError):
        await core.send(thread_id, senders=(core.user.id, other.id))
    assert [row.state for row in await core.ended(thread_id)] == ["completed"]


async def test_an_answer_is_reached_through_its_own_thread_only(core: Core) -> None:
    one, two = await core.thread(), await core.thread()
    message = await core.send(one, model=script())
    for step in (
        core.feed.open(core.user, two, message.execution_id or ""),
        core.conversation.cancel(core.user, two, message.execution_id or ""),
        core.messages.change(core.user, two, message.id, text="x", status=None),
        core.conversation.regenerate(core.user, two, message.id, model=None, if_active=IfActive.reject),
    ):
        with pytest.raises(NotFoundError):
            await step
    await core.ended(one)


async def test_allow_lists_hold_for_every_use(core: Core) -> None:
    barred = a_user(products=frozenset({"p1"}), agents=frozenset())
    with pytest.raises(NotAllowedError):
        await core.threads.create(barred, title=None, summary=None, metadata={"product_id": "p2"})
    thread = (await core.threads.create(barred, title=None, summary=None, metadata={"product_id": "p1"})).result
    with pytest.raises(NotAllowedError):
        await core.threads.change(barred, thread.id, {"metadata": {"agent_id": "a"}})
    changed = await core.threads.change(barred, thread.id, {"metadata": {"product_id": None, "x": 1}})
    assert changed.metadata == {"x": 1}


async def test_deleting_stops_the_answer_and_hides_the_thread(core: Core, model_stub: ModelStub) -> None:
    thread_id, key = await core.thread(), new_id()
    message = await core.send(thread_id, model=script(key, pause_ms=10, tokens=1000))
    await core.send(thread_id, model=script(), if_active="queue")
    reader = await core.feed.join(thread_id, message.execution_id or "")
    await read_until(reader, EventType.chunk)
    await core.threads.delete(core.user, thread_id, purge=False)
    assert (await read_all(reader))[-1].type is EventType.execution_interrupted
    assert (await model_stub.call(key, seconds=1))["outcome"] == "closed_by_client"
    assert {row.state for row in await core.executions(thread_id)} == {"interrupted"}
    for step in (core.send(thread_id), core.threads.get(core.user, thread_id, latest=1), core.listed(thread_id)):
        with pytest.raises(NotFoundError):
            await step
    assert await core.threads.list_threads(core.user, Page(), include_deleted=False) == ([], 0)
    assert (await core.threads.list_threads(core.user, Page(), include_deleted=True))[1] == 1
    await core.threads.change(core.user, thread_id, {"is_deleted": False})
    assert len(await core.listed(thread_id)) == 4


async def send_and_swallow(core: Core, thread_id: str) -> None:
    try:
        await core.send(thread_id, model=script(pause_ms=10, tokens=1000), if_active="queue")
    except NotFoundError:
        return


@pytest.mark.parametrize("purge", [False, True])
async def test_no_answer_outlives_a_deletion_that_races_with_sends(core: Core, *, purge: bool) -> None:
    thread_id = await core.thread()
    sends = [asyncio.create_task(send_and_swallow(core, thread_id)) for _ in range(5)]
    await asyncio.sleep(0)
    more = [asyncio.create_task(send_and_swallow(core, thread_id)) for _ in range(20)]
    await core.threads.delete(core.user, thread_id, purge=purge)
    await asyncio.gather(*sends, *more)
    assert {row.state for row in await core.executions(thread_id)} <= {"interrupted"}
    await until(lambda: asyncio.sleep(0, core.runner.running), lambda running: running == 0)
    if purge:
        assert core.log.held_bytes == 0  # type: ignore[attr-defined]


async def test_purging_erases_every_row_and_the_log(core: Core) -> None:
    thread_id, kept = await core.thread(), await core.thread()
    for name in (thread_id, kept):
        draft = Draft(text="very private words", model=script(conversation_id="c"))
        key = IdempotencyKey(core.user.id, name, "f", SystemClock().now())
        message = (await core.conversation.send(core.user, name, draft, key=key)).result
        await core.ended(name)
        await core.messages.judge(core.user, name, message.id, kind=FeedbackKind.positive, comment="so so")
    events = await core.read(kept, message.execution_id or "")
    erased = [row.id for row in await core.executions(thread_id)]
    await core.threads.delete(core.user, thread_id, purge=True)
    tables = ("threads", "messages", "executions", "feedback", "provider_threads", "idempotency_keys")
    counts = await core.database.read(
        lambda c: [c.scalar(sql(f"SELECT count(*) FROM {table}")) for table in tables]  # noqa: S608  names of ours
    )
    assert counts == [1, 2, 1, 1, 1, 1]
    for execution_id in ("", *erased):
        assert core.log._logs.find(thread_id, execution_id) is None  # type: ignore[attr-defined]
    for step in (core.threads.delete(core.user, thread_id, purge=True), core.listed(thread_id)):
        with pytest.raises(NotFoundError):
            await step
    assert len(await core.listed(kept)) == 2
    assert await core.read(kept, message.execution_id or "") == events


async def test_a_deleted_thread_can_be_purged(core: Core) -> None:
    thread_id = await core.thread()
    await core.answer(thread_id, model=script())
    await core.threads.delete(core.user, thread_id, purge=False)
    await core.threads.delete(core.user, thread_id, purge=True)
    assert await core.threads.list_threads(core.user, Page(), include_deleted=True) == ([], 0)


async def test_an_idempotent_send_is_answered_once(core: Core, model_stub: ModelStub) -> None:
    thread_id, name = await core.thread(), new_id()
    from_draft = {"text": "once", "model": script(name), "if_active": IfActive.interrupt}
    key = IdempotencyKey(core.user.id, "send", "f", SystemClock().now())
    outcomes = await asyncio.gather(
        *(core.conversation.send(core.user, thread_id, Draft(**from_draft), key=key) for _ in range(30))
    )
    assert len({outcome.result.id for outcome in outcomes}) == 1
    assert [outcome.replayed for outcome in outcomes].count(False) == 1
    assert [row.state for row in await core.ended(thread_id)] == ["completed"]
    assert len(await model_stub.calls(name)) == 1


async def test_without_a_model_messages_are_stored(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url, llm_enabled=False) as core:
        thread_id = await core.thread()
        first = await core.send(thread_id, "one")
        second = await core.send(thread_id, "two")
        assert (first.execution_id, second.parent_id) == (None, first.id)
        with pytest.raises(LlmDisabledError):
            await core.conversation.regenerate(core.user, thread_id, first.id, model=None, if_active=IfActive.reject)
        changed = await core.messages.change(core.user, thread_id, first.id, text=None, status=MessageStatus.completed)
        assert changed.status is MessageStatus.completed


async def test_everyone_sees_one_order_while_two_write(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url, llm_enabled=False) as core:
        thread_id = await core.thread()
        sent: list[list[str]] = [[], []]

        async def write(which: int) -> None:
            for number in range(80):
                sent[which].append((await core.send(thread_id, f"{which}:{number}")).id)

        async def page_through() -> list[int]:
            positions: list[int] = []
            after: str | None = None
            while items := (await core.messages.list_messages(core.user, thread_id, Page(limit=7, after=after)))[0]:
                positions += [item.position for item in items]
                after = items[-1].id
            return positions

        async def page_again() -> list[list[int]]:
            return [await page_through() for _ in range(6)]

        _, _, *walks = await asyncio.gather(write(0), write(1), page_again(), page_again())
        for positions in [walk for pager in walks for walk in pager]:
            assert positions == list(range(len(positions), 0, -1)), "nothing skipped, nothing twice"
        _, pages = await core.threads.export(core.user, thread_id)
        exported = [message async for page in pages for message in page]
        assert [message.position for message in exported] == list(range(1, 161))
        for which in (0, 1):
            assert [m.id for m in exported if m.text.startswith(f"{which}:")] == sent[which]


async def test_an_export_has_every_message_however_many(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url, llm_enabled=False) as core:
        thread_id = await core.thread()
        for start in range(0, 1100, 100):
            await asyncio.gather(*(core.send(thread_id, f"m{start + number}") for number in range(100)))
        _, pages = await core.threads.export(core.user, thread_id)
        sizes = [len(page) async for page in pages]
        assert sizes == [500, 500, 100]


async def test_threads_page_by_key_newest_activity_first(core: Core) -> None:
    made = [await core.thread() for _ in range(12)]
    await core.answer(made[3], model=script())
    expected = [made[3], *[name for name in reversed(made) if name != made[3]]]
    seen: list[str] = []
    after: str | None = None
    while items := (await core.threads.list_threads(core.user, Page(limit=5, after=after), include_deleted=False))[0]:
        seen += [item.id for item in items]
        after = items[-1].id
    assert seen == expected
    by_number = [
        item.id
        for number in (1, 2, 3)
        for item in (await core.threads.list_threads(core.user, Page(number=number, limit=5), include_deleted=False))[0]
    ]
    assert by_number == expected


async def test_partial_text_can_be_read_while_it_grows(core: Core) -> None:
    thread_id = await core.thread()
    message = await core.send(thread_id, model=script(pause_ms=10, tokens=1000))
    text = await until(lambda: core.stored_text(message), lambda text: len(text) > 20)
    assert tokens(1000).startswith(text)
    grown = await until(lambda: core.stored_text(message), lambda later: len(later) > len(text))
    assert tokens(1000).startswith(grown)
    assert (await core.answer_to(message)).status is MessageStatus.running
    await cancel(core, thread_id, message.execution_id)


async def test_silence_is_filled_with_heartbeats(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url, heartbeat=0.1) as core:
        events = await core.answer(await core.thread(), model=script(stall_at=2, stall_ms=500))
        assert 2 <= sum(event.type is EventType.progress for event in events) <= 6
        assert shown(events) == tokens(5)
