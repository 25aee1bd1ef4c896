"""Agents that are Python functions, and what else a configuration may name by mistake."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from frontdesk.agents.context import AnswerContext
from frontdesk.agents.events import Activity, ActivityState, Event, Request, Text, ToolCall, UsageReport
from harness.agent_script import call_of, commands, tokens_of, words

SECRET = "the password is 12345"
RAISED: dict[str, type[BaseException]] = {
    "raise": ValueError,
    "exit": SystemExit,
    "cancelled": asyncio.CancelledError,
    "timeout": TimeoutError,
}
left: list[str] = []


async def scripted(request: Request) -> AsyncIterator[Event]:
    """Does what the user's message says; `left` has the keys of those calls of it that are over."""
    said = [number for number, message in enumerate(request.messages) if message["role"] == "user"][-1]
    since = request.messages[said + 1 :]
    results = [message["content"] for message in since if message["role"] == "tool"]
    segment = sum("tool_calls" in message for message in since)
    try:
        for verb, rest in commands(request.messages[said]["content"], segment):
            async for event in _done(verb, rest, results):
                yield event
        yield UsageReport(prompt_tokens=3, completion_tokens=2)
    finally:
        left.append(request.key)


async def visited(request: Request) -> AsyncIterator[Event]:
    """Says whose the thread is, and who is talking, as a tool of the Agents SDK's is told of it."""
    context = AnswerContext(request)
    yield Text(json.dumps([context.user_id, msgspec.to_builtins(context.visit)]))


async def _done(verb: str, rest: str, results: list[str]) -> AsyncIterator[Event]:
    if verb == "say":
        tokens, pause = tokens_of(rest)
        for token in tokens:
            yield Text(token)
            await asyncio.sleep(pause)
    elif verb == "heard":
        for word in words(results):
            yield Text(word)
    elif verb == "tool":
        yield ToolCall(*call_of(rest))
    elif verb == "act":
        async for event in _acted(*call_of(rest)):
            yield event
    else:
        async for event in _misbehaved(verb):
            yield event


async def _acted(name: str, arguments: dict[str, Any]) -> AsyncIterator[Event]:
    yield Activity("act_1", name, arguments)
    yield Text("meanwhile ")
    state = ActivityState.failed if "fail" in arguments else ActivityState.completed
    yield Activity("act_1", name, arguments, state, {"found": {1}})


async def _misbehaved(verb: str) -> AsyncIterator[Any]:
    if verb in RAISED:
        raise RAISED[verb](SECRET)
    if verb == "odd":
        yield SECRET
    if verb == "number":
        yield Text(5)  # type: ignore[arg-type]  what is tested
    if verb == "surrogate":
        yield Text("\ud800")
    while verb == "stubborn":
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            yield Text("still here ")
    if verb == "hang":
        await asyncio.sleep(600)


async def endless(_request: Request) -> AsyncIterator[Event]:
    """Never lets go of the loop by itself."""
    while True:
        yield Text("on ")


async def a_coroutine_function(_request: Request) -> str:
    return ""


def a_function(_request: Request) -> str:
    return ""


a_number = 7
