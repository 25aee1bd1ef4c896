"""Stopping an execution that this process does not run.

Its runner is asked through the database, so that the text which only that runner has is stored before the end. One that
nobody runs is ended here, with what was last stored of it.
"""

import asyncio
from contextlib import suppress

from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.ending import Ending, finish_execution, last_entries, stored_cost
from frontdesk.conversation.executions.models import FINISHED, Execution, ExecutionState
from frontdesk.database import Database
from frontdesk.identity.message_limits import MessageLimits
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import Entry, StaleAttemptError, ThreadLog

_PATIENCE_SECONDS = 3.0
_POLL_SECONDS = 0.05


class Stopper:
    def __init__(self, *, database: Database, log: ThreadLog, clock: Clock, limits: MessageLimits) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._limits = limits

    async def stop(self, execution: Execution) -> str | None:
        """Bring it to an end, unless another attempt takes it over meanwhile; then nothing has changed.

        Returns the thread's next execution when the thread was given on here. Takes at most about 3 s: a runner that
        does not react by then finds its fence gone.
        """
        if self._has_runner(execution):
            execution = await self._ask_runner(execution)
        return None if execution.state in FINISHED else await self.end(execution)

    async def end(self, execution: Execution) -> str | None:
        """End one that nobody runs, as interrupted with its stored text, and return the thread's next execution."""
        ending = Ending(state=ExecutionState.interrupted, text=None, model=None)
        held = execution.attempt == 0 or await self._log.holds(execution.thread_id, execution.id)

        def work(connection: Connection) -> tuple[str | None, list[Entry], int]:
            next_id = finish_execution(connection, execution, ending, now=self._clock.now())
            spent = stored_cost(connection, execution)
            return next_id, last_entries(connection, execution, ending, held=held), spent

        try:
            next_id, entries, spent = await self._database.write(work)
        except StaleAttemptError:
            return None
        await self._limits.settle(execution.reservation, spent)
        with suppress(StaleAttemptError):  # its thread was erased, or somebody was faster
            self._log.append(execution.thread_id, execution.id, execution.attempt + 1, entries=entries)
        return next_id

    def _has_runner(self, execution: Execution) -> bool:
        lease_until = execution.lease_until
        is_running = execution.state is ExecutionState.running
        return is_running and lease_until is not None and lease_until > self._clock.now()

    async def _ask_runner(self, execution: Execution) -> Execution:
        """The execution once it has no runner any more, or when that takes too long."""
        deadline = self._clock.monotonic() + _PATIENCE_SECONDS
        now = self._clock.now()
        await self._database.write(lambda connection: executions.request_cancel(connection, execution.id, now=now))
        while True:
            current = await self._database.read(
                lambda connection: executions.get(connection, execution.thread_id, execution.id)
            )
            if not self._has_runner(current) or self._clock.monotonic() > deadline:
                return current
            await asyncio.sleep(_POLL_SECONDS)
