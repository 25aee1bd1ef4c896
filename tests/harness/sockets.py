"""The WebSocket gateway as its clients see it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

SECONDS = 15.0


@dataclass
class Socket:
    """One open socket. `messages` are all that came, in order."""

    connection: ClientConnection
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, message: object) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def say(self, content: str = "hello", **fields: Any) -> None:
        await self.send({"type": "user_message", "content": content, **fields})

    async def next(self, *, seconds: float = SECONDS) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        self.messages.append(message)
        return message

    async def until(self, holds: Callable[[dict[str, Any]], bool], *, seconds: float = SECONDS) -> list[dict[str, Any]]:
        """What comes, to the first message for which `holds`."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(seconds):
            while not found or not holds(found[-1]):
                found.append(await self.next())
        return found

    async def answer(self, *, seconds: float = SECONDS) -> list[dict[str, Any]]:
        """What comes, to an answer's end."""
        return await self.until(is_end, seconds=seconds)

    async def refusal(self, message: object) -> str:
        """What an error says that this message leads to, and nothing before it."""
        await self.send(message)
        error = await self.next()
        assert error.keys() == {"type", "content"}, error
        assert error["type"] == "error"
        return str(error["content"])

    async def closed(self, *, seconds: float = SECONDS) -> tuple[int, str]:
        """How it is closed from the other side, once all was read."""
        async with asyncio.timeout(seconds):
            with suppress(ConnectionClosed):
                while True:
                    self.messages.append(json.loads(await self.connection.recv()))
        return self.connection.close_code or 0, self.connection.close_reason or ""


@asynccontextmanager
async def open_socket(
    root: str,
    name: str,
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    origin: str | None = None,
    subprotocols: Sequence[str] | None = None,
    **options: Any,
) -> AsyncIterator[Socket]:
    """A socket at the gateway at `root`, `http://...`."""
    url = f"ws{root.removeprefix('http')}/ws/{name}{query}"
    async with connect(
        url,
        additional_headers=headers,
        origin=None if origin is None else Origin(origin),
        subprotocols=None if subprotocols is None else [Subprotocol(one) for one in subprotocols],
        proxy=None,
        compression=None,
        **{"close_timeout": 1, **options},
    ) as connection:
        yield Socket(connection)


def is_end(message: dict[str, Any]) -> bool:
    return message["type"] == "error" or message.get("is_final") is True


def text_of(messages: Sequence[dict[str, Any]]) -> str:
    """What the tokens say together; what a restart voids is not said."""
    text = ""
    for message in messages:
        text = "" if message.get("restarted") else text + message.get("token", "")
    return text
