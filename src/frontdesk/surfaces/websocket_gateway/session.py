"""One socket: a thread's answers out of the callbacks that bring them, and the client's messages one after the other.

A batch of tokens is written in the callback that brings it; no task is woken for it. What a client does not take stays
in the log, and comes joined when it takes again.
"""

import asyncio
import re
from contextlib import suppress
from random import randint

import msgspec
import structlog

from frontdesk.conversation.sessions.answers import AnswersReader
from frontdesk.conversation.tool_calls.models import CallState, ToolCall
from frontdesk.conversation.tool_calls.telling import told
from frontdesk.errors import (
    ExecutionActiveError,
    FrontdeskError,
    TooManyRequestsError,
    UnavailableError,
)
from frontdesk.http.open_sockets import place_of
from frontdesk.http.services import Services
from frontdesk.http.socket_server import text_frame
from frontdesk.http.sockets import NOT_ALLOWED, TRY_AGAIN, UNAUTHENTICATED, Opening
from frontdesk.identity.holders import Holder
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.time_limit import time_limit
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.agent_input import BadMessageError, Resume, parse, parse_after
from frontdesk.surfaces.agent_messages import AnswerMessages, Seq, error_message
from frontdesk.surfaces.websocket_gateway.incoming import Incoming

RESTARTING = 1012
GONE = 4404
TOO_MANY = 4429
_BROKEN = 1011
_RETRY_MILLISECONDS = (200, 3000)  # how long clients wait that are sent away, so that they do not come back together
_RETRY_SECONDS = 1.0
_FIRST_SECONDS = 1.0
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)
_logger = structlog.get_logger(__name__)


