"""A client of the ChatKit protocol, written against its published types: it keeps the items as the widget does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from chatkit import types
from pydantic import TypeAdapter

Json = dict[str, Any]
_event: TypeAdapter[Any] = TypeAdapter(types.ThreadStreamEvent)
_request: TypeAdapter[Any] = TypeAdapter(types.ChatKitReq)
ANSWERS: dict[str, TypeAdapter[Any]] = {
    "threads.get_by_id": TypeAdapter(types.Thread),
    "threads.list": TypeAdapter(types.Page[types.Thread]),
    "threads.update": TypeAdapter(types.Thread),
    "items.list": TypeAdapter(types.Page[types.ThreadItem]),
    "input.transcribe": TypeAdapter(types.TranscriptionResult),
    "threads.sync_custom_action": TypeAdapter(types.SyncCustomActionResponse),
    "attachments.create": TypeAdapter(types.Attachment),
}
HIDDEN = {"hidden_context_item", "sdk_hidden_context"}


def frames_of(body: str) -> list[Json]:
    """Every frame of a stream, each one of the protocol's, with nothing that is null and no naive time."""
    parts = body.split("\n\n")
    assert parts.pop() == "", body[-200:]
    frames = []
    for part in parts:
        if part.startswith(":"):
            continue
        assert part.startswith("data: "), part
        frames.append(checked(part.removeprefix("data: ")))
    return frames


def checked(text: str) -> Json:
    model = _event.validate_json(text)
    frame: Json = json.loads(text)
    written = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert written.keys() == frame.keys(), text
    assert not _has_null(frame), text
    item = frame.get("item") or {}
    assert item.get("type") not in HIDDEN, text
    if "created_at" in item:
        assert item["created_at"].endswith("Z"), text
    return frame


def _has_null(value: Any) -> bool:
    """Anywhere but in a client tool's arguments and output, which are whatever they are."""
    if isinstance(value, dict):
        return any(_has_null(inner) for name, inner in value.items() if name not in {"arguments", "output"})
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


