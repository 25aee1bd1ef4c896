"""Queries on the users table: plain functions of a connection, for units of work."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from frontdesk.errors import NotFoundError
from frontdesk.identity.users.models import Credentials, User, users
from frontdesk.identity.users.rules import username_key

_USER = [users.c[name] for name in User.__struct_fields__]
_INSERT = {
    "sqlite": sqlite.insert(users).on_conflict_do_nothing().returning(users.c.id),
    "postgresql": postgresql.insert(users).on_conflict_do_nothing().returning(users.c.id),
}
_ANY = select(exists(select(users.c.id)))
_BY_ID = select(*_USER).where(users.c.id == bindparam("id"))
_BY_NAME = select(*_USER).where(users.c.username_key == bindparam("key"))
_CREDENTIALS = _BY_NAME.add_columns(users.c.password_hash)
_PAGE = (
    select(*_USER)
    .where(users.c.id > bindparam("after"))
    .order_by(users.c.id)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
_COUNT = select(func.count()).select_from(users)


def is_empty(connection: Connection) -> bool:
    return not connection.execute(_ANY).scalar_one()


def insert(connection: Connection, user: User, password_hash: str, *, founder: bool) -> bool:
    """False when the name is taken, or when another account has founded the table meanwhile."""
    values = {
        **msgspec.structs.asdict(user),
        "username_key": username_key(user.username),
        "password_hash": password_hash,
        "founder": 1 if founder else None,
    }
    return connection.execute(_INSERT[connection.dialect.name], values).first() is not None


def get(connection: Connection, user_id: str) -> User:
    """Raises `NotFoundError`."""
    row = connection.execute(_BY_ID, {"id": user_id}).one_or_none()
    if row is None:
        raise NotFoundError("There is no such user")
    return _user(row)


def find_by_name(connection: Connection, username: str) -> User | None:
    row = connection.execute(_BY_NAME, {"key": username_key(username)}).one_or_none()
    return None if row is None else _user(row)


def find_credentials(connection: Connection, key: str) -> Credentials | None:
    row = connection.execute(_CREDENTIALS, {"key": key}).one_or_none()
    return None if row is None else Credentials(_user(row), row.password_hash)


def list_page(connection: Connection, *, after: str, limit: int, offset: int = 0) -> list[User]:
    found = connection.execute(_PAGE, {"after": after, "limit": limit, "offset": offset})
    return [_user(row) for row in found]


def count(connection: Connection) -> int:
    return int(connection.scalar(_COUNT) or 0)


def change(connection: Connection, user_id: str, values: dict[str, Any], *, now: datetime) -> None:
    """Raises `NotFoundError`."""
    statement = update(users).where(users.c.id == user_id).values(**values, updated_at=now)
    if connection.execute(statement).rowcount == 0:
        raise NotFoundError("There is no such user")


def _user(row: Row[Any]) -> User:
    return msgspec.convert({name: getattr(row, name) for name in User.__struct_fields__}, User)