class SocketSession:
    """As `http.open_sockets.OpenSocket` has it."""

    def __init__(self, services: Services, opening: Opening, name: str) -> None:
        self.holder = opening.holder
        self.place = place_of(opening.holder.principal, opening.address)
        self.wire = opening.wire
        self.blocked_since: float | None = None
        self.wrote_at = 0.0
        self._services = services
        self._name = name
        self._address = opening.address
        self._incoming: Incoming | None = None
        self._owner = opening.holder.principal
        self._reader: AnswersReader | None = None
        self._messages: AnswerMessages | None = None
        self._position = 0
        self._seq_told: int | None = None
        self._shown: Seq | None = None
        self._is_behind = False
        self._is_draining = False
        self._is_asked = False
        self._is_held = True
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    @property
    def thread_id(self) -> str:
        return "" if self._reader is None else self._reader.thread_id

    @property
    def is_idle(self) -> bool:
        return self._reader is None or self._reader.is_idle

    def wake(self) -> None:
        self._is_asked = True
        self.wrote_at = self._loop.time()
        self._woken.set()

    def note_count(self, count: int) -> None:
        if self._reader is not None:
            self._reader.note_count(count)

    def cut(self) -> None:
        self.wire.close(TRY_AGAIN, self._hint("You read too slowly"))

    def revoke(self) -> None:
        self.wire.close(UNAUTHENTICATED, "The credential does not count any more")

    def readmit(self, holder: Holder) -> None:
        if not self.holder.may_use_as(holder):
            self.wire.close(RESTARTING, self._hint("What you may use has changed"))
        self.holder = holder

    def send_away(self) -> None:
        retry = randint(*_RETRY_MILLISECONDS)  # noqa: S311  no secret
        self.wire.close(RESTARTING, self._hint(f"The server restarts; retry_ms={retry}"))

    def drain(self) -> None:
        """The server is about to end: go once no answer is under way."""
        self._is_draining = True
        if self.is_idle:
            self.send_away()

    async def run(self, after: str | None) -> None:
        """To the socket's end."""
        try:
            self._services.sockets.add(self)
        except TooManyRequestsError as error:
            self.wire.close(TOO_MANY, error.detail)
            return
        self.wire.changed = self._advance
        self.wire.on_shutdown = self.drain
        self.wrote_at = self._loop.time()
        try:
            await self._serve(after)
        except UnavailableError as error:
            self.wire.close(TRY_AGAIN, error.detail)
        except TooManyRequestsError as error:
            self.wire.close(TOO_MANY, error.detail)
        except FrontdeskError as error:
            self.wire.close(NOT_ALLOWED, error.detail)
        except Exception:  # the request's boundary: whatever it is, the client gets a close code and not its text
            _logger.exception("socket broke")
            self.wire.close(_BROKEN, "Internal error")
        finally:
            self._services.sockets.remove(self)
            self._leave_reader()

    async def _serve(self, after: str | None) -> None:
        with time_limit(self._services.settings.database_timeout_seconds):
            principal, thread_id = await self._services.sessions.open_named(
                self.holder.principal, self._name, permit=self._permit
            )
        self._incoming, self._owner = Incoming(self._services, thread_id), principal
        self._follow(principal, thread_id, self._seq(after))
        if after is None:
            await self._hear_first()
        self._is_held = False
        while not self.wire.lost:
            await self._step()
            if self._reader is not None and self._reader.ended:
                self.wire.close(GONE, "The session is gone")

    async def _hear_first(self) -> None:
        """Who comes to resume says so at once: before that nothing is told that they may have. What begins meanwhile is
        not missed.
        """
        if self._reader is not None:
            await self._reader.look_around()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SECONDS):
                while not (self.wire.messages or self.wire.lost):
                    await self._woken.wait()
                    self._woken.clear()
        if self.wire.messages and _is_resume(self.wire.messages[0]):
            await self._take(self.wire.take_message())

    async def _permit(self) -> None:
        """Strangers may not fill the database. Raises `TooManyRequestsError`."""
        principal = self.holder.principal
        if principal.kind is PrincipalKind.visitor and self.holder != self._services.tickets.this_machine():
            await self._services.session_throttle.take(self._address)

    def _seq(self, after: str | None) -> Seq | None:
        """What the address gives; what it cannot mean is told, and is as if it were not there."""
        if after is None:
            return None
        try:
            return Seq.parse(parse_after(int(after) if _NUMBER.fullmatch(after) else None))
        except BadMessageError as error:
            self._write(error_message(error.detail))
            return None

    async def _step(self) -> None:
        self._advance()
        reader = self._reader
        if reader is not None and not self.wire.paused and (reader.has_errand or self._is_asked):
            self._is_asked = False
            try:
                await reader.look_around()
            except UnavailableError:
                self._loop.call_later(_RETRY_SECONDS, self._woken.set)
            else:
                self._woken.set()
        if self.wire.messages and not self.wire.paused:
            await self._take(self.wire.take_message())
        elif not self.wire.lost:
            await self._woken.wait()
        self._woken.clear()

    def _follow(self, principal: Principal, thread_id: str, seq: Seq | None) -> None:
        self._leave_reader()
        self._shown, self._messages, self._position = seq, None, 0
        since = None if seq is None else seq.position
        reader = self._services.answers.follow(principal, thread_id, since=since)
        reader.on_ready(self._on_ready)
        self._reader = reader

    def _leave_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # What the client says.

    async def _take(self, text: str) -> None:
        try:
            message = parse(text)
            if isinstance(message, Resume):
                self._follow(self._owner, self.thread_id, Seq.parse(message.after))
                self._woken.set()
            elif self._is_draining:
                self.send_away()
            elif self._incoming is not None:
                with time_limit(self._services.settings.database_timeout_seconds):
                    self._ask(await self._incoming.take(self._principal(), message))
        except ExecutionActiveError:
            self._write(error_message("An answer is under way: wait for its end, or cancel it"))
        except FrontdeskError as error:
            self._write(error_message(error.detail))
        except Exception:  # the socket's boundary: one message that breaks does not end the others
            _logger.exception("message broke")
            self._write(error_message("Internal error"))

    def _principal(self) -> Principal:
        """As its credential is now, unless the session is a visitor's that the caller only knows."""
        current = self.holder.principal
        return current if current.id == self._owner.id else self._owner

    # What the client is told.

    def _on_ready(self) -> None:
        """The log has something, or has it no more: then it must be looked for."""
        if not self._advance() and not self.wire.paused and not self.is_idle:
            self.wake()

    def _advance(self) -> bool:
        """Write what there is, and wake the task for what else is to do; whether anything was written."""
        if self.wire.paused and not self.wire.lost:  # who is lost while behind never catches up
            return False
        if self.blocked_since is not None:
            self.blocked_since, self._is_behind = None, True
        wrote = False
        try:
            wrote = self._pump()
        except Exception:  # the socket pump's boundary: a reader's trouble is not the writer's
            _logger.exception("socket broke")
            self.wire.abort()
        reader = self._reader
        if self.wire.messages or self.wire.lost or (reader is not None and (reader.has_errand or reader.ended)):
            self._woken.set()
        elif self._is_draining and self.is_idle:
            self.send_away()
        return wrote

    def _pump(self) -> bool:
        """Write what is there, as long as the client takes it; whether there was anything."""
        reader, wire, wrote = self._reader, self.wire, False
        while reader is not None and not (wire.paused or wire.lost or self._is_held):
            events = reader.take()
            if not events:
                break
            wrote = True
            answer = self._answer(reader.position)
            messages = answer.encode(events, joined=self._is_behind)
            if answer.diverged:
                messages.append(answer.void())
                reader.again()
            has_more = reader.more
            if not has_more:
                messages += answer.calls()
                self._is_behind = False
            if messages:
                self._write(*messages)
                self._seq_told = answer.seq
            if not has_more:
                break
        return wrote

    def _ask(self, call: ToolCall | None) -> None:
        """One that may be made now, by the client: nobody else will say so before it has come."""
        if call is None or call.state is not CallState.awaiting_result or self._messages is None:
            return
        payload = msgspec.json.encode(told(call))
        self._messages.encode([Event("", call.execution_id or "", 0, EventType.input_requested, payload)])
        self._write(*self._messages.calls())

    def _answer(self, position: int) -> AnswerMessages:
        """The messages of the answer at a position; the first is continued where the client has left it."""
        if self._messages is None or self._position != position:
            shown, self._shown, self._position = self._shown, None, position
            self._messages = AnswerMessages(position, shown=shown if shown and shown.position == position else None)
        return self._messages

    def _write(self, *messages: bytes) -> None:
        self.wire.write(text_frame(messages[0]) if len(messages) == 1 else b"".join(map(text_frame, messages)))
        self.wrote_at = self._loop.time()
        if self.wire.paused:
            self.blocked_since = self.wrote_at

    def _hint(self, reason: str) -> str:
        """The reason of a close, with where to go on (at most 123 bytes, RFC 6455, 5.5)."""
        return reason if self._seq_told is None else f"{reason}; after={self._seq_told}"


def _is_resume(text: str) -> bool:
    try:
        return isinstance(parse(text), Resume)
    except BadMessageError:
        return False
