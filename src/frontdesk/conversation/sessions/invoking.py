"""Tools that a session's holder uses by themselves: each use is recorded before it is made, and settled after.

A call is made once at most: its record is there before the back end hears of it, and one whose process died is not made
again but ended as of unknown outcome. What the tool gave is passed on and not kept; its status, size and time are.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog
from anyio import CancelScope
from sqlalchemy import Connection

from frontdesk.conversation.sessions import repository as sessions
from frontdesk.conversation.sessions.passage import Passage
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.models import CallState, ToolCall
from frontdesk.database import Database
from frontdesk.errors import (
    BadArgumentsError,
    ClientToolError,
    InvalidRequestError,
    UnavailableError,
    UnknownToolError,
)
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.kit.time_limit import not_counted
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.thread_log import EventType, ThreadLog
from frontdesk.ports.tool_source import CallContext, Forwarded, RunsAt, Tool, ToolCallError, ToolOutput

_LEASE_SECONDS = 60.0
_ROUND_SECONDS = 20.0
_MOST_LAPSED = 100
_SHOWN_LENGTH = 4_000
_FIRST_ERROR_STATUS = 400
_logger = structlog.get_logger(__name__)


class Tools(Protocol):
    """The catalogue, as callers use it."""

    def list(self) -> Sequence[Tool]: ...

    def find(self, name: str) -> Tool | None: ...

    def fault(self, name: str, arguments: object) -> str | None: ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput: ...

    def forward(
        self, name: str, arguments: Mapping[str, Any], context: CallContext
    ) -> AbstractAsyncContextManager[Forwarded]: ...


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for. `headers` are those that may go along; equal `key`s of a session are one call for a back
    end that heeds idempotency keys.
    """

    tool: str
    arguments: dict[str, Any]
    session_id: str
    headers: Mapping[str, str] = {}
    key: str | None = None


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is recorded and may now be made, once."""

    tool: Tool
    call: ToolCall
    arguments: dict[str, Any]
    context: CallContext


class ToolInvoker:
    """`max_bytes` bounds an answer that is passed on. Open it where calls are made: it keeps their leases."""

    def __init__(
        self,
        *,
        database: Database,
        log: ThreadLog,
        tools: Tools,
        clock: Clock,
        measurements: Measurements,
        max_bytes: int,
    ) -> None:
        self._database = database
        self._log = log
        self._tools = tools
        self._clock = clock
        self._measurements = measurements
        self._max_bytes = max_bytes
        self._under_way: set[str] = set()
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._keeping = asyncio.create_task(self._keep())

    async def aclose(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    def tools(self) -> list[Tool]:
        """What can be invoked: all but what clients perform."""
        return [tool for tool in self._tools.list() if tool.runs_at is RunsAt.server]

    def tool(self, name: str) -> Tool:
        """Raises `UnknownToolError`, `ClientToolError`."""
        tool = self._tools.find(name)
        if tool is None:
            raise UnknownToolError
        if tool.runs_at is RunsAt.client:
            raise ClientToolError
        return tool

    async def begin(self, caller: Principal | None, wanted: Wanted) -> Begun:
        """Check what is asked for and record it.

        Raises `UnknownToolError`, `ClientToolError`, `BadArgumentsError`, `NotFoundError`, `NotAllowedError`.
        """
        tool = self.tool(wanted.tool)
        # A session that is not the caller's is missing, whatever else is wrong.
        fault = self._tools.fault(tool.name, wanted.arguments)
        now = self._clock.now()

        def work(connection: Connection) -> ToolCall:
            held = sessions.get(connection, caller, wanted.session_id)
            _require_own(connection, caller, wanted)
            if fault is not None:
                raise bad_arguments(fault)
            call = _call(held.thread.id, wanted, now=now)
            tool_calls.add(connection, call)
            return call

        call = await self._database.write(work)
        self._under_way.add(call.id)
        self._tell(call, EventType.tool_call_started)
        context = CallContext(
            idempotency_key=wanted.key or call.id, session_id=wanted.session_id, headers=wanted.headers
        )
        return Begun(tool=tool, call=call, arguments=wanted.arguments, context=context)

    async def call(self, begun: Begun) -> ToolOutput:
        """For a tool that is no request to the back end. Raises `ToolCallError`."""
        error: str | None = "interrupted"
        try:
            with not_counted():
                async with asyncio.timeout(begun.tool.timeout):
                    output = await self._tools.call(begun.tool.name, begun.arguments, begun.context)
            error = "tool_failed" if output.is_error else None
        except TimeoutError as failure:
            error = "backend_timeout"
            detail = f"The tool did not answer within {begun.tool.timeout:g} s"
            raise ToolCallError(error, detail, was_made=True) from failure
        except ToolCallError as failure:
            error = failure.kind
            raise
        finally:
            await self._settle(begun.call, {}, error=error)
        return output

    @asynccontextmanager
    async def forward(self, begun: Begun) -> AsyncIterator[Passage]:
        """Make the request and pass the answer on as it comes; the call is settled when the context is left.

        Raises `ToolCallError`.
        """
        passage: Passage | None = None
        error: str | None = None
        try:
            async with AsyncExitStack() as exchange:
                with not_counted():
                    forwarded = await exchange.enter_async_context(
                        self._tools.forward(begun.tool.name, begun.arguments, begun.context)
                    )
                    passage = Passage(forwarded, max_bytes=self._max_bytes)
                    await passage.admit(is_stream=begun.tool.route is not None and begun.tool.route.streaming)
                yield passage
        except ToolCallError as failure:
            error = failure.kind
            raise
        finally:
            found = {} if passage is None else passage.account()
            if error is None and (passage is None or passage.status >= _FIRST_ERROR_STATUS):
                error = "interrupted" if passage is None else "tool_failed"
            await self._settle(begun.call, found, error=error)

    async def end_lapsed(self) -> int:
        """End the calls whose process has died, and return how many there were."""
        lapsed = await self._database.read(
            lambda connection: tool_calls.list_lapsed(connection, now=self._clock.now(), limit=_MOST_LAPSED)
        )
        for call in lapsed:
            await self._settle(call, {}, error="outcome_unknown")
        return len(lapsed)

    async def _keep(self) -> None:
        """Renew the leases of what is under way here, and end what others left."""
        while True:
            try:
                await self._renew()
                await self.end_lapsed()
            except UnavailableError:
                _logger.info("the leases of calls could not be renewed")
            await asyncio.sleep(_ROUND_SECONDS)

    async def _renew(self) -> None:
        if self._under_way:
            mine, until = sorted(self._under_way), self._clock.now() + timedelta(seconds=_LEASE_SECONDS)
            await self._database.write(lambda connection: tool_calls.renew(connection, mine, until=until))

    async def _settle(self, call: ToolCall, found: dict[str, Any], *, error: str | None) -> None:
        """A database that is away learns of it when the lease has lapsed: as of unknown outcome."""
        now = self._clock.now()
        took = 0.0 if call.started_at is None else (now - call.started_at).total_seconds()
        told = {**found, "milliseconds": round(took * 1000, 1)} | ({} if error is None else {"code": error})
        content = msgspec.json.encode(told).decode()
        self._measurements.tool_called(call.tool, error or "completed")
        with CancelScope(shield=True):
            try:
                settled = await self._database.write(
                    lambda connection: tool_calls.settle(connection, call, content=content, error_code=error, now=now)
                )
            except UnavailableError:
                _logger.warning("a call's end could not be stored", call_id=call.id)
                settled = None
        self._under_way.discard(call.id)
        if settled is not None:
            self._tell(settled, EventType.tool_call_completed if error is None else EventType.tool_call_failed)

    def _tell(self, call: ToolCall, kind: EventType) -> None:
        self._log.announce(call.thread_id, entries=[(kind, msgspec.json.encode(shown(call)))])


def shown(call: ToolCall) -> dict[str, Any]:
    """A call as the session's feed has it; long arguments are cut, and then are text."""
    is_cut = len(call.arguments) > _SHOWN_LENGTH
    told: dict[str, Any] = {
        "call_id": call.call_id,
        "tool": call.tool,
        "state": call.state,
        "arguments": call.arguments[:_SHOWN_LENGTH] if is_cut else msgspec.Raw(call.arguments.encode()),
    }
    if is_cut:
        told["is_cut"] = True
    if call.content is not None:
        told["result" if call.state is CallState.completed else "error"] = msgspec.Raw(call.content.encode())
    return told