class ChatKitClient:
    """`items` of each thread are what the streams have made of them so far, in the order in which they came."""

    def __init__(self, http: httpx.AsyncClient, root: str, secret: str) -> None:
        self._http = http
        self.root = root
        self.secret = secret
        self.items: dict[str, dict[str, Json]] = {}
        self.threads: dict[str, Json] = {}

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    async def post(self, body: Any) -> httpx.Response:
        return await self._http.post(f"{self.root}/chatkit", json=body, headers=self.headers)

    async def ask(self, kind: str, /, **params: Any) -> Json:
        """What a request that is answered at once is answered with, as one of the protocol's."""
        body = {"type": kind, "params": params}
        _request.validate_python(body)
        response = await self.post(body)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json", response.headers
        told: Json = response.json()
        if kind in ANSWERS:
            ANSWERS[kind].validate_json(response.content)
        else:
            assert told == {}
        return told

    @asynccontextmanager
    async def streaming(self, kind: str, /, metadata: Json | None = None, **params: Any) -> AsyncIterator[Any]:
        """The frames of a request that is answered with a stream, as they come."""
        body: Json = {"type": kind, "params": params, **({} if metadata is None else {"metadata": metadata})}
        _request.validate_python(body)
        thread_id = params.get("thread_id", "")
        url = f"{self.root}/chatkit"
        async with self._http.stream("POST", url, json=body, headers=self.headers) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"].startswith("text/event-stream")
            yield self._frames(response, thread_id)

    async def _frames(self, response: httpx.Response, thread_id: str) -> AsyncIterator[Json]:
        held = ""
        async for text in response.aiter_text():
            held += text
            *whole, held = held.split("\n\n")
            for part in whole:
                for frame in frames_of(f"{part}\n\n"):
                    thread_id = frame["thread"]["id"] if frame["type"] == "thread.created" else thread_id
                    self._apply(thread_id, frame)
                    yield frame
        assert held == "", held

    async def stream(self, kind: str, /, metadata: Json | None = None, **params: Any) -> list[Json]:
        async with self.streaming(kind, metadata, **params) as frames:
            return [frame async for frame in frames]

    async def create(self, text: str, *, metadata: Json | None = None, **more: Any) -> tuple[str, list[Json]]:
        frames = await self.stream("threads.create", metadata, input=message(text, **more))
        return str(frames[0]["thread"]["id"]), frames

    async def say(self, thread_id: str, text: str, **more: Any) -> list[Json]:
        return await self.stream("threads.add_user_message", thread_id=thread_id, input=message(text, **more))

    async def upload(self, url: str, content: bytes, *, headers: dict[str, str]) -> None:
        response = await self._http.put(url, content=content, headers=headers)
        assert response.is_success, response.text

    async def picture(self, url: str) -> httpx.Response:
        """As a browser fetches one: with nothing but its address."""
        return await self._http.get(url, follow_redirects=True)

    async def bring(self, thread_id: str, result: Any, *, metadata: Json | None = None) -> list[Json]:
        """The result of the call that waits, which the widget then has as completed."""
        for item in self.items[thread_id].values():
            if item["type"] == "client_tool_call" and item["status"] == "pending":
                item.update({"status": "completed"} if result is None else {"status": "completed", "output": result})
        return await self.stream("threads.add_client_tool_output", metadata, thread_id=thread_id, result=result)

    async def stored(self, thread_id: str, *, order: str = "asc", limit: int = 100) -> list[Json]:
        """All items as pages of the server's have them."""
        found: list[Json] = []
        after: Json = {}
        while True:
            page = await self.ask("items.list", thread_id=thread_id, order=order, limit=limit, **after)
            found += page["data"]
            if not page["has_more"]:
                return found
            after = {"after": page["after"]}

    def shown(self, thread_id: str) -> list[Json]:
        return list(self.items[thread_id].values())

    def _apply(self, thread_id: str, frame: Json) -> None:
        items = self.items.setdefault(thread_id, {})
        kind = frame["type"]
        if kind == "thread.created":
            self.threads[thread_id] = frame["thread"]
        elif kind == "thread.item.removed":
            del items[frame["item_id"]]
        elif kind == "thread.item.replaced":
            assert frame["item"]["id"] in items, frame
            items[frame["item"]["id"]] = frame["item"]
        elif kind in {"thread.item.added", "thread.item.done"}:
            items[frame["item"]["id"]] = json.loads(json.dumps(frame["item"]))
        elif kind == "thread.item.updated":
            _update(items[frame["item_id"]], frame["update"])


def message(text: str, *, model: str | None = None, **more: Any) -> Json:
    options = {} if model is None else {"model": model}
    content = [{"type": "input_text", "text": text}]
    return {"content": content, "attachments": [], "inference_options": options, **more}


def _update(item: Json, update: Json) -> None:
    kind = update["type"]
    if kind == "assistant_message.content_part.text_delta":
        item["content"][update["content_index"]]["text"] += update["delta"]
    elif kind == "assistant_message.content_part.added":
        item["content"].insert(update["content_index"], json.loads(json.dumps(update["content"])))
    elif kind == "assistant_message.content_part.done":
        assert item["content"][update["content_index"]]["text"] == update["content"]["text"]
        item["content"][update["content_index"]] = update["content"]
    elif kind == "assistant_message.content_part.annotation_added":
        annotations = item["content"][update["content_index"]]["annotations"]
        annotations.insert(update["annotation_index"], update["annotation"])
    elif kind == "workflow.task.added":
        item["workflow"]["tasks"].insert(update["task_index"], update["task"])
    elif kind == "workflow.task.updated":
        item["workflow"]["tasks"][update["task_index"]] = update["task"]
    else:
        raise AssertionError(f"the widget does not know {kind}")


def text_of(item: Json) -> str:
    return "".join(part["text"] for part in item["content"])
