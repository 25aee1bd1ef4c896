"""A rebuilding from the side of who waits for it: shown while another process does it, done here when none does."""

import asyncio
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from frontdesk.bootstrap.search import running_indexer
from frontdesk.cli.failures import CommandError
from frontdesk.database import Database
from frontdesk.kit.clock import SystemClock
from frontdesk.retrieval import generations
from frontdesk.retrieval.indexing import Indexer
from frontdesk.retrieval.models import Generation
from frontdesk.settings import Settings

_POLL_SECONDS = 0.25
_TICKS = 3
_STUCK_SECONDS = 20.0


async def follow_rebuilding(settings: Settings, console: Console) -> Generation:
    """To its end. Raises CommandError when nobody can go on with it, and `UnavailableError`."""
    async with running_indexer(settings) as (database, indexer):
        now = SystemClock().now()
        begun = await database.write(lambda connection: generations.request(connection, now=now))
        if begun.cursor is not None:
            console.print(f"Going on behind {begun.done:,} messages.")
        with _progress(console) as progress:
            follower = _Follower(database, indexer, patience=_TICKS * settings.search_tick_seconds)
            return await follower.follow(begun, progress)


class _Follower:
    """Leaves the work to others for `patience` seconds after they last had it in hand."""

    def __init__(self, database: Database, indexer: Indexer, *, patience: float) -> None:
        self._database = database
        self._indexer = indexer
        self._patience = patience
        self._clock = SystemClock()

    async def follow(self, begun: Generation, progress: Progress) -> Generation:
        task = progress.add_task("Indexing", total=max(begun.total, 1), completed=begun.done)
        row, moved_at, seen = begun, monotonic(), (begun.done, begun.problem)
        while not row.is_complete:
            if self._is_ours(row, waited=monotonic() - moved_at):
                if not await self._indexer.rebuild():
                    await asyncio.sleep(_POLL_SECONDS)
            else:
                await asyncio.sleep(_POLL_SECONDS)
            row = await self._read(row)
            progress.update(task, completed=row.done, total=max(row.total, row.done, 1), description=_doing(row))
            if row.done != seen[0]:
                moved_at, seen = monotonic(), (row.done, row.problem)
            elif row.problem is not None and monotonic() - moved_at > self._patience + _STUCK_SECONDS:
                raise CommandError(f"The index cannot be filled: {row.problem}")
        progress.update(task, completed=row.done, total=max(row.done, 1))
        return row

    def _is_ours(self, row: Generation, *, waited: float) -> bool:
        """Somebody else's lease is waited out; what nobody has taken up after a while, nobody will."""
        if row.owner == self._indexer.owner:
            return True
        if row.lease_until is not None and row.lease_until > self._clock.now():
            return False
        return waited > self._patience

    async def _read(self, row: Generation) -> Generation:
        found = await self._database.read(lambda connection: generations.find(connection, row.generation))
        if found is None:
            raise CommandError("Another rebuilding has taken the place of this one")
        return found


def _doing(row: Generation) -> str:
    return "Indexing" if row.problem is None else f"Waiting ({row.problem})"


class _Throughput(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} messages/s", style="progress.data.speed")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Throughput(),
        TimeRemainingColumn(),
        console=console,
        disable=console.quiet,
    )
