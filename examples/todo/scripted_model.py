"""A stand-in for a model that calls tools: it knows five phrases and says what the tools told it.

It speaks as much of OpenAI's chat completions as the Agents SDK asks for, as a stream, a word in each chunk.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

MODEL = "scripted-todo"
PAUSE_SECONDS = 0.02
HELP = (
    "I keep your tasks. Say “Add a task to buy groceries”, “Show my tasks”, “Complete task 1”, "
    "“Rename task 1 to buy bread”, or “Delete task 1”."
)
Json = dict[str, Any]
Call = tuple[str, Json]
_PHRASES: dict[str, Callable[[re.Match[str]], Call]] = {
    r"add (?:a )?task (?:to )?(.+)": lambda said: ("add_task", {"title": said[1]}),
    r"(?:show|list) (?:my |all )?tasks": lambda _: ("list_tasks", {}),
    r"complete task (\d+)": lambda said: ("complete_task", {"task_id": int(said[1])}),
    r"rename task (\d+) to (.+)": lambda said: ("update_task", {"task_id": int(said[1]), "title": said[2]}),
    r"delete task (\d+)": lambda said: ("delete_task", {"task_id": int(said[1])}),
}


async def list_models(_request: Request) -> Response:
    """`GET /v1/models`."""
    return JSONResponse(
        {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "todo"}]}
    )


async def complete(request: Request) -> Response:
    """`POST /v1/chat/completions`, streamed."""
    asked: Json = await request.json()
    if not asked.get("stream"):
        return JSONResponse({"error": {"message": "It only streams"}}, 400)
    return StreamingResponse(_events(asked), media_type="text/event-stream")


async def _events(asked: Json) -> AsyncIterator[str]:
    call, text = _decided(asked["messages"])
    words = text.split(" ") if text else []
    yield _chunk({"role": "assistant", "content": ""})
    for number, word in enumerate(words):
        yield _chunk({"content": word if number == len(words) - 1 else f"{word} "})
        await asyncio.sleep(PAUSE_SECONDS)
    if call is not None:
        name, arguments = call
        function = {"name": name, "arguments": json.dumps(arguments)}
        made = {"index": 0, "id": f"call_{len(asked['messages'])}", "type": "function", "function": function}
        yield _chunk({"tool_calls": [made]})
    yield _chunk({}, finish="stop" if call is None else "tool_calls")
    prompt = sum(len(str(message.get("content") or "").split()) for message in asked["messages"])
    usage = {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
    yield f"data: {json.dumps({**_head(), 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def _decided(messages: list[Json]) -> tuple[Call | None, str]:
    """What it calls, or else what it says."""
    last = messages[-1]
    if last["role"] == "tool":
        return None, _told(messages[-2]["tool_calls"][0]["function"]["name"], str(last["content"]))
    said = _text(last).strip().rstrip(".!")
    for phrase, call in _PHRASES.items():
        if (matched := re.fullmatch(phrase, said, re.IGNORECASE)) is not None:
            return call(matched), ""
    return None, HELP


def _told(tool: str, result: str) -> str:
    """The tools' results are lines such as `Added 3. buy groceries`."""
    done, _, task = result.partition(" ")
    title = task.partition(" ")[2].removesuffix(" (done)")
    if tool == "add_task" and done == "Added":
        return f"I've added '{title}' to your tasks."
    if tool == "list_tasks":
        return f"These are your tasks:\n{result}" if ". " in result else "You have no tasks."
    return f"I've {done.lower()} '{title}'." if done in {"Completed", "Changed", "Deleted"} else f"{result}."


def _text(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _chunk(delta: Json, *, finish: str | None = None) -> str:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps({**_head(), 'choices': choices})}\n\n"


def _head() -> Json:
    return {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
