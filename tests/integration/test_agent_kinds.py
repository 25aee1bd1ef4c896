"""Agents that are Python functions or runtimes behind HTTP: one suite for both, and what each has of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest
from agents.tracing import TracingProcessor, set_trace_processors

from deploy.parts.temporal import TemporalServer
from frontdesk.adapters.language_model.python_agent import PythonAgent
from frontdesk.adapters.language_model.remote_agent import RemoteAgent
from frontdesk.adapters.language_model.sdk_agent import SdkAgent
from frontdesk.agents.models import AgentKind, Limits
from frontdesk.conversation.tool_calls.inputs import CallPlace, Decision
from frontdesk.conversation.tool_calls.models import CallState, ToolCall
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.language_model import LanguageModel, ModelChunks, ModelRequest
from frontdesk.ports.thread_log import Event, EventType, StaleAttemptError
from harness import python_agents, remote_runtime, sdk_agents
from harness.answers import shown, tokens
from harness.conversations import SECONDS, Core, OverTemporal, a_user, open_core, read_all, read_until, until
from harness.fixtures import Logged
from harness.model_stub import ModelStub
from harness.processes import SOURCE, Process
from harness.tools import OfferedTools

TESTS = Path(__file__).parents[1]
KINDS = [AgentKind.python, AgentKind.remote]
SECRETS = (python_agents.SECRET, remote_runtime.SECRET)
Runtimes = Callable[[], dict[AgentKind, dict[str, LanguageModel]]]


@pytest.fixture(scope="module")
def remote_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("remote_runtime") / "log"
    paths = {"PYTHONPATH": f"{SOURCE}:{TESTS}"}
    with Process("harness.remote_runtime", "0", log=log, environment=paths) as process:
        yield process.ready_line()["url"]


@pytest.fixture
def runtimes(remote_url: str, model_stub: ModelStub) -> Runtimes:
    """New ones each time: a core closes its own."""

    def remote(key: str | None = "the-key", url: str = remote_url) -> RemoteAgent:
        return RemoteAgent(url, name="there", key=key, timeout=1.0, clock=SystemClock())

    def sdk(agent: Any) -> PythonAgent:
        async def default_model() -> str:
            return "scripted?tokens=4"

        running = SdkAgent(
            agent,
            base_url=model_stub.url,
            api_key=None,
            timeout=5.0,
            connect_timeout=1.0,
            max_retries=0,
            default_model=default_model,
        )
        return PythonAgent(running.events, name=agent.name, clock=SystemClock(), close=running.aclose)

    def made() -> dict[AgentKind, dict[str, LanguageModel]]:
        python: dict[str, LanguageModel] = {
            "there": PythonAgent(python_agents.scripted, name="there", clock=SystemClock()),
            "endless": PythonAgent(python_agents.endless, name="endless", clock=SystemClock()),
            **{agent.name: sdk(agent) for agent in (sdk_agents.adder, sdk_agents.named, sdk_agents.asker)},
        }
        behind_http: dict[str, LanguageModel] = {
            "there": remote(),
            "stranger": remote(key=None),
            "nowhere": remote(url="http://127.0.0.1:9"),
        }
        return {AgentKind.python: python, AgentKind.remote: behind_http}

    return made


@pytest.fixture
def tools() -> OfferedTools:
    offered = OfferedTools()
    offered.offer("echo")
    offered.offer_client("ask")
    offered.offer("pay", requires_approval=True)
    return offered


@pytest.fixture
async def core(
    database_url: str, model_stub: ModelStub, tools: OfferedTools, runtimes: Runtimes
) -> AsyncIterator[Core]:
    async with open_core(database_url, model_stub.url, tools=tools, runtimes=runtimes()) as core:
        yield core


async def thread_of(core: Core, kind: AgentKind, *tools: str, runtime: str = "there", **fields: Any) -> str:
    return await core.thread(agent_id=await core.agent(*tools, kind=kind, runtime=runtime, **fields))


def course(events: list[Event]) -> list[str]:
    """The kinds of events, each run of one kind as one."""
    return [kind for kind, _ in groupby(event.type.value for event in events)]


def chunks(events: list[Event]) -> list[dict[str, Any]]:
    parts = [part for event in events if event.type is EventType.chunk for part in event.parts]
    return [msgspec.json.decode(part) for part in parts]


def error_of(events: list[Event]) -> str:
    assert events[-1].type is EventType.execution_failed
    code: str = msgspec.json.decode(events[-1].payload)["error"]["code"]
    return code


def assert_no_secrets(events: list[Event]) -> None:
    said = b"".join(part for event in events for part in event.parts)
    assert not any(secret.encode() in said for secret in SECRETS)


async def calls_of(core: Core, thread_id: str) -> list[ToolCall]:
    execution_id = (await core.executions(thread_id))[-1].id
    return (await core.inputs.list_calls(core.user, thread_id, execution_id))[1]


async def waiting(core: Core, thread_id: str) -> list[ToolCall]:
    await until(lambda: core.executions(thread_id), lambda rows: rows[-1].state == "waiting")
    return await calls_of(core, thread_id)


def place(call: ToolCall) -> CallPlace:
    return CallPlace(call.thread_id, call.execution_id or "", call.call_id)


async def requests(url: str, session: str) -> list[dict[str, Any]]:
    """What the runtime was sent for a thread."""

    def ask() -> Any:
        with urlopen(f"{url}/stub/requests?session={session}", timeout=10) as response:
            return json.load(response)

    asked: list[dict[str, Any]] = await asyncio.to_thread(ask)
    return asked


@pytest.mark.parametrize("kind", KINDS)
async def test_it_speaks_in_openais_chunks(core: Core, kind: AgentKind) -> None:
    thread_id = await thread_of(core, kind)
    message = await core.send(thread_id, "say 5 1")
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    assert course(events) == ["execution_queued", "execution_started", "chunk", "execution_completed"]
    assert shown(events) == tokens(5)
    said = chunks(events)
    assert {(one["object"], one["model"]) for one in said} == {("chat.completion.chunk", "there")}
    assert len({one["id"] for one in said}) == 1
    deltas = [one["choices"][0] for one in said if one["choices"]]
    assert deltas[0]["delta"] == {"role": "assistant", "content": ""}
    assert [one["finish_reason"] for one in deltas] == [None] * 6 + ["stop"]
    answer = await core.answer_to(message)
    assert (answer.text, answer.status, answer.model) == (tokens(5), "completed", "there")
    if kind is AgentKind.python:
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 5)


@pytest.mark.parametrize("kind", KINDS)
async def test_it_uses_the_gateways_tools(core: Core, kind: AgentKind, tools: OfferedTools) -> None:
    thread_id = await thread_of(core, kind, "echo")
    events = await core.answer(thread_id, 'say 2;tool echo {"a":1};tool echo {"a":2}|heard;tool nothing {}|heard')
    step = ["chunk", "tool_call_started", "tool_call_completed"]
    assert course(events)[2:6] == [*step, "chunk"]
    assert course(events)[6:] == ["tool_call_failed", "chunk", "execution_completed"]
    assert shown(events).startswith("t0 t1 got 1 got 2 ")
    assert len(tools.effects) == 2
    reasons = [one["choices"][0]["finish_reason"] for one in chunks(events) if one["choices"]]
    assert [reason for reason in reasons if reason] == ["tool_calls", "tool_calls", "stop"]
    first, second, third = await calls_of(core, thread_id)
    assert (first.content, second.content, third.error_code) == ("got 1", "got 2", "unknown_tool")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_tool_is_waited_for_beyond_a_restart(
    database_url: str, model_stub: ModelStub, tools: OfferedTools, runtimes: Runtimes, kind: AgentKind
) -> None:
    user = a_user()
    async with open_core(database_url, model_stub.url, tools=tools, user=user, runtimes=runtimes()) as first:
        thread_id = await thread_of(first, kind, "ask")
        message = await first.send(thread_id, 'say 2;tool ask {"a":1};tool ask {"a":2}|heard')
        await waiting(first, thread_id)
    async with open_core(database_url, model_stub.url, tools=tools, user=user, runtimes=runtimes()) as core:
        one, two = await waiting(core, thread_id)
        reader = await core.feed.open(user, thread_id, message.execution_id or "")
        await core.inputs.bring_result(user, place(two), content="second", is_error=False)
        await core.inputs.bring_result(user, place(one), content="none there", is_error=True)
        events = await read_all(reader)
        assert shown(events).startswith("t0 t1 ")
        assert "none there" in shown(events)
        assert shown(events).endswith("second ")
        assert await core.stored_text(message) == shown(events)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_answers_with_it(
    sqlite_url: str,
    model_stub: ModelStub,
    tools: OfferedTools,
    runtimes: Runtimes,
    kind: AgentKind,
    temporal: TemporalServer,
) -> None:
    over = OverTemporal(temporal.address)
    async with open_core(sqlite_url, model_stub.url, tools=tools, temporal=over, runtimes=runtimes()) as core:
        thread_id = await thread_of(core, kind, "ask", "echo")
        message = await core.send(thread_id, 'say 2;tool ask {"a":1}|heard;tool echo {"a":2}|heard')
        (call,) = await waiting(core, thread_id)
        await core.inputs.bring_result(core.user, place(call), content="brought", is_error=False)
        await core.ended(thread_id)
        said = await core.stored_text(message)
        assert said.startswith("t0 t1 brought ")
        assert said.endswith("got 2 ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("decision", "arguments", "heard"),
    [(Decision.approve, None, "got 1"), (Decision.edit, {"a": 5}, "got 5"), (Decision.reject, None, "not today")],
)
async def test_a_tool_of_ours_that_needs_approval_is_made_with_it(
    core: Core, kind: AgentKind, decision: Decision, arguments: dict[str, Any] | None, heard: str
) -> None:
    thread_id = await thread_of(core, kind, "pay")
    message = await core.send(thread_id, 'tool pay {"a":1}|heard')
    (call,) = await waiting(core, thread_id)
    assert call.state is CallState.awaiting_approval
    await core.inputs.decide(core.user, place(call), decision=decision, arguments=arguments, feedback="not today")
    await core.ended(thread_id)
    assert heard in await core.stored_text(message)


@pytest.mark.parametrize("kind", KINDS)
async def test_its_failure_keeps_the_text_and_tells_no_secret(core: Core, kind: AgentKind, logged: Logged) -> None:
    thread_id = await thread_of(core, kind)
    message = await core.send(thread_id, "say 3 5;raise")
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    assert error_of(events) == {AgentKind.python: "agent_failed", AgentKind.remote: "error_in_stream"}[kind]
    assert_no_secrets(events)
    assert await core.stored_text(message) == tokens(3)
    failures = [one for one in logged() if one["event"] == "an agent failed"]
    assert len(failures) == (kind is AgentKind.python)


@pytest.mark.parametrize("kind", KINDS)
async def test_stopping_it_closes_it_at_once(core: Core, kind: AgentKind, remote_url: str) -> None:
    thread_id = await thread_of(core, kind)
    message = await core.send(thread_id, "say 2;hang")
    reader = await core.feed.join(thread_id, message.execution_id or "")
    seen: list[Event] = []
    while shown(seen) != tokens(2):
        seen += await read_until(reader, EventType.chunk)
    await core.conversation.cancel(core.user, thread_id, message.execution_id or "")
    events = await read_all(reader)
    assert events[-1].type is EventType.execution_interrupted
    assert await core.stored_text(message) == tokens(2)

    async def is_closed() -> bool:
        if kind is AgentKind.remote:
            *_, asked, stopped = await requests(remote_url, thread_id)
            assert stopped["body"] == {"session_id": thread_id, "type": "cancel"}
            return asked["ended"] == "closed by client"
        return f"{message.execution_id}-0" in python_agents.left

    await until(is_closed, bool)


@pytest.mark.parametrize("kind", KINDS)
async def test_after_a_crash_the_same_answer_goes_on(
    database_url: str, model_stub: ModelStub, tools: OfferedTools, runtimes: Runtimes, kind: AgentKind, remote_url: str
) -> None:
    user, number = a_user(), 30
    async with open_core(database_url, model_stub.url, tools=tools, user=user, lease=0.4, runtimes=runtimes()) as first:
        thread_id = await thread_of(first, kind, "echo")
        message = await first.send(thread_id, f'say 2;tool echo {{"a":1}}|say {number} 10')
        reader = await first.feed.join(thread_id, message.execution_id or "")
        seen = await read_until(reader, EventType.tool_call_completed)
        seen += await read_until(reader, EventType.chunk)
        await first.crash()
        async with open_core(
            database_url, model_stub.url, tools=tools, user=user, lease=0.4, runtimes=runtimes()
        ) as second:
            resumed = await second.feed.open(user, thread_id, message.execution_id or "", after=seen[-1].cursor)
            rest = await read_all(resumed)
            assert await second.stored_text(message) == tokens(2) + tokens(number)
    assert shown(seen + rest) == tokens(2) + tokens(number)
    assert len(tools.effects) == 1
    if kind is AgentKind.remote:
        keys = [one["headers"]["idempotency-key"] for one in await requests(remote_url, thread_id)]
        execution_id = message.execution_id
        assert keys == [f"{execution_id}-0-0", f"{execution_id}-1-0", f"{execution_id}-1-0"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_runtime_that_is_configured_no_more_says_so(
    database_url: str, model_stub: ModelStub, runtimes: Runtimes, kind: AgentKind
) -> None:
    user = a_user()
    async with open_core(database_url, model_stub.url, user=user, runtimes=runtimes()) as first:
        thread_id = await thread_of(first, kind)
    async with open_core(database_url, model_stub.url, user=user) as core:
        assert error_of(await core.answer(thread_id, "say 1")) == "runtime_not_found"


@pytest.mark.parametrize("kind", KINDS)
async def test_its_time_is_limited(core: Core, kind: AgentKind) -> None:
    thread_id = await thread_of(core, kind, limits=Limits(max_seconds=0.3))
    assert error_of(await core.answer(thread_id, "say 1;hang")) == "time_limit"


@pytest.mark.parametrize("verb", ["raise", "exit", "cancelled", "timeout", "odd", "number", "surrogate"])
async def test_whatever_a_function_does_is_a_typed_failure(core: Core, verb: str, logged: Logged) -> None:
    thread_id = await thread_of(core, AgentKind.python)
    events = await core.answer(thread_id, f"say 1;{verb}")
    assert error_of(events) == "agent_failed"
    assert_no_secrets(events)
    assert shown(events) == tokens(1)
    assert any(one["event"] == "an agent failed" and one["agent"] == "there" for one in logged())


async def test_a_function_that_will_not_be_cancelled_is_not_waited_for(core: Core) -> None:
    thread_id = await thread_of(core, AgentKind.python)
    message = await core.send(thread_id, "say 1;stubborn")
    reader = await core.feed.join(thread_id, message.execution_id or "")
    await read_until(reader, EventType.chunk)
    await core.conversation.cancel(core.user, thread_id, message.execution_id or "")
    events = await read_all(reader)
    assert events[-1].type is EventType.execution_interrupted
    assert await core.stored_text(message) == tokens(1)


async def test_nothing_is_handed_on_once_nobody_listens() -> None:
    agent = PythonAgent(python_agents.scripted, name="there", clock=SystemClock())
    taken: list[ModelChunks] = []
    messages = [{"role": "user", "content": "say 1;stubborn"}]
    answering = asyncio.create_task(agent.stream(ModelRequest("", messages, key=(key := new_id())), taken.append))
    await until(lambda: asyncio.sleep(0, taken), bool)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    await until(lambda: asyncio.sleep(0, key in python_agents.left), bool)
    assert [one.text for one in taken] == ["t0 "]
    await agent.aclose()


async def test_a_function_that_never_awaits_leaves_others_their_turn(core: Core) -> None:
    thread_id = await thread_of(core, AgentKind.python, runtime="endless", limits=Limits(max_seconds=0.2))
    assert error_of(await core.answer(thread_id, "go")) == "time_limit"


async def test_a_functions_own_calls_are_shown_in_order(core: Core) -> None:
    thread_id = await thread_of(core, AgentKind.python)
    events = await core.answer(thread_id, 'say 1;act search {"q":"x"};say 1;act search {"fail":1}')
    between = ["tool_call_started", "chunk"]
    assert course(events)[2:] == [
        *["chunk", *between, "tool_call_completed"],
        *["chunk", *between, "tool_call_failed", "chunk"],
        "execution_completed",
    ]
    told = [msgspec.json.decode(event.payload) for event in events if event.type.value.startswith("tool_call")]
    call = {"call_id": "act_1", "tool": "search", "arguments": {"q": "x"}}
    assert told[0] == {**call, "state": "running"}
    assert told[1] == {**call, "state": "completed", "result": {"found": [1]}}
    assert told[3] == {**call, "arguments": {"fail": 1}, "state": "failed", "error": {"found": [1]}}
    assert await calls_of(core, thread_id) == []


async def test_what_a_function_says_behind_its_calls_is_not_heard(core: Core) -> None:
    thread_id = await thread_of(core, AgentKind.python, "echo")
    events = await core.answer(thread_id, 'tool echo {"a":1};say 4;raise|heard')
    assert shown(events) == "got 1 "


@pytest.mark.parametrize(
    ("misdeed", "kind"),
    [
        ("status 401", "refused"),
        ("status 302", "refused"),
        ("status 429", "rate_limited"),
        ("status 503", "server_error"),
        ("status 204", "bad_response"),
        ("html", "bad_response"),
        ("drop", "reset"),
        ("mute", "timeout_first_byte"),
        ("say 1;hang", "timeout_between_bytes"),
        ("say 1;cut", "reset"),
        ("say 1;reset", "reset"),
        ("say 1;raw {", "bad_frame"),
        ("say 1;raw []", "bad_frame"),
        ('say 1;raw {"token":7}', "bad_frame"),
        ('say 1;raw {"type":"assistant_message"}', "bad_frame"),
        ('say 1;raw {"type":"tool_call","call_id":"c","arguments":{}}', "bad_frame"),
        ('say 1;raw {"type":"tool_call","tool_name":"echo","arguments":{}}', "bad_frame"),
        ('say 1;raw {"type":"tool_call","tool_name":"echo","call_id":"c","arguments":[1]}', "bad_frame"),
        ('say 1;raw {"status":"failed"}', "error_in_stream"),
    ],
)
async def test_a_runtime_that_errs_is_a_typed_failure(core: Core, misdeed: str, kind: str, remote_url: str) -> None:
    thread_id = await thread_of(core, AgentKind.remote, "echo")
    events = await core.answer(thread_id, misdeed)
    assert error_of(events) == kind
    assert_no_secrets(events)
    assert shown(events) == tokens(misdeed.count("say 1"))
    assert [one["path"] for one in await requests(remote_url, thread_id)] == ["/agent/message/stream"]


@pytest.mark.parametrize(("runtime", "kind"), [("stranger", "refused"), ("nowhere", "connect")])
async def test_a_runtime_that_lets_nobody_in_is_a_typed_failure(core: Core, runtime: str, kind: str) -> None:
    thread_id = await thread_of(core, AgentKind.remote, runtime=runtime)
    assert error_of(await core.answer(thread_id, "say 1")) == kind


async def test_a_runtime_is_sent_the_contracts_bodies(core: Core, remote_url: str) -> None:
    thread_id = await thread_of(core, AgentKind.remote, "ask")
    await core.send(thread_id, 'tool ask {"a":1};tool ask {"a":2}|say 1')
    one, two = await waiting(core, thread_id)
    await core.inputs.bring_result(core.user, place(one), content="x", is_error=False)
    await core.inputs.bring_result(core.user, place(two), content="y", is_error=True)
    await core.ended(thread_id)
    sent = await requests(remote_url, thread_id)
    said = {"session_id": thread_id}
    assert [one["body"] for one in sent] == [
        {**said, "type": "user_message", "content": 'tool ask {"a":1};tool ask {"a":2}|say 1'},
        {**said, "type": "tool_result", "call_id": "c0_0", "result": "x"},
        {**said, "type": "tool_result", "call_id": "c0_1", "error": "y"},
    ]
    assert {one["headers"]["x-internal-auth"] for one in sent} == {"the-key"}


@pytest.mark.parametrize("odd", ["bare;say 3", 'beat;say 3;beat;raw {"type":"news","content":{}}', "raw ;say 3"])
async def test_only_the_data_lines_of_a_runtime_count(core: Core, odd: str) -> None:
    thread_id = await thread_of(core, AgentKind.remote)
    events = await core.answer(thread_id, odd)
    assert shown(events) == tokens(3)
    assert events[-1].type is EventType.execution_completed


@pytest.mark.parametrize(
    ("decision", "arguments", "sent"),
    [
        (Decision.approve, None, {"decision": "approve"}),
        (Decision.edit, {"b": [5]}, {"decision": "edit", "modified_arguments": {"b": [5]}}),
        (Decision.reject, None, {"decision": "reject", "feedback": "not today"}),
    ],
)
async def test_a_call_of_the_runtimes_own_is_only_decided_here(
    core: Core,
    tools: OfferedTools,
    remote_url: str,
    decision: Decision,
    arguments: dict[str, Any] | None,
    sent: dict[str, Any],
) -> None:
    thread_id = await thread_of(core, AgentKind.remote, "echo")
    message = await core.send(
        thread_id, 'approve echo {"call_id":"x","b":1}|heard;tool echo {"call_id":"x","a":2}|heard'
    )
    (call,) = await waiting(core, thread_id)
    assert (call.state, call.tool, call.arguments) == (CallState.awaiting_decision, "echo", '{"b":1}')
    for _ in range(2):
        await core.inputs.decide(core.user, place(call), decision=decision, arguments=arguments, feedback="not today")
    await core.ended(thread_id)
    bodies = [one["body"] for one in await requests(remote_url, thread_id)]
    assert bodies[1] == {"session_id": thread_id, "type": "hitl_decision", "call_id": "x", **sent}
    assert bodies[2] == {"session_id": thread_id, "type": "tool_result", "call_id": "x", "result": "got 2"}
    assert len(tools.effects) == 1
    assert (await core.stored_text(message)).endswith("got 2 ")


async def test_an_agent_of_the_sdk_runs_its_own_tools(core: Core, model_stub: ModelStub) -> None:
    sdk_agents.calls.clear()
    thread_id = await thread_of(core, AgentKind.python, runtime="adder", instructions="Be brief", temperature=0.5)
    model = 'scripted?tokens=3&key=sdk-adder&echo=1&calls=add:{"a":2,"b":3}'
    message = await core.send(thread_id, "please add", model=model)
    events = await read_all(await core.feed.join(thread_id, message.execution_id or ""))
    step = ["chunk", "tool_call_started", "tool_call_completed", "chunk"]
    assert course(events)[2:] == [*step, "execution_completed"]
    assert shown(events) == "please add sum 5 "
    assert sdk_agents.calls == [(2, 3)]
    (told,) = [msgspec.json.decode(one.payload) for one in events if one.type is EventType.tool_call_completed]
    assert (told["tool"], told["arguments"], told["result"]) == ("add", {"a": 2, "b": 3}, "sum 5")
    answer = await core.answer_to(message)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2 + 2
    asked = [call["body"] for call in await model_stub.calls("sdk-adder")]
    assert [each["role"] for each in asked[0]["messages"]] == ["system", "system", "user"]
    assert (asked[0]["temperature"], asked[0]["stream"]) == (0.5, True)
    assert [tool["function"]["name"] for tool in asked[0]["tools"]] == ["add"]


@pytest.mark.parametrize(("runtime", "said"), [("adder", tokens(4)), ("named", tokens(2))])
async def test_an_agent_of_the_sdk_asks_the_configured_provider(core: Core, runtime: str, said: str) -> None:
    thread_id = await thread_of(core, AgentKind.python, runtime=runtime)
    assert shown(await core.answer(thread_id)) == said


@pytest.mark.parametrize(
    ("runtime", "model", "limits", "code"),
    [
        ("adder", "scripted?status=503", Limits(), "server_error"),
        ("adder", "scripted?status=401", Limits(), "refused"),
        ("adder", "scripted?status=302", Limits(), "refused"),
        ("adder", "scripted?tokens=5&error_at=2", Limits(), "error_in_stream"),
        ("adder", 'scripted?calls=add:{"a":1,"b":1}|add:{"a":1,"b":1}', Limits(max_steps=1), "step_limit"),
        ("adder", "scripted?tokens=5&pause_ms=500", Limits(max_seconds=0.3), "time_limit"),
        ("asker", 'scripted?calls=pay:{"a":1}', Limits(), "agent_failed"),
    ],
)
async def test_an_agent_of_the_sdk_fails_with_a_type(
    core: Core, runtime: str, model: str, limits: Limits, code: str
) -> None:
    thread_id = await thread_of(core, AgentKind.python, runtime=runtime, limits=limits)
    events = await core.answer(thread_id, model=model)
    assert error_of(events) == code


async def test_an_agent_of_the_sdk_is_traced_to_nobody(core: Core) -> None:
    seen: list[str] = []

    class Spy(TracingProcessor):
        def on_trace_start(self, trace: Any) -> None:
            seen.append(str(trace))

        def on_trace_end(self, trace: Any) -> None: ...

        def on_span_start(self, span: Any) -> None:
            seen.append(str(span))

        def on_span_end(self, span: Any) -> None: ...

        def shutdown(self) -> None: ...

        def force_flush(self) -> None: ...

    set_trace_processors([Spy()])
    try:
        thread_id = await thread_of(core, AgentKind.python, runtime="adder")
        assert shown(await core.answer(thread_id)) == tokens(4)
    finally:
        set_trace_processors([])
    assert seen == []


async def test_a_log_that_refuses_ends_the_sdks_run(runtimes: Runtimes, model_stub: ModelStub) -> None:
    agent = runtimes()[AgentKind.python]["adder"]

    def refuse(_chunks: ModelChunks) -> None:
        raise StaleAttemptError

    request = ModelRequest("scripted?tokens=400&pause_ms=50&key=sdk-refused", [{"role": "user", "content": "go"}])
    with pytest.raises(StaleAttemptError):
        await agent.stream(request, refuse)
    call = await model_stub.call("sdk-refused", seconds=SECONDS)
    assert call["outcome"] == "closed_by_client"
    await agent.aclose()


async def test_stopping_an_agent_of_the_sdk_closes_its_model(core: Core, model_stub: ModelStub) -> None:
    thread_id = await thread_of(core, AgentKind.python, runtime="adder")
    key = new_id()
    message = await core.send(thread_id, model=f"scripted?tokens=200&pause_ms=50&key={key}")
    reader = await core.feed.join(thread_id, message.execution_id or "")
    await read_until(reader, EventType.chunk)
    await core.conversation.cancel(core.user, thread_id, message.execution_id or "")
    assert (await read_all(reader))[-1].type is EventType.execution_interrupted
    call = await model_stub.call(key, seconds=SECONDS)
    assert call["outcome"] == "closed_by_client"
