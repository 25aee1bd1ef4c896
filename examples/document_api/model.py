"""The language model: any provider that speaks OpenAI's chat completions, read as a stream."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from document_api.problems import ModelFailedError, ModelNotConfiguredError
from document_api.settings import ModelSettings

MAX_CHARACTERS = 1_000_000
_TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=5, sock_read=60)


class Model:
    """Without settings it refuses everything with `ModelNotConfiguredError`."""

    def __init__(self, settings: ModelSettings | None) -> None:
        self._settings = settings

    def require(self) -> ModelSettings:
        """Raises `ModelNotConfiguredError`."""
        if self._settings is None:
            raise ModelNotConfiguredError
        return self._settings

    async def answer(self, task: str, text: str) -> AsyncIterator[str]:
        """The answer's pieces as they come. Raises `ModelFailedError`; the provider's own words stay in here."""
        settings = self.require()
        body = {
            "model": settings.name,
            "stream": True,
            "messages": [{"role": "system", "content": task}, {"role": "user", "content": text}],
        }
        headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(
                    f"{settings.base}/chat/completions", json=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                if response.status != 200 or response.content_type != "text/event-stream":  # noqa: PLR2004  RFC 9110
                    raise ModelFailedError(f"The language model answered with status {response.status}")
                async for piece in _pieces(_events(response.content)):
                    yield piece
        # What is no JSON or no UTF-8 is a ValueError; a line that is too long, an error of the protocol.
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, ValueError) as error:
            raise ModelFailedError("The language model cannot be reached, or broke off") from error


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[str]:
    """The data of each server-sent event (WHATWG HTML, 9.2.6)."""
    data: list[str] = []
    async for line in lines:
        text = line.decode().rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text.removeprefix("data:").removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data = []


async def _pieces(events: AsyncIterator[str]) -> AsyncIterator[str]:
    length, finished = 0, False
    async for event in events:
        if event == "[DONE]":
            return
        text, ends = _piece(json.loads(event))
        finished = finished or ends
        length += len(text)
        if length > MAX_CHARACTERS:
            raise ModelFailedError("The language model's answer is too long")
        if text:
            yield text
    if not finished:
        raise ModelFailedError("The language model broke off")


def _piece(chunk: Any) -> tuple[str, bool]:
    """The text of a chunk, and whether it is the last one with text."""
    if not isinstance(chunk, dict) or "error" in chunk:
        raise ModelFailedError
    choice = next(iter(chunk.get("choices") or []), None)
    if not isinstance(choice, dict):
        return "", False
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else None
    return text if isinstance(text, str) else "", choice.get("finish_reason") is not None
