"""Long work: accepted with its idempotency key, run in this process, told on the event feed, run again after a crash.

A job outlives the request that began it. Its effect and its end are one transaction: run twice, it has one.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from sqlite3 import Connection
from uuid import uuid4

from pydantic import BaseModel

from document_api import events
from document_api.callers import Attempt
from document_api.database import Database, now
from document_api.idempotency import once, release
from document_api.problems import BusyError, DocumentsError, InterruptedJobError, Problem
from document_api.schemas import Job, JobKind, JobReference, JobState

MAX_UNDER_WAY = 100
MAX_AT_ONCE = 4
MAX_ATTEMPTS = 3
logger = logging.getLogger(__name__)


class Progress:
    """What a job has said so far, for any number of readers, at any time."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._over = False
        self._news = asyncio.Event()

    def say(self, text: str) -> None:
        self._pieces.append(text)
        self._wake()

    def end(self) -> None:
        self._over = True
        self._wake()

    async def follow(self) -> AsyncIterator[str]:
        """From the beginning to the end of the job."""
        taken = 0
        while True:
            while taken < len(self._pieces):
                text, taken = "".join(self._pieces[taken:]), len(self._pieces)
                yield text
            if self._over:
                return
            await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


Effect = Callable[[Connection], BaseModel]
Work = Callable[[Job, Progress], Awaitable[Effect]]


@dataclass(frozen=True)
class Order:
    """What a job shall do. `prepare` runs in the accepting transaction: it settles the arguments, or raises."""

    kind: JobKind
    document_id: str
    prepare: Callable[[Connection], BaseModel]


@dataclass
class _Running:
    progress: Progress = field(default_factory=Progress)
    task: asyncio.Task[None] | None = None


class JobRunner:
    def __init__(self, database: Database, works: Mapping[JobKind, Work]) -> None:
        self._database = database
        self._works = works
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._under_way: dict[str, _Running] = {}

    async def recover(self) -> None:
        """Run what an earlier process left over."""
        for job_id in await self._database.run(_unfinished):
            self._start(job_id)

    async def accept(self, attempt: Attempt, order: Order) -> tuple[str, bool]:
        """The job's id, and whether an earlier attempt began it. Raises `BusyError` and what `order.prepare` raises."""
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise BusyError

        def unit(connection: Connection) -> tuple[JobReference, bool]:
            return once(connection, attempt, JobReference, effect=lambda: _create(connection, attempt, order))

        reference, replayed = await self._database.run(unit)
        if not replayed:
            self._start(reference.job_id)
        return reference.job_id, replayed

    async def follow(self, job_id: str) -> AsyncIterator[str]:
        """What the job says, from its beginning to its end; nothing when it has ended."""
        if running := self._under_way.get(job_id):
            async for text in running.progress.follow():
                yield text

    async def outcome(self, job_id: str) -> Job:
        """The completed job, once it is. Raises `FailedJobError`, and `InterruptedJobError` when the server stops."""
        async for _ in self.follow(job_id):
            pass
        job = await self._database.run(lambda connection: _get(connection, job_id))
        if job.problem is not None:
            raise FailedJobError(Problem.model_validate(job.problem))
        if job.result is None:
            raise InterruptedJobError
        return job

    async def close(self) -> None:
        """What is under way is left to the next process."""
        tasks = [running.task for running in self._under_way.values() if running.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, job_id: str) -> None:
        running = self._under_way[job_id] = _Running()
        running.task = asyncio.create_task(self._run(job_id, running.progress))

    async def _run(self, job_id: str, progress: Progress) -> None:
        try:
            async with self._slots:
                job = await self._database.run(lambda connection: _begin(connection, job_id))
                failure = await self._attempt(job, progress)
                if failure is not None:
                    await self._database.run(lambda connection: _fail(connection, job, failure))
        finally:
            progress.end()
            del self._under_way[job_id]

    async def _attempt(self, job: Job, progress: Progress) -> Problem | None:
        if job.attempts > MAX_ATTEMPTS:
            return DocumentsError("The job was given up: the server stopped several times while it ran").problem
        try:
            effect = await self._works[job.kind](job, progress)
            await self._database.run(lambda connection: _complete(connection, job, effect))
        except DocumentsError as error:
            return error.problem
        except Exception:  # the boundary of a job: whoever waits for it must learn of its end
            logger.exception("Job %s failed", job.id)
            return DocumentsError().problem
        return None


class FailedJobError(DocumentsError):
    """The job's own problem, as it was stored."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def _unfinished(connection: Connection) -> list[str]:
    rows = connection.execute("SELECT id FROM jobs WHERE state IN ('queued', 'running') ORDER BY rowid")
    return [row["id"] for row in rows]


def _get(connection: Connection, job_id: str) -> Job:
    row = dict(connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())
    decoded = {name: json.loads(row[name] or "null") for name in ("arguments", "result", "problem")}
    return Job.model_validate(row | decoded)


def _create(connection: Connection, attempt: Attempt, order: Order) -> JobReference:
    arguments = order.prepare(connection)
    job_id = uuid4().hex
    connection.execute(
        "INSERT INTO jobs (id, session_id, kind, document_id, arguments, idempotency_key, state, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 'queued', ?)",
        (
            job_id,
            attempt.session_id,
            order.kind,
            order.document_id,
            arguments.model_dump_json(),
            attempt.key,
            now(),
        ),
    )
    events.add_job(connection, _get(connection, job_id), "queued")
    return JobReference(job_id=job_id)


def _begin(connection: Connection, job_id: str) -> Job:
    connection.execute("UPDATE jobs SET attempts = attempts + 1 WHERE id = ?", (job_id,))
    return _move(connection, job_id, "running")


def _complete(connection: Connection, job: Job, effect: Effect) -> None:
    result = effect(connection).model_dump_json()
    connection.execute("UPDATE jobs SET result = ? WHERE id = ?", (result, job.id))
    _move(connection, job.id, "completed")


def _fail(connection: Connection, job: Job, problem: Problem) -> None:
    connection.execute("UPDATE jobs SET problem = ? WHERE id = ?", (problem.model_dump_json(), job.id))
    release(connection, job.session_id, job.idempotency_key)
    _move(connection, job.id, "failed", code=problem.code)


def _move(connection: Connection, job_id: str, state: JobState, *, code: str | None = None) -> Job:
    connection.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, job_id))
    job = _get(connection, job_id)
    events.add_job(connection, job, state, code=code)
    return job
