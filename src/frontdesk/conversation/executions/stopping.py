"""Stopping an execution that this process does not run.

Its runner is asked through the database, so that the text which only that runner has is stored before the end. One that
nobody runs is ended here, with what was last stored of it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.ending import Ending, finish_execution, last_entries, stored_cost
from frontdesk.conversation.executions.models import FINISHED, Execution, ExecutionState
from frontdesk.database import Database
from frontdesk.identity.message_limits import MessageLimits
from frontdesk.kit.clock import Clock
from frontdesk.kit.time_limit import time_left
from frontdesk.ports.thread_log import Entry, StaleAttemptError, ThreadLog

_PATIENCE_SECONDS = 3.0
_POLL_SECONDS = 0.05
_ENDING = Ending(state=ExecutionState.interrupted, text=None, model=None)


class Stopper:
    def __init__(self, *, database: Database, log: ThreadLog, clock: Clock, limits: MessageLimits) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._limits = limits

    async def stop(self, execution: Execution) -> str | None:
        """Bring it to an end, unless another attempt takes it over meanwhile; then nothing has changed.

        Returns the thread's next execution when the thread was given on here. A runner that has not reacted after 3 s,
        or half of the time that the request has left, finds its fence gone: ending it takes time as well.
        """
        if self._has_runner(execution):
            execution = await self._ask_runner(execution)
        return None if execution.state in FINISHED else await self.end(execution)

    async def end(self, execution: Execution) -> str | None:
        """As `end_all`, for one."""
        return await self.end_all([execution])

    async def end_all(self, abandoned: Sequence[Execution]) -> str | None:
        """End what nobody runs, as interrupted with its stored text, and return its thread's next execution.

        What another attempt has taken over stays as it is.
        """
        held = {each.id: each.attempt == 0 or await self._log.holds(each.thread_id, each.id) for each in abandoned}

        def work(connection: Connection) -> tuple[str | None, list[tuple[Execution, list[Entry], int]]]:
            next_id, ended = None, []
            for each in abandoned:
                with suppress(StaleAttemptError):
                    next_id = finish_execution(connection, each, _ENDING, now=self._clock.now()) or next_id
                    entries = last_entries(connection, each, _ENDING, held=held[each.id])
                    ended.append((each, entries, stored_cost(connection, each)))
            return next_id, ended

        next_id, ended = await self._database.write(work)
        for each, entries, spent in ended:
            await self._limits.settle(each.reservation, spent)
            with suppress(StaleAttemptError):  # its thread was erased, or somebody was faster
                self._log.append(each.thread_id, each.id, each.attempt + 1, entries=entries)
        return next_id

    def _has_runner(self, execution: Execution) -> bool:
        lease_until = execution.lease_until
        is_running = execution.state is ExecutionState.running
        return is_running and lease_until is not None and lease_until > self._clock.now()

    async def _ask_runner(self, execution: Execution) -> Execution:
        """The execution once it has no runner any more, or when that takes too long."""
        begun = self._clock.monotonic()
        patience = min(_PATIENCE_SECONDS, time_left() / 2)
        now = self._clock.now()
        await self._database.write(lambda connection: executions.request_cancel(connection, execution.id, now=now))
        while True:
            current = await self._database.read(
                lambda connection: executions.get(connection, execution.thread_id, execution.id)
            )
            waited = self._clock.monotonic() - begun
            if not self._has_runner(current) or waited > patience:
                return current
            await asyncio.sleep(max(_POLL_SECONDS, waited / 4))
