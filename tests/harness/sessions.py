"""The session and tool gateway as agent front ends see it: the served program, its callers and their feeds."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from frontdesk.settings import Settings
from harness.served import served
from harness.sse_client import Event, SseStream, open_sse


@dataclass(frozen=True)
class SessionCaller:
    """Somebody before the gateway at `root`; with `headers` of an account, or of none."""

    client: httpx.AsyncClient
    root: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {**self.headers, **request.pop("headers", {})}
        return await self.client.request(method, self.root + path, headers=headers, **request)

    async def session(self, **fields: Any) -> str:
        made = await self.ask("POST", "/chat/sessions", json=fields)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def say(self, session_id: str, content: str, *, role: str = "user", **fields: Any) -> dict[str, Any]:
        body = {"role": role, "content": content, **fields}
        said = await self.ask("POST", f"/chat/sessions/{session_id}/messages", json=body)
        assert said.status_code == 201, said.text
        found: dict[str, Any] = said.json()
        return found

    async def invoke(self, session_id: str | None, tool: str, **request: Any) -> httpx.Response:
        headers = request.pop("headers", {}) | ({"X-Agent-Session-Id": session_id} if session_id else {})
        return await self.ask("POST", f"/agent/tools/{tool}/invoke", headers=headers, **request)

    def feed(self, session_id: str, *, after: str | None = None) -> AbstractAsyncContextManager[SseStream]:
        url = f"{self.root}/chat/sessions/{session_id}/events"
        return open_sse(url, headers=self.headers, last_event_id=after)


@asynccontextmanager
async def session_gateway(settings: Settings) -> AsyncIterator[SessionCaller]:
    async with served(settings) as client:
        yield SessionCaller(client, str(client.base_url).removesuffix(f"{settings.api_prefix}/"))


def data(event: Event) -> Any:
    assert event.data is not None, event
    return json.loads(event.data)


async def read_until(
    stream: SseStream, holds: Callable[[Event], bool], *, seconds: float = 60
) -> list[tuple[str, Any, str]]:
    """The events from where an earlier reading ended to the first for which `holds`: name, data and id of each."""
    found: list[tuple[str, Any, str]] = []
    async with asyncio.timeout(seconds):
        async for event in stream:
            if event.data is None:
                continue
            assert event.type is not None, event
            assert event.id is not None, event
            found.append((event.type, data(event), event.id))
            if holds(event):
                return found
    raise AssertionError(f"the stream ended: {found}")


def is_answered(event: Event) -> bool:
    """An answer's end."""
    return event.type == "message" and data(event)["role"] == "assistant" and data(event)["status"] == "completed"


def is_called(event: Event, *, state: str = "completed") -> bool:
    return event.type == "tool" and data(event)["state"] == state


TOOLS = """
defaults: {timeout_seconds: 5}
tools:
  - name: echo
    description: Says what it got.
    parameters: {type: object, properties: {text: {type: string}, tags: {type: array, items: {type: string}}}}
    http: {method: POST, path: /echo}
  - name: item
    description: One thing.
    parameters: {type: object, required: [id], properties: {id: {type: [string, integer]}, q: {type: string}}}
    http: {method: GET, path: "/items/{id}/parts"}
  - name: status
    description: Any status.
    parameters: {type: object, required: [number], properties: {number: {type: integer}}}
    http: {method: POST, path: "/status/{number}"}
  - name: redirect
    description: Elsewhere.
    parameters: {type: object, properties: {}}
    http: {method: GET, path: /redirect}
  - name: hang
    description: Never answers.
    parameters: {type: object, properties: {}}
    http: {method: GET, path: /hang}
    timeout_seconds: 0.3
  - name: half
    description: Half an answer.
    parameters: {type: object, properties: {}}
    http: {method: GET, path: /half}
    timeout_seconds: 0.3
  - name: drop
    description: No answer.
    parameters: {type: object, properties: {}}
    http: {method: GET, path: /drop}
  - name: garbage
    description: Not HTTP.
    parameters: {type: object, properties: {}}
    http: {method: GET, path: /garbage}
  - name: heads
    description: Headers of all sorts.
    parameters: {type: object, properties: {}}
    http: {method: GET, path: /headers}
  - name: large
    description: So many bytes.
    parameters: {type: object, required: [number], properties: {number: {type: integer}}}
    http: {method: GET, path: "/large/{number}"}
  - name: flood
    description: So many bytes as they come.
    parameters: {type: object, required: [number], properties: {number: {type: integer}}}
    http: {method: GET, path: "/large/{number}", stream: true}
  - name: slow
    description: An answer after so many milliseconds.
    parameters: {type: object, required: [number], properties: {number: {type: integer}}}
    http: {method: POST, path: "/sleep/{number}"}
  - name: pick_colour
    description: The client shows colours.
    parameters: {type: object, properties: {}}
    client: true
"""
FUNCTIONS = """
python:
  - {function: "harness.tool_functions:echo", name: say}
  - {function: "harness.tool_functions:fail", name: fail}
  - {function: "harness.tool_functions:hang", name: hang_here, timeout_seconds: 0.3}
"""


def write_tools(folder: Path, more: str = "") -> str:
    """A file with the tools above and those of `more`; its path."""
    path = folder / "tools.yaml"
    path.write_text(TOOLS + more)
    return str(path)
