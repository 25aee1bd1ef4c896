"""Everybody's lists in one SQLite file: the agent writes them in the gateway, the page's server reads them."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection, Row
from typing import TypeVar

T = TypeVar("T")
TITLE_LENGTH = 200
MOST_TASKS = 1_000
_PATIENCE_SECONDS = 10.0
# An answer that a crash began anew adds a title a second time: `answer` is what both have in common.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,
    title TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT 0,
    answer TEXT NOT NULL,
    UNIQUE (user_id, answer, title)
)
"""


class RefusedError(Exception):
    """What is asked for cannot be done; the text is for the model to tell its user."""


@dataclass(frozen=True)
class Task:
    id: int
    title: str
    is_done: bool


class Tasks:
    """Each call is a transaction of its own, on a thread, and reaches one user's tasks."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def add(self, user_id: str, title: str, *, answer: str) -> Task:
        """Once for each answer and title. Raises `RefusedError`."""
        named = _title(title)

        def work(connection: Connection) -> Task:
            (count,) = connection.execute("SELECT count(*) FROM tasks WHERE user_id = ?", (user_id,)).fetchone()
            if count >= MOST_TASKS:
                raise RefusedError(f"There are {MOST_TASKS} tasks already; delete some")
            connection.execute(
                "INSERT OR IGNORE INTO tasks (user_id, title, answer) VALUES (?, ?, ?)", (user_id, named, answer)
            )
            key = (user_id, answer, named)
            found = connection.execute("SELECT * FROM tasks WHERE user_id = ? AND answer = ? AND title = ?", key)
            return _task(found.fetchone())

        return await self._run(work)

    async def list_all(self, user_id: str) -> list[Task]:
        """Oldest first."""
        sql = "SELECT * FROM tasks WHERE user_id = ? ORDER BY id"
        return await self._run(lambda connection: [_task(row) for row in connection.execute(sql, (user_id,))])

    async def complete(self, user_id: str, task_id: int) -> Task:
        """Raises `RefusedError` when the user has no such task."""
        sql = "UPDATE tasks SET is_done = 1 WHERE user_id = ? AND id = ? RETURNING *"
        return await self._changed(sql, user_id, task_id)

    async def rename(self, user_id: str, task_id: int, title: str) -> Task:
        """Raises `RefusedError`."""
        sql = "UPDATE tasks SET title = ? WHERE user_id = ? AND id = ? RETURNING *"
        return await self._changed(sql, _title(title), user_id, task_id)

    async def delete(self, user_id: str, task_id: int) -> Task:
        """Raises `RefusedError`."""
        return await self._changed("DELETE FROM tasks WHERE user_id = ? AND id = ? RETURNING *", user_id, task_id)

    async def _changed(self, sql: str, *values: str | int) -> Task:
        rows = await self._run(lambda connection: connection.execute(sql, values).fetchall())
        if not rows:
            raise RefusedError(f"There is no task {values[-1]}")
        return _task(rows[0])

    async def _run(self, work: Callable[[Connection], T]) -> T:
        def on_thread() -> T:
            with self._transaction() as connection:
                return work(connection)

        return await asyncio.to_thread(on_thread)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        connection.row_factory = Row
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_SCHEMA)
            yield connection
            connection.execute("COMMIT")
        finally:  # what was not committed is undone
            connection.close()


def _title(given: str) -> str:
    title = " ".join(given.split())
    if not 0 < len(title) <= TITLE_LENGTH:
        raise RefusedError(f"A title has 1 to {TITLE_LENGTH} characters")
    return title


def _task(row: Row) -> Task:
    return Task(row["id"], row["title"], bool(row["is_done"]))
