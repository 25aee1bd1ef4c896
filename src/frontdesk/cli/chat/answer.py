"""One answer, followed to its end over however many connections that takes."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from frontdesk.cli.chat.gateway import Gateway, GatewayError, NotReachedError
from frontdesk.cli.chat.patience import Patience, persist

_CONFLICT = 409


class Display(Protocol):
    """Where an answer appears while it is made."""

    def text(self, piece: str) -> None: ...

    def voided(self) -> None:
        """What was shown of this answer no longer holds; it begins again."""
        ...

    def waiting(self, seconds: float) -> None:
        """The connection is lost; the next attempt is in so many seconds."""
        ...


@dataclass(slots=True)
class Answer:
    """`status` is `running` until the end, then `completed`, `failed`, `interrupted`, or `detached` when we left it."""

    thread_id: str
    execution_id: str | None = None
    status: str = "running"
    text: str = ""
    model: str | None = None
    usage: dict[str, Any] | None = None
    error: str | None = None

    def take(self, chunk: dict[str, Any], display: Display) -> None:
        """Adds one `chat.completion.chunk` or error object of the threads API's stream."""
        if "error" in chunk:
            self.status, self.error = "failed", str(chunk["error"].get("message"))
            return
        agent_status = chunk.get("agent_status")
        if agent_status == "restarted":
            self.text, self.usage = "", None
            display.voided()
        elif agent_status in {"completed", "failed", "interrupted"}:
            self.status = agent_status
        self.model = chunk.get("model") or self.model
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk.get("choices") or ():
            piece = (choice.get("delta") or {}).get("content")
            if piece:
                self.text += piece
                display.text(piece)

    def end(self) -> None:
        if self.status == "running":
            self.status = "completed"


async def follow_answer(gateway: Gateway, answer: Answer, display: Display) -> None:
    """Returns after `[DONE]`. Raises NotReachedError after two minutes without a connection."""
    path = f"/threads/{answer.thread_id}/executions/{answer.execution_id}/stream"
    patience = Patience(display.waiting)
    seen: str | None = None
    while True:
        reason = NotReachedError("the connection was closed in the middle of the answer")
        try:
            async for event in gateway.events(path, after=seen):
                patience.renew()
                if event.data == "[DONE]":
                    answer.end()
                    return
                answer.take(json.loads(event.data), display)
                seen = event.id or seen
        except NotReachedError as error:
            reason = error
        await patience.wait(reason)


async def stop_answer(gateway: Gateway, answer: Answer, display: Display) -> None:
    """Asks until the server has heard it. An answer that ended meanwhile is no error."""
    path = f"/threads/{answer.thread_id}/executions/{answer.execution_id}/cancel"
    try:
        await persist(lambda: gateway.post(path), Patience(display.waiting))
    except GatewayError as error:
        if error.status != _CONFLICT:
            raise


async def answer_or_stop(
    gateway: Gateway, answer: Answer, display: Display, *, send: Callable[[], Awaitable[str | None]]
) -> None:
    """Calls `send` for the execution's id and follows the answer. Ctrl-C stops it, and its text stays;
    a second Ctrl-C leaves at once: then the answer goes on without us and its status here is `detached`.
    """
    stop, leave = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: leave.set() if stop.is_set() else stop.set())
    leaving = asyncio.create_task(leave.wait())
    working = asyncio.create_task(_send_and_follow(gateway, answer, display, send=send, stop=stop))
    try:
        await asyncio.wait({leaving, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        else:
            answer.status = "detached"
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        for task in (leaving, working):
            task.cancel()
        await asyncio.gather(leaving, working, return_exceptions=True)


async def _send_and_follow(
    gateway: Gateway,
    answer: Answer,
    display: Display,
    *,
    send: Callable[[], Awaitable[str | None]],
    stop: asyncio.Event,
) -> None:
    answer.execution_id = await send()
    if answer.execution_id is None:
        answer.status = "completed"
        return
    stopping = asyncio.create_task(_stop_when(stop, gateway, answer, display=display))
    following = asyncio.create_task(follow_answer(gateway, answer, display))
    try:
        done, _ = await asyncio.wait({stopping, following}, return_when=asyncio.FIRST_COMPLETED)
        if stopping in done:
            stopping.result()
        await following
    finally:
        for task in (stopping, following):
            task.cancel()
        await asyncio.gather(stopping, following, return_exceptions=True)


async def _stop_when(stop: asyncio.Event, gateway: Gateway, answer: Answer, *, display: Display) -> None:
    await stop.wait()
    await stop_answer(gateway, answer, display)
