"""Runs executions as tasks of this process, each under a lease that outlives it.

One tick renews the leases, checkpoints the answers' texts in the same transaction, and takes over what nobody runs:
executions whose runner died, and queued ones for which there was no room.
"""

import asyncio
import secrets
from collections.abc import Collection
from datetime import timedelta

import structlog
from anyio import CancelScope
from sqlalchemy import Connection

from frontdesk.conversation.answer import Answer, Claim
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.claiming import claim_execution
from frontdesk.conversation.housekeeping import Housekeeping
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.turn import Turn
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import StaleAttemptError

_STOP_SECONDS = 5.0
_logger = structlog.get_logger(__name__)


class _Run:
    """One execution in this process; `answer` is there once it is claimed."""

    __slots__ = ("answer", "scope", "task")

    def __init__(self) -> None:
        self.scope = CancelScope()
        self.answer: Answer | None = None
        self.task: asyncio.Task[None] | None = None


class LocalExecutionEngine:
    """`lease` and `tick` are in seconds; at most `concurrency` executions run at once."""

    def __init__(
        self,
        *,
        database: Database,
        turn: Turn,
        housekeeping: Housekeeping,
        clock: Clock,
        concurrency: int,
        lease: float,
        tick: float,
        context_messages: int,
    ) -> None:
        self._database = database
        self._turn = turn
        self._housekeeping = housekeeping
        self._clock = clock
        self._concurrency = concurrency
        self._lease = timedelta(seconds=lease)
        self._tick = tick
        self._context_messages = context_messages
        self._owner = secrets.token_hex(16)
        self._runs: dict[str, _Run] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._last_tick = clock.monotonic()

    @property
    def running(self) -> int:
        return len(self._runs)

    async def open(self) -> None:
        self._ticking = asyncio.create_task(self._tick_forever())

    async def aclose(self) -> None:
        """Stop here without ending the answers: their leases are given up, so that the next process continues at
        once.
        """
        if self._ticking is None:
            return
        ticking, self._ticking = self._ticking, None
        ticking.cancel()
        try:
            await self._checkpoint()
        except UnavailableError as error:
            _logger.warning("the last texts are not stored", reason=error.detail)
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(ticking, *tasks, return_exceptions=True)
        await self._database.write(
            lambda connection: executions.release(connection, self._owner, now=self._clock.now())
        )

    def start(self, execution_id: str) -> None:
        if self._ticking is None or execution_id in self._runs or len(self._runs) >= self._concurrency:
            return
        run = self._runs[execution_id] = _Run()
        run.task = asyncio.create_task(self._run(execution_id, run))

    async def cancel(self, execution_id: str) -> bool:
        run = self._runs.get(execution_id)
        if run is None or run.task is None:
            return False
        run.scope.cancel()
        done, _ = await asyncio.wait([run.task], timeout=_STOP_SECONDS)
        if not done:
            raise UnavailableError("The answer is stopped, but cannot be stored yet")
        return True

    async def check(self) -> None:
        silence = self._clock.monotonic() - self._last_tick
        if silence > self._tick * 2 + self._lease.total_seconds():
            raise UnavailableError(f"The engine has not ticked for {silence:.0f} s")

    async def _run(self, execution_id: str, run: _Run) -> None:
        next_id: str | None = None
        try:
            claim = await self._claim(execution_id)
            if claim is not None:
                run.answer = Answer(claim.execution)
                next_id = await self._turn.run(claim, run.answer, run.scope)
        except StaleAttemptError:
            _logger.info("execution was taken over or ended elsewhere", execution_id=execution_id)
        except UnavailableError as error:
            _logger.warning("execution waits for the next sweep", execution_id=execution_id, reason=error.detail)
        except Exception:  # the worker step's boundary: the lease runs out and another attempt is made
            _logger.exception("execution broke", execution_id=execution_id)
        finally:
            del self._runs[execution_id]
        if next_id is not None:
            self.start(next_id)

    async def _claim(self, execution_id: str) -> Claim | None:
        def work(connection: Connection) -> Claim | None:
            return claim_execution(
                connection,
                execution_id,
                owner=self._owner,
                now=self._clock.now(),
                lease=self._lease,
                context_messages=self._context_messages,
            )

        return await self._database.write(work)

    async def _tick_forever(self) -> None:
        while True:
            try:
                await self._checkpoint()
                await self._take_over()
                await self._housekeeping.run_if_due()
                self._last_tick = self._clock.monotonic()
            except UnavailableError as error:
                _logger.warning("the engine's tick failed", reason=error.detail)
            except Exception:  # the worker step's boundary: a tick that breaks must not be the last
                _logger.exception("the engine's tick broke")
            await asyncio.sleep(self._tick)

    async def _checkpoint(self) -> None:
        """Keep the leases, store the texts, and stop what is no longer ours."""
        claimed = [run.answer for run in self._runs.values() if run.answer is not None]
        if not claimed:
            return
        grown = [(answer, answer.cursor, answer.text) for answer in claimed if answer.cursor != answer.stored_cursor]

        def work(connection: Connection) -> dict[str, int]:
            held = executions.renew(connection, self._owner, until=self._clock.now() + self._lease)
            ours = [item for item in grown if held.get(item[0].execution.id) == item[0].execution.attempt]
            if ours:
                messages.checkpoint(connection, [(answer.execution.message_id, text) for answer, _, text in ours])
                executions.checkpoint(
                    connection, [(a.execution.id, a.execution.attempt, cursor or "") for a, cursor, _ in ours]
                )
            return held

        held = await self._database.write(work)
        for answer, cursor, _ in grown:
            answer.stored_cursor = cursor
        self._drop_lost(claimed, held)
        await self._let_go(held.keys() - self._runs.keys())

    async def _let_go(self, strays: Collection[str]) -> None:
        """Give up what is ours and runs nowhere: its run broke, or the claim was stored and nobody heard of it."""
        if not strays:
            return
        _logger.warning("executions without a run are given up", execution_ids=sorted(strays))
        await self._database.write(
            lambda connection: executions.release(connection, self._owner, now=self._clock.now(), only=strays)
        )

    def _drop_lost(self, claimed: list[Answer], held: dict[str, int]) -> None:
        for answer in claimed:
            run = self._runs.get(answer.execution.id)
            lost = held.get(answer.execution.id) != answer.execution.attempt
            if lost and not answer.ending and run is not None and run.answer is answer:
                _logger.warning("lost the lease", execution_id=answer.execution.id)
                if run.task is not None:
                    run.task.cancel()

    async def _take_over(self) -> None:
        room = self._concurrency - len(self._runs)
        if room <= 0:
            return
        now = self._clock.now()
        settled = now - timedelta(seconds=self._tick)
        due = await self._database.read(
            lambda connection: executions.list_due(connection, now=now, settled=settled, limit=room)
        )
        for execution_id in due:
            self.start(execution_id)
