"""The databases that proofs run on: a file of SQLite's, or a database in a PostgreSQL server of its own."""

import asyncio
import sqlite3
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from frontdesk.database.engine import parse_url

UNFINISHED = "SELECT id, state FROM executions WHERE state IN ('queued', 'running', 'waiting')"


@dataclass(frozen=True)
class Footing:
    """One database; `rows` looks into it past the program."""

    url: str

    @property
    def is_postgres(self) -> bool:
        return self.url.startswith("postgres")

    async def rows(self, query: str) -> list[Any]:
        url = parse_url(self.url)
        if not self.is_postgres:
            return await asyncio.to_thread(_sqlite_rows, str(url.database), query)
        engine = create_async_engine(url, poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                return [tuple(row) for row in (await connection.execute(text(query))).all()]
        finally:
            await engine.dispose()


def _sqlite_rows(path: str, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
