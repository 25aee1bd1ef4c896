"""A published chat and those who visit it, over the served program."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from frontdesk.settings import Settings
from harness.callers import Caller, founder
from harness.served import served
from harness.sse_client import Event, SseStream, open_sse

TERMINAL = {"execution_completed", "execution_failed"}


@dataclass(frozen=True)
class Chat:
    """An interface as `owner` built it; `root` is where its visitors ask."""

    owner: Caller
    interface: dict[str, Any]
    root: str

    @property
    def path(self) -> str:
        return f"/chat-interfaces/{self.interface['id']}"

    async def ask(self, method: str, below: str = "", **request: Any) -> httpx.Response:
        """As somebody without an account."""
        return await self.owner.client.request(method, self.root + below, **request)

    async def visitor(self, **visit: Any) -> "Visitor":
        opened = await self.ask("POST", "/sessions", json=visit)
        assert opened.status_code == 201, opened.text
        return Visitor(self, opened.json())


@dataclass(frozen=True)
class Visitor:
    """Somebody with a session; `opened` is what they were told."""

    chat: Chat
    opened: dict[str, Any] = field(repr=False)

    @property
    def token(self) -> str:
        return str(self.opened["sessionToken"])

    @property
    def id(self) -> str:
        return str(self.opened["sessionId"])

    async def send(
        self, text: str = "hello", *, attachments: Sequence[dict[str, Any]] = (), **request: Any
    ) -> httpx.Response:
        body = {"sessionToken": self.token, "message": text, "attachments": list(attachments)}
        return await self.chat.ask("POST", "/messages", json=body, **request)

    async def say(self, text: str = "hello", *attachments: dict[str, Any]) -> dict[str, Any]:
        sent = await self.send(text, attachments=attachments)
        assert sent.status_code == 202, sent.text
        told: dict[str, Any] = sent.json()
        return told

    async def upload(self, content: bytes, name: str = "notes.txt", **request: Any) -> httpx.Response:
        files = {"file": (name, content, "application/octet-stream")}
        headers = {"X-Session-Token": self.token}
        return await self.chat.ask("POST", "/upload", files=files, headers=headers, **request)

    async def brought(self, content: bytes, name: str = "notes.txt") -> dict[str, Any]:
        answer = await self.upload(content, name)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def query(self, text: str, **fields: Any) -> list[dict[str, Any]]:
        answer = await self.chat.ask("POST", "/query", json={"sessionToken": self.token, "query": text, **fields})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    def stream(
        self, *, follow: bool = False, after: str | None = None, token: str | None = None
    ) -> AbstractAsyncContextManager[SseStream]:
        url = f"{self.chat.root}/stream{'?follow=1' if follow else ''}"
        return open_sse(url, headers={"X-Session-Token": token or self.token}, last_event_id=after)

    async def answer(self, text: str = "hello", *attachments: dict[str, Any]) -> list[tuple[str, Any]]:
        """Sends and reads the answer to its end: the names and the data of its events."""
        await self.say(text, *attachments)
        async with self.stream() as stream:
            return told(await stream.read_all(seconds=60))

    async def messages(self) -> list[dict[str, Any]]:
        listed = await self.chat.ask("GET", f"/sessions/{self.token}/messages")
        assert listed.status_code == 200, listed.text
        found: list[dict[str, Any]] = listed.json()["messages"]
        return found

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The session as its owner sees it, once `holds` is true of it."""
        found: dict[str, Any] = await self.chat.owner.until(f"{self.chat.path}/sessions/{self.id}", holds)
        return found


def file(uploaded: dict[str, Any]) -> dict[str, Any]:
    """An uploaded file as a message brings it."""
    return {"type": "file", "gcsUri": uploaded["gcsUri"]}


def link(url: str) -> dict[str, Any]:
    return {"type": "url", "url": url}


def told(events: list[Event]) -> list[tuple[str, Any]]:
    return [(event.type or "", json.loads(event.data)) for event in events if event.data is not None]


def text_of(events: list[tuple[str, Any]]) -> str:
    """What a page shows that follows the tokens."""
    text = ""
    for name, data in events:
        if name == "token":
            text = data["token"] if data.get("reset") else text + data["token"]
    return text


async def read_events(stream: SseStream, holds: Callable[[Event], bool], *, seconds: float = 60) -> list[Event]:
    """From where an earlier reading ended to the first for which `holds`."""
    found = []
    async with asyncio.timeout(seconds):
        async for event in stream:
            found.append(event)
            if holds(event):
                return found
    raise AssertionError(f"the stream ended: {found}")


def is_end(event: Event) -> bool:
    return event.type in TERMINAL


async def build(owner: Caller, *, agent: dict[str, Any] | None = None, publish: bool = True, **fields: Any) -> Chat:
    """An agent of its own and an interface for it."""
    made = await owner.made("POST", "/agents", json={"name": "Guide", **(agent or {})})
    body = {"name": "Help", "agentId": made["id"], **fields}
    interface = await owner.made("POST", "/chat-interfaces", json=body)
    if publish:
        interface = await owner.made("POST", f"/chat-interfaces/{interface['id']}/publish")
    root = f"{str(owner.client.base_url).rstrip('/')}/public/chat-interfaces/{interface['slug']}"
    return Chat(owner, interface, root)


@asynccontextmanager
async def public_chat(settings: Settings, **fields: Any) -> AsyncIterator[Chat]:
    """The served program with an account and a published interface."""
    async with served(settings) as client:
        yield await build(await founder(client), **fields)


def assert_failure(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    failure: dict[str, Any] = response.json()
    assert failure["success"] is False
    assert failure["code"] == code, failure
    assert isinstance(failure["error"], str)
    assert failure["error"]
    return failure
