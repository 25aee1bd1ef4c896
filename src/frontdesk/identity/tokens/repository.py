"""Families of refresh tokens: one row for each sign-in, and the compare-and-set that rotates it."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from frontdesk.identity.tokens.models import Family, refresh_families

_c = refresh_families.c
_ROTATED = [name for name in Family.__struct_fields__ if name not in {"id", "user_id"}]
_INSERT = insert(refresh_families)
_BY_ID = select(refresh_families).where(_c.id == bindparam("id"))
_ROTATE = (
    update(refresh_families)
    .where(_c.id == bindparam("of"), _c.current_jti == bindparam("used"), _c.revoked_at.is_(None))
    .values({_c[name]: bindparam(name) for name in _ROTATED})
)
_STILL_OPEN = (_c.id == bindparam("of"), _c.current_jti == bindparam("successor"), _c.closed_at.is_(None))
_EXTEND = update(refresh_families).where(*_STILL_OPEN).values(open_until=bindparam("until"))
_CLOSE = (
    update(refresh_families).where(*_STILL_OPEN, _c.open_until <= bindparam("now")).values(closed_at=bindparam("now"))
)
_REVOKE = update(refresh_families).where(_c.id == bindparam("of")).values(revoked_at=bindparam("now"))


def insert_family(connection: Connection, family: Family) -> None:
    connection.execute(_INSERT, msgspec.structs.asdict(family))


def find_family(connection: Connection, family_id: str) -> Family | None:
    row = connection.execute(_BY_ID, {"id": family_id}).one_or_none()
    return None if row is None else Family(**row._asdict())


def rotate_family(connection: Connection, successor: Family) -> bool:
    """False when the token was not the current one, or the family is revoked."""
    values = {name: getattr(successor, name) for name in _ROTATED}
    parameters = {**values, "of": successor.id, "used": successor.previous_jti}
    return connection.execute(_ROTATE, parameters).rowcount == 1


def extend_rotation(connection: Connection, family: Family, until: datetime) -> bool:
    """False when the rotation is closed."""
    parameters = {"of": family.id, "successor": family.current_jti, "until": until}
    return connection.execute(_EXTEND, parameters).rowcount == 1


def close_rotation(connection: Connection, family: Family, now: datetime) -> None:
    """Nothing happens before its time, nor to a rotation that is closed."""
    connection.execute(_CLOSE, {"of": family.id, "successor": family.current_jti, "now": now})


def revoke_family(connection: Connection, family_id: str, now: datetime) -> None:
    connection.execute(_REVOKE, {"of": family_id, "now": now})


def purge_expired(connection: Connection, now: datetime) -> int:
    return connection.execute(delete(refresh_families).where(_c.expires_at <= now)).rowcount
