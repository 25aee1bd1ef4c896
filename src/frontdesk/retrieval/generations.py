"""The generations of the index of vectors: which one answers, which one is being filled, and by whom.

One row is `live`, and at most one is `building`. A row that is not complete is somebody's work, with a lease.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from frontdesk.retrieval.models import Generation, GenerationState, messages, search_indexes


def list_in_use(connection: Connection) -> list[Generation]:
    """The live one first, then the one that is built."""
    rows = _read(connection, search_indexes.c.state != GenerationState.retired)
    return sorted(rows, key=lambda row: row.state is not GenerationState.live)


def list_retired(connection: Connection, *, before: datetime) -> list[Generation]:
    return _read(connection, search_indexes.c.state == GenerationState.retired, search_indexes.c.updated_at < before)


def find_live(connection: Connection) -> Generation | None:
    return next(iter(_read(connection, search_indexes.c.state == GenerationState.live)), None)


def find_unfinished(connection: Connection) -> Generation | None:
    """What is to be filled: a new generation, or the first of all, which answers from the start."""
    unfinished = _read(connection, search_indexes.c.is_complete.is_(False))
    return next((row for row in unfinished if row.state is not GenerationState.retired), None)


def find(connection: Connection, generation: int) -> Generation | None:
    return next(iter(_read(connection, _is(generation))), None)


def request(connection: Connection, *, now: datetime, state: GenerationState = GenerationState.building) -> Generation:
    """A new generation, to be taken up by whoever holds the index; or the one that is unfinished already."""
    if (unfinished := find_unfinished(connection)) is not None:
        return unfinished
    newest = connection.scalar(select(func.max(search_indexes.c.generation))) or 0
    total = connection.scalar(select(func.count()).select_from(messages).where(messages.c.text != "")) or 0
    row = Generation(
        generation=newest + 1,
        state=state,
        is_complete=False,
        model=None,
        dimension=None,
        cursor=None,
        done=0,
        total=total,
        problem=None,
        owner=None,
        lease_until=None,
        created_at=now,
        updated_at=now,
    )
    connection.execute(insert(search_indexes), msgspec.structs.asdict(row))
    return row


def ensure_first(connection: Connection, *, now: datetime) -> Generation | None:
    """Makes the first of all live at once, to be filled with what there is, and returns it if it was not there."""
    if connection.execute(select(search_indexes.c.generation).limit(1)).first() is not None:
        return None
    return request(connection, now=now, state=GenerationState.live)


def take_up(
    connection: Connection, generation: int, owner: str, *, now: datetime, lease: float, made: dict[str, Any]
) -> Generation | None:
    """Fill it for the next `lease` seconds; None when another does. `made` names the model and dimension of what is put
    in; where others were recorded, it begins anew.
    """
    free = or_(
        search_indexes.c.lease_until.is_(None), search_indexes.c.lease_until < now, search_indexes.c.owner == owner
    )
    here = _is(generation) & search_indexes.c.is_complete.is_(False)
    row = next(iter(_read(connection, here, free, lock=True)), None)
    if row is None:
        return None
    values: dict[str, Any] = {"owner": owner, "lease_until": now + timedelta(seconds=lease), "problem": None, **made}
    if (row.model, row.dimension) != (made["model"], made["dimension"]):
        values.update(cursor=None, done=0)
    _change(connection, generation, values, now=now)
    return msgspec.structs.replace(row, **values)


def advance(connection: Connection, taken: Generation, *, cursor: str, done: int, now: datetime, lease: float) -> bool:
    """False when another has taken it over."""
    if not _is_still(connection, taken):
        return False
    values = {"cursor": cursor, "done": taken.done + done, "lease_until": now + timedelta(seconds=lease)}
    _change(connection, taken.generation, values, now=now)
    return True


def complete(connection: Connection, taken: Generation, *, now: datetime) -> bool:
    """From now on it answers, and the one before it is retired. False when another has taken it over."""
    if not _is_still(connection, taken):
        return False
    if taken.state is GenerationState.building:
        before = (search_indexes.c.state == GenerationState.live) & ~_is(taken.generation)
        retired = {"state": GenerationState.retired.value, "updated_at": now}
        connection.execute(update(search_indexes).where(before).values(retired))
    values = {"state": GenerationState.live.value, "is_complete": True, "owner": None, "lease_until": None}
    _change(connection, taken.generation, {**values, "total": taken.done}, now=now)
    return True


def note_problem(connection: Connection, generation: int, problem: str | None, *, now: datetime) -> None:
    """For whoever waits for it."""
    _change(connection, generation, {"problem": problem}, now=now)


def begin_anew(connection: Connection, generation: int, *, now: datetime) -> None:
    """What was put in so far is lost."""
    _change(connection, generation, {"cursor": None, "done": 0}, now=now)


def forget(connection: Connection, generation: int) -> None:
    connection.execute(delete(search_indexes).where(_is(generation)))


def _is_still(connection: Connection, taken: Generation) -> bool:
    mine = _is(taken.generation) & (search_indexes.c.owner == taken.owner)
    return bool(_read(connection, mine, lock=True))


def _change(connection: Connection, generation: int, values: dict[str, Any], *, now: datetime) -> None:
    statement = update(search_indexes).where(_is(generation))
    connection.execute(statement.values(**values, updated_at=now))


def _read(connection: Connection, *conditions: Any, lock: bool = False) -> list[Generation]:
    statement = select(search_indexes).where(*conditions).order_by(search_indexes.c.generation)
    rows = connection.execute(statement.with_for_update() if lock else statement).mappings()
    return [Generation(**{**row, "state": GenerationState(row["state"])}) for row in rows]


def _is(generation: int) -> ColumnElement[bool]:
    return search_indexes.c.generation == generation
