"""Agents that call tools: what is made, what is told, what waits, and what is left when a runner dies."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import groupby
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from frontdesk.agents.models import Limits
from frontdesk.conversation.tool_calls.inputs import CallPlace, Decision
from frontdesk.conversation.tool_calls.models import CallState, ToolCall
from frontdesk.errors import BadArgumentsError, CallNotAwaitedError, NotFoundError
from frontdesk.kit.ids import new_id
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.ports.tool_source import ToolCallError, ToolOutput
from harness.answers import shown, tokens
from harness.conversations import Core, OverTemporal, a_user, open_core, read_all, read_until, until
from harness.model_stub import ModelStub
from harness.tools import OfferedTools


@pytest.fixture
def tools() -> OfferedTools:
    offered = OfferedTools()
    offered.offer("echo")
    offered.offer_client("ask")
    offered.offer("pay", requires_approval=True)
    return offered


@pytest.fixture(params=["local", "temporal"])
async def core(
    request: pytest.FixtureRequest, database_url: str, model_stub: ModelStub, tools: OfferedTools
) -> AsyncIterator[Core]:
    temporal = None
    if request.param == "temporal":
        temporal = OverTemporal(request.getfixturevalue("temporal").address)
    async with open_core(database_url, model_stub.url, temporal=temporal, tools=tools) as core:
        yield core


def script(calls: str, *, number: int = 3, **options: Any) -> str:
    more = "".join(f"&{name}={value}" for name, value in options.items())
    calls = quote(calls, safe='{}":,;|')
    return f"scripted?tokens={number}&key={new_id()[-8:]}&calls={calls}{more}"


def payloads(events: list[Event], kind: EventType) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.payload) for event in events if event.type is kind]


async def calls_of(core: Core, thread_id: str, execution_id: str) -> list[ToolCall]:
    return (await core.inputs.list_calls(core.user, thread_id, execution_id))[1]


def place(thread_id: str, call: ToolCall) -> CallPlace:
    return CallPlace(thread_id, call.execution_id or "", call.call_id)


async def waiting(core: Core, thread_id: str, execution_id: str) -> list[ToolCall]:
    """The calls of an execution that has gone to wait."""
    await until(lambda: core.executions(thread_id), lambda rows: rows[-1].state == "waiting")
    return await calls_of(core, thread_id, execution_id)


def course(events: list[Event]) -> list[str]:
    """The kinds of events, each run of one kind as one."""
    return [kind for kind, _ in groupby(event.type.value for event in events)]


async def test_results_go_back_to_the_model(core: Core, tools: OfferedTools) -> None:
    thread_id = await core.thread(agent_id=await core.agent("echo", instructions="Be brief"))
    model = script('echo:{"a":1};echo:{"a":2}|echo:{"a":3}', echo=1)
    message = await core.send(thread_id, "say hello", model=model)
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    step = ["chunk", "tool_call_started", "tool_call_completed"]
    assert course(events) == ["execution_queued", "execution_started", *step, *step, "chunk", "execution_completed"]
    completed = payloads(events, EventType.tool_call_completed)
    assert sorted(each["result"] for each in completed) == ["got 1", "got 2", "got 3"]
    said = "say hello got 1 got 2 got 1 got 2 got 3 "
    assert shown(events) == said
    answer = await core.answer_to(message)
    assert answer.text == said
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2 + 4 + 6
    calls = await calls_of(core, thread_id, message.execution_id or "")
    assert [(call.step, call.state, call.content) for call in calls] == [
        (1, "completed", "got 1"),
        (1, "completed", "got 2"),
        (2, "completed", "got 3"),
    ]
    assert sorted(tools.effects) == sorted(call.id for call in calls)
    assert len({call.call_id for call in calls}) == 3


async def test_the_next_question_is_asked_with_what_the_tools_gave(core: Core, model_stub: ModelStub) -> None:
    thread_id = await core.thread(agent_id=await core.agent("echo", instructions="Be brief"))
    await core.answer(thread_id, "first", model=script('echo:{"a":7}'))
    key = new_id()[-8:]
    await core.answer(thread_id, "second", model=f"scripted?tokens=1&key={key}")
    (call,) = await model_stub.calls(key)
    asked = call["body"]["messages"]
    assert [each["role"] for each in asked] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert asked[0]["content"] == "Be brief"
    assert asked[2]["tool_calls"][0]["function"] == {"name": "echo", "arguments": '{"a":7}'}
    assert asked[3] == {"role": "tool", "tool_call_id": asked[2]["tool_calls"][0]["id"], "content": "got 7"}
    assert (asked[2]["content"], asked[4]["content"]) == (tokens(3), tokens(3))
    assert call["body"]["tools"][0]["function"]["name"] == "echo"


@pytest.mark.parametrize(
    ("calls", "code"),
    [
        ("nothing:{}", "unknown_tool"),
        ("pay", "unknown_tool"),
        ('echo:{"a":"x"}', "bad_arguments"),
        ("echo:{not json", "bad_arguments"),
        ('broken:{"a":1}', "backend_unreachable"),
        ('slow:{"a":1}', "timeout"),
        ('unwell:{"a":1}', "tool_failed"),
    ],
)
async def test_a_failure_is_a_result_that_the_model_sees(
    core: Core, tools: OfferedTools, calls: str, code: str
) -> None:
    async def breaks(_: Mapping[str, Any]) -> ToolOutput:
        raise ToolCallError("backend_unreachable", "The back end cannot be reached", was_made=False)

    async def sleeps(_: Mapping[str, Any]) -> ToolOutput:
        await asyncio.Event().wait()
        raise AssertionError

    async def is_unwell(_: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(content='{"error":{"code":"tool_failed"}}', is_error=True)

    tools.offer("broken", breaks)
    tools.offer("slow", sleeps, timeout=0.05)
    tools.offer("unwell", is_unwell)
    thread_id = await core.thread(agent_id=await core.agent("echo", "broken", "slow", "unwell"))
    message = await core.send(thread_id, "go", model=script(calls, echo=1))
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    (failed,) = payloads(events, EventType.tool_call_failed)
    assert failed["error"]["error"]["code"] == code
    assert code in shown(events)
    assert events[-1].type is EventType.execution_completed
    (call,) = await calls_of(core, thread_id, message.execution_id or "")
    assert (call.state, call.error_code) == (CallState.failed, code)


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_steps": 3}, "step_limit"), ({"max_seconds": 0.2}, "time_limit"), ({"max_tokens": 5}, "token_limit")],
)
async def test_an_agent_that_goes_on_and_on_is_ended(core: Core, limits: dict[str, Any], code: str) -> None:
    thread_id = await core.thread(agent_id=await core.agent("echo", limits=Limits(**limits)))
    model = script("|".join(['echo:{"a":1}'] * 5), pause_ms=20)
    message = await core.send(thread_id, "go", model=model)
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    assert events[-1].type is EventType.execution_failed
    assert msgspec.json.decode(events[-1].payload)["error"]["code"] == code
    answer = await core.answer_to(message)
    assert (answer.status, answer.text) == ("failed", shown(events))
    assert answer.text.startswith(tokens(3))


async def test_a_client_tool_waits_for_its_result(core: Core) -> None:
    thread_id = await core.thread(agent_id=await core.agent("ask"))
    message = await core.send(thread_id, "go", model=script('ask:{"a":1};ask:{"a":2}', echo=1))
    execution_id = message.execution_id or ""
    reader = await core.feed.join(thread_id, execution_id)
    events = await read_until(reader, EventType.input_requested)
    first, second = await waiting(core, thread_id, execution_id)
    assert (first.state, second.state) == (CallState.awaiting_result, CallState.awaiting_result)
    assert await core.stored_text(message) == "go "
    bring = core.inputs.bring_result
    for _ in range(2):  # a repetition changes nothing
        await bring(core.user, place(thread_id, second), content="two", is_error=False)
    assert (await core.executions(thread_id))[-1].state == "waiting"
    again = await bring(core.user, place(thread_id, second), content="other", is_error=True)
    assert again.content == "two"
    await bring(core.user, place(thread_id, first), content="one", is_error=False)
    events += await read_all(reader)
    assert "execution_resumed" in course(events)
    assert "execution_restarted" not in course(events)
    assert shown(events) == "go one two "
    assert await core.stored_text(message) == "go one two "
    assert shown(await core.read(thread_id, execution_id)) == "go one two "
    assert [each["result"] for each in payloads(events, EventType.tool_call_completed)] == ["one", "two"]


async def test_who_joins_while_an_answer_waits_is_told_what_for(core: Core) -> None:
    thread_id = await core.thread(agent_id=await core.agent("ask"))
    message = await core.send(thread_id, "go", model=script('ask:{"a":1}'))
    execution_id = message.execution_id or ""
    (call,) = await waiting(core, thread_id, execution_id)
    reader = await core.feed.open(core.user, thread_id, execution_id)
    events = await read_until(reader, EventType.input_requested)
    (asked,) = payloads(events, EventType.input_requested)
    assert (asked["call_id"], asked["tool"], asked["arguments"]) == (call.call_id, "ask", {"a": 1})
    await core.inputs.bring_result(core.user, place(thread_id, call), content="x", is_error=False)
    rest = await read_all(reader)
    assert shown(events + rest) == tokens(3) * 2


@pytest.mark.parametrize(
    ("decision", "arguments", "code", "content"),
    [
        (Decision.approve, None, None, "got 1"),
        (Decision.edit, {"a": 5}, None, "got 5"),
        (Decision.reject, None, "rejected", '{"error":{"code":"rejected","message":"not today"}}'),
    ],
)
async def test_a_call_that_needs_approval_is_made_only_with_it(
    core: Core,
    tools: OfferedTools,
    decision: Decision,
    arguments: dict[str, Any] | None,
    code: str | None,
    content: str,
) -> None:
    thread_id = await core.thread(agent_id=await core.agent("pay"))
    message = await core.send(thread_id, "go", model=script('pay:{"a":1}'))
    execution_id = message.execution_id or ""
    (call,) = await waiting(core, thread_id, execution_id)
    assert (call.state, tools.effects) == (CallState.awaiting_approval, [])
    for _ in range(2):
        await core.inputs.decide(
            core.user,
            place(thread_id, call),
            decision=decision,
            arguments=arguments,
            feedback="not today",
        )
    await core.ended(thread_id)
    (call,) = await calls_of(core, thread_id, execution_id)
    assert (call.error_code, call.content) == (code, content)
    assert len(tools.effects) == (code is None)


async def test_what_is_brought_must_be_wanted(core: Core) -> None:
    thread_id = await core.thread(agent_id=await core.agent("ask", "pay"))
    message = await core.send(thread_id, "go", model=script('pay:{"a":1};ask:{"a":2}'))
    execution_id = message.execution_id or ""
    pay, _ask = await waiting(core, thread_id, execution_id)
    bring, decide = core.inputs.bring_result, core.inputs.decide
    with pytest.raises(CallNotAwaitedError):
        await bring(core.user, place(thread_id, pay), content="x", is_error=False)
    with pytest.raises(NotFoundError):
        await bring(core.user, CallPlace(thread_id, execution_id, "call_other"), content="x", is_error=False)
    with pytest.raises(NotFoundError):
        await bring(a_user(), place(thread_id, pay), content="x", is_error=False)
    for arguments in (None, {"a": "x"}):
        with pytest.raises(BadArgumentsError):
            await decide(core.user, place(thread_id, pay), decision=Decision.edit, arguments=arguments)
    assert (await core.executions(thread_id))[-1].state == "waiting"


async def test_an_answer_that_waits_can_be_stopped(core: Core) -> None:
    thread_id = await core.thread(agent_id=await core.agent("ask"))
    message = await core.send(thread_id, "go", model=script('ask:{"a":1}'))
    execution_id = message.execution_id or ""
    reader = await core.feed.join(thread_id, execution_id)
    (call,) = await waiting(core, thread_id, execution_id)
    await core.conversation.cancel(core.user, thread_id, execution_id)
    events = await read_all(reader)
    assert events[-1].type is EventType.execution_interrupted
    assert await core.stored_text(message) == tokens(3)
    late = await core.inputs.bring_result(core.user, place(thread_id, call), content="x", is_error=False)
    assert (late.state, late.error_code) == (CallState.failed, "interrupted")
    assert shown(await core.answer(thread_id, model=script(""))) == tokens(3)


async def test_a_thread_whose_agent_is_gone_says_so(core: Core) -> None:
    thread_id = await core.thread(agent_id=new_id())
    events = await core.answer(thread_id)
    assert msgspec.json.decode(events[-1].payload)["error"]["code"] == "agent_not_found"
    label = await core.thread(agent_id="a label")
    assert shown(await core.answer(label, model=script(""))) == tokens(3)


@pytest.mark.parametrize("retry_safe", [True, False])
async def test_a_call_that_was_under_way_at_a_crash_is_made_at_most_once_more(
    database_url: str, model_stub: ModelStub, tools: OfferedTools, *, retry_safe: bool
) -> None:
    begun = asyncio.Event()

    async def hangs_once(arguments: Mapping[str, Any]) -> ToolOutput:
        if len(tools.effects) == 1:
            begun.set()
            await asyncio.Event().wait()
        return ToolOutput(content=f"got {arguments['a']}")

    tools.offer("hangs", hangs_once, retry_safe=retry_safe)
    user = a_user()
    async with open_core(database_url, model_stub.url, tools=tools, user=user, lease=0.4) as first:
        thread_id = await first.thread(agent_id=await first.agent("hangs"))
        message = await first.send(thread_id, "go", model=script('hangs:{"a":1}', echo=1))
        async with asyncio.timeout(30):
            await begun.wait()
        await first.crash()
        async with open_core(database_url, model_stub.url, tools=tools, user=user, lease=0.4) as second:
            await second.ended(thread_id)
            events = await second.read(thread_id, message.execution_id or "")
            (call,) = await calls_of(second, thread_id, message.execution_id or "")
    expected = (CallState.completed, None) if retry_safe else (CallState.failed, "outcome_unknown")
    assert (call.state, call.error_code) == expected
    assert tools.effects == [call.id] * (2 if retry_safe else 1)
    assert shown(events).startswith("go ")
    assert ("got 1" if retry_safe else "outcome_unknown") in shown(events)


async def test_an_answer_waits_across_a_restart(database_url: str, model_stub: ModelStub, tools: OfferedTools) -> None:
    user = a_user()
    async with open_core(database_url, model_stub.url, tools=tools, user=user) as first:
        thread_id = await first.thread(agent_id=await first.agent("ask"))
        message = await first.send(thread_id, "go", model=script('ask:{"a":1}', echo=1))
        execution_id = message.execution_id or ""
        seen = await read_until(await first.feed.join(thread_id, execution_id), EventType.input_requested)
        (call,) = await waiting(first, thread_id, execution_id)
    async with open_core(database_url, model_stub.url, tools=tools, user=user, max_attempts=1) as second:
        reader = await second.feed.open(user, thread_id, execution_id, after=seen[-1].cursor)
        fresh = await second.feed.open(user, thread_id, execution_id)
        told = await read_until(fresh, EventType.snapshot)  # the log that told it is gone
        (asked,) = payloads(told, EventType.input_requested)
        assert (asked["call_id"], asked["awaited"], shown(told)) == (call.call_id, 1, "go ")
        cut = await second.feed.open(user, thread_id, execution_id, after=told[-1].cursor)
        await second.inputs.bring_result(user, place(thread_id, call), content="late", is_error=False)
        for seen_before, following in ((seen, reader), (told, fresh), (told, cut)):
            assert shown(seen_before + await read_all(following)) == "go late "
        assert await second.stored_text(message) == "go late "
    async with open_core(database_url, model_stub.url, tools=tools, user=user) as third:
        for after in (None, told[-1].cursor):
            events = await third.read(thread_id, execution_id, after=after)
            (ended,) = payloads(events, EventType.tool_call_completed)
            assert (ended["call_id"], ended["result"], shown(events)) == (call.call_id, "late", "go late ")
            assert await third.read(thread_id, execution_id, after=events[-2].cursor) == events[-1:]


async def test_a_crash_between_steps_goes_on_behind_the_steps(
    database_url: str, model_stub: ModelStub, tools: OfferedTools
) -> None:
    user = a_user()
    async with open_core(database_url, model_stub.url, tools=tools, user=user, lease=0.4) as first:
        thread_id = await first.thread(agent_id=await first.agent("echo"))
        model = script('echo:{"a":1}|echo:{"a":2}', number=30, pause_ms=10)
        message = await first.send(thread_id, "go", model=model)
        reader = await first.feed.join(thread_id, message.execution_id or "")
        seen = await read_until(reader, EventType.tool_call_completed)
        seen += await read_until(reader, EventType.chunk)
        await first.crash()
        async with open_core(database_url, model_stub.url, tools=tools, user=user, lease=0.4) as second:
            resumed = await second.feed.open(user, thread_id, message.execution_id or "", after=seen[-1].cursor)
            rest = await read_all(resumed)
            calls = await calls_of(second, thread_id, message.execution_id or "")
    assert shown(seen + rest) == tokens(30) * 3
    assert tools.effects == [call.id for call in calls]
    assert len(calls) == 2
