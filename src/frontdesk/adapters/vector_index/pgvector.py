"""Vectors in PostgreSQL with the `vector` extension, on the pool that everything else uses.

Each collection is a table of its own, made at run time: a new model or generation is filled beside the one in use and
dropped whole. An owner's vectors are compared one by one while they are few, which is exact; above that the graph is
walked until enough of them were met (pgvector's iterative scan), and what it leaves short is made up for exactly.
"""

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError

from frontdesk.adapters.vector_index.entries import absence, identity, latest, require_shape
from frontdesk.database import Database
from frontdesk.errors import ConfigurationError, SearchIndexError
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, Neighbour, VectorEntry, Where

EXACT_ROWS = 5_000
# Of the ten nearest among 100,000 embedded texts that are much alike, 100 found 84 %, 400 95 to 98 %, 500 98 %.
EF_SEARCH = 500
MAX_SCAN_TUPLES = 40_000
PUT_ROWS = 200
MAX_DIMENSION = 2_000
OLDEST_EXTENSION = (0, 8)
# Any number that nothing else in the database locks: tables and the extension are made by one program at a time.
_MAKING = 7_306_945_218
SPARE = 30
# An undefined table, an undefined type or function, corrupted data, a corrupted index.
_BROKEN = frozenset({"42P01", "42704", "42883", "XX001", "XX002"})
_INSTALL = (
    "CHAT_VECTOR_INDEX: PostgreSQL needs the extension `vector` 0.8 or later: install pgvector on its machine and run"
    " `CREATE EXTENSION vector` (or `ALTER EXTENSION vector UPDATE`) in this database as a superuser, or set"
    " CHAT_VECTOR_INDEX=chroma"
)


class PgvectorIndex:
    def __init__(self, database: Database, *, exact_rows: int = EXACT_ROWS) -> None:
        """The database remains its owner's to close. Up to `exact_rows` are compared one by one."""
        self._database = database
        self._exact_rows = exact_rows

    async def open(self) -> None:
        """Raises `ConfigurationError` when the extension is not there and cannot be made."""
        try:
            await self._database.write(_make_extension)
        except DBAPIError as error:
            raise ConfigurationError(_INSTALL) from error

    async def check(self) -> None:
        with _told_as_broken("The extension `vector` is not there"):
            await self._database.read(lambda connection: connection.execute(text("SELECT '[1]'::vector")).one())

    async def create(self, collection: Collection) -> None:
        if collection.dimension > MAX_DIMENSION:
            raise ConfigurationError(
                f"pgvector indexes {MAX_DIMENSION} dimensions at most and {collection.model} has"
                f" {collection.dimension}: set CHAT_EMBEDDING_DIMENSIONS"
            )
        await self._database.write(lambda connection: _make_table(connection, collection))

    async def drop(self, collection: Collection) -> None:
        statement = text(f"DROP TABLE IF EXISTS {identity(collection)}")
        await self._database.write(lambda connection: connection.execute(statement))

    async def put(self, collection: Collection, entries: Sequence[VectorEntry], vectors: Vectors) -> None:
        require_shape(collection, vectors, rows=len(entries))
        rows = latest(entries, vectors)
        for start in range(0, len(rows), PUT_ROWS):
            columns = await asyncio.to_thread(_columns, rows[start : start + PUT_ROWS])
            await self._write(collection, _PUT, columns)

    async def remove(self, collection: Collection, ids: Sequence[str]) -> None:
        await self._write(collection, "DELETE FROM {table} WHERE id = ANY(CAST(:ids AS text[]))", {"ids": [*ids]})

    async def remove_groups(self, collection: Collection, groups: Sequence[str]) -> None:
        statement = "DELETE FROM {table} WHERE grp = ANY(CAST(:groups AS text[]))"
        await self._write(collection, statement, {"groups": [*groups]})

    async def nearest(self, collection: Collection, vector: Vectors, *, where: Where, count: int) -> list[Neighbour]:
        require_shape(collection, vector, rows=1)
        search = _Search(collection, vector, where=where, count=count, exact_rows=self._exact_rows)
        with _told_as_broken(absence(collection)):
            rows = await self._database.read(search.rows)
        found = [Neighbour(row.id, row.grp, _number(row.similarity)) for row in rows]
        return sorted(found, key=lambda neighbour: (-neighbour.similarity, neighbour.id))[:count]

    async def ids(self, collection: Collection, *, after: str | None, count: int) -> list[str]:
        statement = "SELECT id FROM {table} WHERE id > :after ORDER BY id LIMIT :count"
        return [row.id for row in await self._read(collection, statement, {"after": after or "", "count": count})]

    async def count(self, collection: Collection) -> int:
        rows = await self._read(collection, "SELECT count(*) AS all_of_them FROM {table}", {})
        return int(rows[0].all_of_them)

    async def aclose(self) -> None:
        pass

    async def _read(self, collection: Collection, sql: str, parameters: dict[str, Any]) -> Sequence[Row[Any]]:
        statement = text(sql.format(table=identity(collection)))
        with _told_as_broken(absence(collection)):
            return await self._database.read(lambda connection: connection.execute(statement, parameters).all())

    async def _write(self, collection: Collection, sql: str, parameters: dict[str, Any]) -> None:
        statement = text(sql.format(table=identity(collection)))
        with _told_as_broken(absence(collection)):
            await self._database.write(lambda connection: connection.execute(statement, parameters))


