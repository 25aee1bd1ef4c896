"""Whether the tokens of a user still count: the version that moves when they must die, and how old an answer may be."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import JSON, Connection, Integer, Row, Select, String, bindparam, cast, func, not_, select, update
from sqlalchemy.sql.selectable import TableValuedAlias

from frontdesk.database import Database
from frontdesk.errors import BadTokenError
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.tokens.models import refresh_families
from frontdesk.identity.users.models import Role, users
from frontdesk.kit.clock import Clock

MAX_AGE = 0.8  # seconds; a revocation holds everywhere within one, and the read itself takes time
MAX_ENTRIES = 20_000

_STANDINGS = select(
    users.c.id,
    users.c.token_version,
    users.c.is_active,
    users.c.role,
    users.c.allowed_products,
    users.c.allowed_agents,
    users.c.tier,
)
_STANDING = _STANDINGS.where(users.c.id == bindparam("id"))
_MOVE = (
    update(users)
    .where(users.c.id == bindparam("of"))
    .values(token_version=users.c.token_version + 1, updated_at=bindparam("now"))
)
_REVOKE_FAMILIES = (
    update(refresh_families)
    .where(refresh_families.c.user_id == bindparam("of"), refresh_families.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)


class Standing(msgspec.Struct, frozen=True):
    version: int
    is_active: bool
    principal: Principal

    def counts(self, version: int) -> bool:
        """Whether credentials of this version do."""
        return self.is_active and self.version == version


def _moved(held: TableValuedAlias) -> Select[Any]:
    user_id, version = held.c.value.op("->>")(0), cast(held.c.value.op("->>")(1), Integer)
    is_as_it_was = users.c.is_active & (users.c.token_version == version) & (users.c.updated_at < bindparam("since"))
    return (
        select(cast(user_id, String).label("held_id"), *_STANDINGS.selected_columns)
        .select_from(held.outerjoin(users, users.c.id == user_id))
        .where(users.c.id.is_(None) | not_(is_as_it_was))
    )


_MOVED = {
    "sqlite": _moved(func.json_each(bindparam("held", type_=String)).table_valued("value", name="held")),
    "postgresql": _moved(
        func.json_array_elements(cast(bindparam("held", type_=String), JSON)).table_valued("value", name="held")
    ),
}


class _Entry(msgspec.Struct, frozen=True):
    standing: Standing | None
    read_at: float


class _Read(msgspec.Struct, frozen=True, eq=False):
    began_at: float
    task: asyncio.Task[Standing | None]


def read_standing(connection: Connection, user_id: str) -> Standing | None:
    row = connection.execute(_STANDING, {"id": user_id}).one_or_none()
    return None if row is None else _standing(row)


def read_moved(
    connection: Connection, held: Sequence[tuple[str, int]], *, since: datetime
) -> dict[str, Standing | None]:
    """Of these users with the versions of their credentials: those whose credentials count no more, None for who is
    gone, and those who were changed `since`. One statement, whose answer is empty as long as nothing happens.
    """
    values = {"held": msgspec.json.encode(held).decode(), "since": since}
    rows = connection.execute(_MOVED[connection.dialect.name], values)
    return {row.held_id: None if row.id is None else _standing(row) for row in rows}


def _standing(row: Row[*tuple[Any, ...]]) -> Standing:
    principal = Principal(
        kind=PrincipalKind.user,
        id=row.id,
        is_admin=row.role == Role.admin,
        products=_allow_list(row.allowed_products),
        agents=_allow_list(row.allowed_agents),
        tier=row.tier,
    )
    return Standing(row.token_version, row.is_active, principal)


def revoke_tokens(connection: Connection, user_id: str, now: datetime) -> None:
    """Every token of the user is dead from the commit on; other processes see it within `MAX_AGE`."""
    connection.execute(_MOVE, {"of": user_id, "now": now})
    connection.execute(_REVOKE_FAMILIES, {"of": user_id, "now": now})


class Standings:
    """Answers from memory while a user's last reading is younger than `MAX_AGE`; the least recently asked for go first.

    An answer is never older than `MAX_AGE` before its question came, and never from before a `forget` that preceded it.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._reads: dict[str, _Read] = {}
        self._tasks: set[asyncio.Task[Standing | None]] = set()

    async def find(self, user_id: str) -> Standing | None:
        """Raises `UnavailableError`."""
        oldest = self._clock.monotonic() - MAX_AGE
        entry = self._entries.get(user_id)
        if entry is not None and entry.read_at > oldest:
            self._entries.move_to_end(user_id)
            return entry.standing
        read = self._reads.get(user_id)
        if read is None or read.began_at <= oldest:
            read = self._begin_read(user_id)
        return await asyncio.shield(read.task)

    async def current(self, user_id: str, version: int) -> Standing:
        """That of a user whose credentials of this version still count. Raises `BadTokenError`, `UnavailableError`."""
        standing = await self.find(user_id)
        if standing is None or not standing.counts(version):
            raise BadTokenError
        return standing

    def forget(self, user_id: str) -> None:
        """The user has changed here: the next question goes to the database."""
        self._entries.pop(user_id, None)
        self._reads.pop(user_id, None)

    def _begin_read(self, user_id: str) -> _Read:
        task = asyncio.create_task(self._database.read(partial(read_standing, user_id=user_id)))
        read = _Read(self._clock.monotonic(), task)
        self._reads[user_id] = read
        self._tasks.add(task)
        task.add_done_callback(partial(self._end_read, user_id, read))
        return read

    def _end_read(self, user_id: str, read: _Read, task: asyncio.Task[Standing | None]) -> None:
        self._tasks.discard(task)
        if self._reads.get(user_id) is not read:
            return  # forgotten or overtaken while it was under way
        del self._reads[user_id]
        if task.cancelled() or task.exception() is not None:
            return
        self._entries[user_id] = _Entry(task.result(), read.began_at)
        self._entries.move_to_end(user_id)
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)


def _allow_list(items: list[str] | None) -> frozenset[str] | None:
    return None if items is None else frozenset(items)
