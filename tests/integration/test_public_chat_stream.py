"""A visitor's stream: what it shows, that it resumes at every event, and when it ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from harness.callers import Caller
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.sse_client import Event
from harness.visitors import Chat, assert_failure, build, is_end, public_chat, read_events, text_of, told

PACED = "scripted?tokens=20&pause_ms=15"
WHOLE = "".join(f"t{number} " for number in range(20))
TOOLS = """
tools:
  - {name: ask_back, description: Ask, client: true, parameters: {type: object}}
"""


@pytest.fixture(scope="module")
async def place(
    each_module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Chat]:
    tools = tmp_path_factory.mktemp("tools") / "tools.yaml"
    tools.write_text(TOOLS)
    chosen = settings_for(
        each_module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model=PACED,
        visitor_sessions_per_address=10_000,
        tools_file=str(tools),
    )
    async with public_chat(chosen) as opened:
        yield opened


@pytest.fixture
async def chat(place: Chat) -> Chat:
    return await build(place.owner, rateLimitMessages=1000)


def _ids(events: list[Event]) -> list[str]:
    return [event.id or "" for event in events if event.data is not None]


async def test_a_stream_opened_before_the_first_message_shows_its_answer(chat: Chat) -> None:
    visitor = await chat.visitor()
    async with visitor.stream() as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "set-cookie" not in stream.headers
        (connected,) = told(await read_events(stream, lambda event: event.type == "connected"))
        assert connected == (
            "connected",
            {"sessionId": visitor.id, "threadId": None, "executionStatus": "idle", "currentExecutionId": None},
        )
        sent = await visitor.say()
        events = await stream.read_all(seconds=20)
    shown = told(events)
    assert text_of(shown) == WHOLE
    assert [name for name, _ in shown[-2:]] == ["message", "execution_completed"]
    assert {data["executionId"] for name, data in shown if name != "connected"} == {sent["executionId"]}
    assert shown[-2][1]["content"] == WHOLE
    assert len(set(_ids(events))) == len(_ids(events))


async def test_a_stream_that_follows_shows_answer_after_answer(chat: Chat) -> None:
    visitor = await chat.visitor()
    async with visitor.stream(follow=True) as stream:
        for number in range(2):
            await visitor.say(str(number))
            events = told(await read_events(stream, is_end))
            assert text_of(events) == WHOLE
            assert events[-1][0] == "execution_completed"
    async with visitor.stream(follow=True) as later:  # what has ended is in the history
        (first,) = told(await read_events(later, lambda event: event.type is not None))
        assert first[1]["executionStatus"] == "completed"
        await visitor.say("third")
        assert text_of(told(await read_events(later, is_end))) == WHOLE


async def test_a_stream_resumes_at_every_event(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say()
    async with visitor.stream() as stream:
        whole = [event for event in await stream.read_all(seconds=20) if event.data is not None]
    for number, event in enumerate(whole[1:-1], start=1):
        async with visitor.stream(after=event.id) as stream:
            rest = [each for each in await stream.read_all(seconds=20) if each.data is not None]
        assert [(each.type, each.id, each.data) for each in rest[1:]] == [
            (each.type, each.id, each.data) for each in whole[number + 1 :]
        ], event
    async with visitor.stream(after=whole[-1].id) as stream:
        assert stream.status == 204
    async with visitor.stream(after=whole[0].id) as stream:
        assert text_of(told(await stream.read_all(seconds=20))) == WHOLE


async def test_a_cut_stream_goes_on_while_the_answer_is_made(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say()
    text, last, ended = "", None, False
    while not ended:
        async with visitor.stream(after=last) as stream:
            seen = 0
            async with asyncio.timeout(20):
                async for event in stream:
                    if event.type == "connected" or event.data is None:
                        continue
                    ((name, data),) = told([event])
                    text += data["token"] if name == "token" else ""
                    last, ended, seen = event.id, is_end(event), seen + 1
                    if ended or seen == 4:
                        break
            stream.cut()
    assert text == WHOLE


async def test_a_stream_ends_with_its_session(chat: Chat) -> None:
    visitor, erased = await chat.visitor(), await chat.visitor()
    async with visitor.stream(follow=True) as stream, erased.stream(follow=True) as other:
        for each in (stream, other):
            await read_events(each, lambda event: event.type == "connected")
        await chat.ask("POST", f"/sessions/{visitor.token}/end")
        await chat.ask("DELETE", f"/sessions/{erased.token}")
        for each in (stream, other):
            assert [event for event in await each.read_all(seconds=10) if event.type != "connected"] == []


async def test_a_stream_shows_nothing_of_other_sessions(chat: Chat) -> None:
    one, two = await chat.visitor(), await chat.visitor()
    async with one.stream(follow=True) as stream:
        await read_events(stream, lambda event: event.type == "connected")
        await two.answer("not for you")
        await one.say("mine")
        events = told(await read_events(stream, is_end))
    assert {data["executionId"] for name, data in events} == {events[-1][1]["executionId"]}
    assert "not for you" not in str(events)


async def test_a_tool_call_is_shown_without_what_it_was_told(chat: Chat) -> None:
    agent = {"model": 'scripted?tokens=2&calls=ask_back:{"secret":1}', "tools": ["ask_back"]}
    with_tools = await build(chat.owner, agent=agent)
    visitor = await with_tools.visitor()
    sent = await visitor.say()
    owner: Caller = chat.owner
    path = f"/threads/{sent['threadId']}/executions/{sent['executionId']}"
    waiting = await owner.until(path, lambda execution: execution["state"] == "waiting")
    async with visitor.stream() as stream:
        await owner.made(
            "POST",
            f"{path}/tool-results",
            json={"call_id": waiting["tool_calls"][0]["call_id"], "result": "hidden"},
        )
        events = await stream.read_all(seconds=20)
    calls = [(name, data) for name, data in told(events) if name.startswith("tool_call")]
    assert [name for name, _ in calls] == ["tool_call_completed"]
    assert calls[0][1]["name"] == "ask_back"
    assert not {"arguments", "result"} & calls[0][1].keys()
    assert b"secret" not in stream.body
    assert b"hidden" not in stream.body
    message = (await visitor.messages())[-1]
    assert [call["name"] for call in message["toolCalls"]] == ["ask_back"]
    transcript = await owner.made("GET", f"{with_tools.path}/sessions/{visitor.id}/messages")
    assert transcript["messages"][-1]["toolCalls"][0]["result"] is not None


async def test_an_id_of_nobodys_is_refused(place: Chat) -> None:
    visitor = await place.visitor()
    for given in ("x", "1.", "1.1", "1-1", "-1", "1.stored-", "9" * 10, "1.1-1 "):
        asked = await place.ask("GET", "/stream", params={"sessionToken": visitor.token, "after": given})
        assert_failure(asked, 400, "bad_cursor")
