"""An agent that does in the widget what the user's message says, and what it does when a widget is used."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from frontdesk.agents.events import (
    Activity,
    ActivityState,
    Citation,
    Effect,
    Event,
    Image,
    Progress,
    Request,
    Text,
    ToolCall,
    UsageReport,
    Widget,
)
from harness.agent_script import call_of, commands, tokens_of, words


def card(value: str) -> dict[str, Any]:
    button = {"type": "Button", "label": "Do it", "onClickAction": {"type": "press", "payload": {"n": 1}}}
    return {"type": "Card", "children": [{"type": "Text", "value": value, "id": "said"}, button]}


async def scripted(request: Request) -> AsyncIterator[Event]:
    """`say 3;widget one;tool ask {"a":1}|heard`: segments end where something is needed."""
    said = [number for number, message in enumerate(request.messages) if message["role"] == "user"][-1]
    since = request.messages[said + 1 :]
    results = [message["content"] for message in since if message["role"] == "tool"]
    segment = sum("tool_calls" in message for message in since)
    for verb, rest in commands(request.messages[said]["content"], segment):
        async for event in _done(verb, rest, results):
            yield event
    yield UsageReport(prompt_tokens=3, completion_tokens=2)


async def _done(verb: str, rest: str, results: list[str]) -> AsyncIterator[Event]:
    if verb == "say":
        tokens, pause = tokens_of(rest)
        for token in tokens:
            yield Text(token)
            await asyncio.sleep(pause)
    elif verb == "heard":
        for word in words(results):
            yield Text(word)
    elif verb in {"tool", "last"}:
        yield ToolCall(*call_of(rest), is_last=verb == "last")
    elif verb == "act":
        yield Activity("act_1", rest, {})
        yield Activity("act_1", rest, {}, ActivityState.completed, "done")
    else:
        yield _shown(verb, rest)


def _shown(verb: str, rest: str) -> Event:
    if verb == "widget":
        return Widget(card(rest), key="card", copy_text=rest)
    if verb == "odd":
        return Widget({"type": rest or "Nothing"}, key="odd")
    if verb == "cite":
        return Citation(rest, url=f"https://example.com/{rest}", index=3)
    if verb == "image":
        return Image("https://example.com/a.png")
    if verb == "effect":
        return Effect(rest, {"n": 1})
    return Progress(rest)


async def pressed(request: Request) -> AsyncIterator[Event]:
    """The widget that was used says so, and so does a word of text."""
    assert request.action is not None
    written = json.dumps(request.action.payload)
    yield Text(f"{request.action.type} {written}")
    if request.action.item_id is not None:
        yield Widget(card(f"pressed by {request.user_id}"), item_id=request.action.item_id)
    yield UsageReport(prompt_tokens=1, completion_tokens=1)