def bad_arguments(fault: str) -> BadArgumentsError:
    """`fault` is as the catalogue has it: the path of the value, and why it is wrong."""
    path, _, reason = fault.partition(": ")
    loc = ["body", "arguments", *(part for part in path.split("/") if part)]
    return BadArgumentsError(fault, errors=[{"loc": loc, "msg": reason, "type": "schema"}])


def _require_own(connection: Connection, caller: Principal | None, wanted: Wanted) -> None:
    """An argument must not lead to a session of another's."""
    named = wanted.arguments.get("session_id")
    if isinstance(named, str) and named != wanted.session_id and sessions.find(connection, named) is not None:
        sessions.get(connection, caller, named)


def _call(thread_id: str, wanted: Wanted, *, now: datetime) -> ToolCall:
    call_id = new_id()
    return ToolCall(
        id=call_id,
        thread_id=thread_id,
        execution_id=None,
        step=0,
        call_id=call_id,
        tool=wanted.tool,
        arguments=_stored(wanted.arguments),
        state=CallState.running,
        attempt=0,
        content=None,
        error_code=None,
        created_at=now,
        started_at=now,
        finished_at=None,
        lease_until=now + timedelta(seconds=_LEASE_SECONDS),
    )


def _stored(arguments: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(arguments).decode()
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError("There is a number or a text that cannot be sent") from error