class _Search:
    """One question, as statements."""

    def __init__(self, collection: Collection, vector: Vectors, *, where: Where, count: int, exact_rows: int) -> None:
        self._exact_rows = exact_rows
        self._table = identity(collection)
        self._count = count
        self._parameters: dict[str, Any] = {"vector": _literal(vector[0]), "owner": where.owner}
        few = ["owner = :owner"]
        if where.groups is not None:
            few.append("grp = ANY(CAST(:groups AS text[]))")
            self._parameters["groups"] = sorted(where.groups)
        if where.since is not None:
            few.append("made_at >= :since")
            self._parameters["since"] = where.since
        if where.until is not None:
            few.append("made_at <= :until")
            self._parameters["until"] = where.until
        self._indexed = " AND ".join(few)
        self._all = self._indexed
        if where.labels:
            self._all += " AND labels @> CAST(CAST(:labels AS text) AS jsonb)"
            self._parameters["labels"] = msgspec.json.encode(where.labels).decode()

    def rows(self, connection: Connection) -> Sequence[Row[Any]]:
        if self._are_few(connection):
            return self._ordered(connection, _EXACT, self._count)
        found = self._ordered(connection, _WALK, self._count + SPARE)
        return found if len(found) >= self._count else self._ordered(connection, _EXACT, self._count)

    def _are_few(self, connection: Connection) -> bool:
        """Whether so few rows are to be compared that it is done one by one; with it goes how the graph is walked."""
        statement = text(_FEW.format(table=self._table, conditions=self._indexed))
        given = {name: value for name, value in self._parameters.items() if name not in {"vector", "labels"}}
        compared = connection.execute(statement, {**given, "most": self._exact_rows + 1}).one().compared
        return int(compared) <= self._exact_rows

    def _ordered(self, connection: Connection, order: str, count: int) -> Sequence[Row[Any]]:
        statement = text(_NEAREST.format(table=self._table, conditions=self._all, order=order))
        return connection.execute(statement, {**self._parameters, "count": count}).all()


_TABLE = (
    """
CREATE TABLE IF NOT EXISTS {table} (
  id text COLLATE "C" PRIMARY KEY, owner text COLLATE "C" NOT NULL, grp text COLLATE "C" NOT NULL,
  made_at float8 NOT NULL, labels jsonb NOT NULL, embedding vector({dimension}) NOT NULL)
""",
    """
CREATE INDEX IF NOT EXISTS {table}_e ON {table} USING hnsw (embedding vector_cosine_ops)
WITH (m = 16, ef_construction = 64)
""",
    "CREATE INDEX IF NOT EXISTS {table}_o ON {table} (owner, made_at)",
    "CREATE INDEX IF NOT EXISTS {table}_g ON {table} (grp)",
)
_PUT = """
INSERT INTO {table} (id, owner, grp, made_at, labels, embedding)
SELECT id, owner, grp, made_at, CAST(labels AS jsonb), CAST(embedding AS vector)
FROM unnest(CAST(:ids AS text[]), CAST(:owners AS text[]), CAST(:groups AS text[]), CAST(:moments AS float8[]),
            CAST(:labels AS text[]), CAST(:vectors AS text[])) AS given (id, owner, grp, made_at, labels, embedding)
ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, grp = excluded.grp, made_at = excluded.made_at,
                               labels = excluded.labels, embedding = excluded.embedding
"""
_FEW = f"""
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '{EF_SEARCH}', true),
       set_config('hnsw.max_scan_tuples', '{MAX_SCAN_TUPLES}', true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       (SELECT count(*) FROM (SELECT FROM {{table}} WHERE {{conditions}} LIMIT :most) AS first_ones) AS compared
"""  # noqa: S608  figures of ours
_NEAREST = """
SELECT id, grp, 1 - (embedding <=> CAST(CAST(:vector AS text) AS vector)) AS similarity
FROM {table} WHERE {conditions} ORDER BY {order} LIMIT :count
"""
_WALK = "embedding <=> CAST(CAST(:vector AS text) AS vector)"
# A sum is not what the graph is ordered by, so nothing but comparing every row can answer it.
_EXACT = f"({_WALK}) + 0"


def _make_extension(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        raise ConfigurationError("CHAT_VECTOR_INDEX=pgvector needs CHAT_DATABASE_URL to be PostgreSQL")
    _one_at_a_time(connection)
    connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    version = connection.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")).scalar_one()
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_EXTENSION:
        raise ConfigurationError(_INSTALL)


def _make_table(connection: Connection, collection: Collection) -> None:
    table = identity(collection)
    _one_at_a_time(connection)
    for statement in _TABLE:
        connection.execute(text(statement.format(table=table, dimension=int(collection.dimension))))


def _one_at_a_time(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_MAKING})"))


def _columns(rows: Sequence[tuple[VectorEntry, Vectors]]) -> dict[str, Any]:
    entries = [entry for entry, _ in rows]
    return {
        "ids": [entry.id for entry in entries],
        "owners": [entry.owner for entry in entries],
        "groups": [entry.group for entry in entries],
        "moments": [entry.made_at for entry in entries],
        "labels": [msgspec.json.encode(entry.labels).decode() for entry in entries],
        "vectors": [_literal(vector) for _, vector in rows],
    }


def _number(similarity: float) -> float:
    """A vector without a direction is near to nothing."""
    return 0.0 if math.isnan(similarity) else similarity


def _literal(vector: Vectors) -> str:
    return msgspec.json.encode(vector.tolist()).decode()


@contextmanager
def _told_as_broken(complaint: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _BROKEN:
            raise SearchIndexError(complaint) from error
        raise
