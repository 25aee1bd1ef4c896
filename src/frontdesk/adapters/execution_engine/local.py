"""The execution engine that needs nothing else: executions are tasks of this process, kept alive by leases.

A tick takes over what nobody runs: executions whose runner died, and queued ones for which there was no room.
"""

import asyncio
from datetime import timedelta

from frontdesk.adapters.execution_engine.runner import ExecutionRunner
from frontdesk.adapters.execution_engine.ticker import Ticker
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.step import Step
from frontdesk.conversation.housekeeping import Housekeeping
from frontdesk.database import Database
from frontdesk.kit.clock import Clock


class LocalExecutionEngine:
    """`tick` is in seconds. It opens and closes the runner."""

    def __init__(
        self, *, database: Database, runner: ExecutionRunner, housekeeping: Housekeeping, clock: Clock, tick: float
    ) -> None:
        self._database = database
        self._runner = runner
        self._housekeeping = housekeeping
        self._clock = clock
        self._tick = tick
        self._ticker = Ticker("take over", self._take_over, interval=tick, clock=clock)

    @property
    def running(self) -> int:
        return self._runner.running

    async def open(self) -> None:
        await self._runner.open()
        self._ticker.open()

    async def aclose(self) -> None:
        await self._ticker.aclose()
        await self._runner.aclose()

    def start(self, execution_id: str) -> None:
        if not self._runner.runs(execution_id) and (task := self._runner.start(execution_id)) is not None:
            task.add_done_callback(self._go_on)

    def resume(self, execution_id: str) -> None:
        """The attempt that went to wait may not have left yet."""
        leaving = self._runner.start(execution_id) if self._runner.runs(execution_id) else None
        if leaving is None:
            self.start(execution_id)
        else:
            leaving.add_done_callback(lambda _: self.start(execution_id))

    async def cancel(self, execution_id: str) -> bool:
        return await self._runner.stop(execution_id)

    async def check(self) -> None:
        self._runner.check()
        self._ticker.check(self._runner.lease)

    def _go_on(self, task: asyncio.Task[Step]) -> None:
        """With the thread's next execution."""
        if not task.cancelled() and task.exception() is None and (next_id := task.result().next_execution_id):
            self.start(next_id)

    async def _take_over(self) -> None:
        if (room := self._runner.room) > 0:
            now = self._clock.now()
            settled = now - timedelta(seconds=self._tick)
            due = await self._database.read(
                lambda connection: executions.list_due(connection, now=now, settled=settled, limit=room)
            )
            for execution in due:
                self.start(execution.id)
        await self._housekeeping.run_if_due()
