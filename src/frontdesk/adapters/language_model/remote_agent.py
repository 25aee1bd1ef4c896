"""Agents behind HTTP: a runtime that keeps its own history and answers with server-sent events."""

import asyncio
from contextlib import suppress
from typing import Any

from frontdesk.adapters.http_client import HttpClient, HttpError, Response
from frontdesk.adapters.language_model import remote_wire
from frontdesk.adapters.language_model.agent_chunks import AgentChunks
from frontdesk.adapters.language_model.remote_wire import RemoteWire
from frontdesk.adapters.language_model.streamed_answer import StreamedAnswer, Take
from frontdesk.kit.clock import Clock
from frontdesk.ports.language_model import ModelRequest

PATH = "/agent/message/stream"
CONNECT_SECONDS = 5.0
STOP_SECONDS = 1.0
MAX_EVENT_BYTES = 1_048_576


class RemoteAgent:
    """Sends the user's message, or what its calls brought, to the runtime below `url`, and nothing anywhere else.

    `timeout` is in seconds: to the first byte, and then each silence. Nothing is retried: the runtime may have begun.
    What is sent again after a crash has the `Idempotency-Key` of the first time. `to_client` is as `RemoteWire` has it.
    """

    def __init__(
        self, url: str, *, name: str, key: str | None, timeout: float, clock: Clock, to_client: bool = False
    ) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "frontdesk"}
        if key is not None:
            headers["X-Internal-Auth"] = key
        self._client = HttpClient(url, headers=headers, connect_timeout=min(timeout, CONNECT_SECONDS))
        self._name = name
        self._timeout = timeout
        self._clock = clock
        self._to_client = to_client

    async def stream(self, request: ModelRequest, take: Take) -> None:
        chunks = AgentChunks(model=request.model or self._name, clock=self._clock)
        wire = RemoteWire(chunks, remote_wire.asked_since_user(request), to_client=self._to_client)
        for number, body in enumerate(remote_wire.bodies(request)):
            answer = await self._begun(body, key=f"{request.key}-{number}", wire=wire, take=take)
            try:
                await answer.ended
            finally:
                answer.leave()
        take(chunks.finish(None))

    async def stop(self, thread_id: str) -> None:
        """Closing a stream does not stop a runtime's answer, as no reader's leaving stops one of ours."""
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        with suppress(HttpError, TimeoutError):  # it is not wanted anyway, and a runtime need not know this message
            async with asyncio.timeout(STOP_SECONDS):
                answer = await self._client.send("POST", PATH, remote_wire.cancel(thread_id), headers=headers)
                answer.leave(at_once=True)

    async def models(self) -> list[dict[str, Any]]:
        """None: which models it asks is the runtime's own business."""
        return []

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _begun(self, body: bytes, *, key: str, wire: RemoteWire, take: Take) -> StreamedAnswer:
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._sent(body, key)
                answer = StreamedAnswer(
                    response, take, timeout=self._timeout, max_event_bytes=MAX_EVENT_BYTES, wire=wire
                )
                response.read(answer)
                try:
                    await answer.begun
                except BaseException:
                    answer.leave()
                    raise
        except TimeoutError as error:
            raise remote_wire.failure("timeout_first_byte") from error
        return answer

    async def _sent(self, body: bytes, key: str) -> Response:
        """A response with status 200 whose body is a stream of events."""
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Idempotency-Key": key}
        try:
            response = await self._client.send("POST", PATH, body, headers=headers)
        except HttpError as error:
            raise remote_wire.failure(error.kind) from error
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = response.headers.get("content-encoding", "identity")
        if response.status != 200:  # noqa: PLR2004  the one status that carries an answer
            refusal = remote_wire.status_failure(response.status)
        elif media_type != "text/event-stream" or encoding != "identity":
            refusal = remote_wire.failure("bad_response", status=response.status)
        else:
            return response
        response.leave(at_once=True)
        raise refusal
