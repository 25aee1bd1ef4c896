"""Effects that happen once: a request's key is stored in the transaction of its effect, with what it answered.

The Idempotency-Key header field is draft-ietf-httpapi-idempotency-key-header. A key belongs to one principal and
lives 24 h.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, Connection, String, Table, Text, bindparam, delete, select, text, update

from frontdesk.database.types import UtcDateTime, metadata
from frontdesk.errors import ConflictError, IdempotencyKeyReusedError

T = TypeVar("T")
LIFETIME = timedelta(hours=24)
MAX_KEY_LENGTH = 255

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal_id", String(64), primary_key=True),
    Column("key", String(MAX_KEY_LENGTH), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("result", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

_FIND = select(idempotency_keys.c.fingerprint, idempotency_keys.c.result).where(
    idempotency_keys.c.principal_id == bindparam("principal_id"),
    idempotency_keys.c.key == bindparam("key"),
    idempotency_keys.c.created_at > bindparam("oldest"),
)

# One statement that both databases know: an expired key is taken over, a live one is not.
_RESERVE = text(
    "INSERT INTO idempotency_keys (principal_id, key, fingerprint, result, created_at)"
    " VALUES (:principal_id, :key, :fingerprint, '', :now)"
    " ON CONFLICT (principal_id, key) DO UPDATE"
    " SET fingerprint = excluded.fingerprint, created_at = excluded.created_at"
    " WHERE idempotency_keys.created_at <= :oldest"
).bindparams(bindparam("now", type_=UtcDateTime), bindparam("oldest", type_=UtcDateTime))
_STORE = (
    update(idempotency_keys)
    .where(idempotency_keys.c.principal_id == bindparam("of"), idempotency_keys.c.key == bindparam("named"))
    .values(result=bindparam("result"))
)


class IdempotencyKey(msgspec.Struct, frozen=True):
    """`fingerprint` is a digest of everything in the request that its effect depends on."""

    principal_id: str
    key: str
    fingerprint: str
    now: datetime


class Once(msgspec.Struct, Generic[T], frozen=True):
    result: T
    replayed: bool


def find_result(connection: Connection, key: IdempotencyKey, result_type: type[T]) -> Once[T] | None:
    """What the key's first request answered. Raises `IdempotencyKeyReusedError` when that was another request."""
    parameters: dict[str, Any] = {"principal_id": key.principal_id, "key": key.key, "oldest": key.now - LIFETIME}
    row = connection.execute(_FIND, parameters).one_or_none()
    if row is None:
        return None
    if row.fingerprint != key.fingerprint:
        raise IdempotencyKeyReusedError
    return Once(msgspec.json.decode(row.result, type=result_type), replayed=True)


def once(
    connection: Connection, key: IdempotencyKey | None, result_type: type[T], *, effect: Callable[[], T]
) -> Once[T]:
    """Run `effect` unless the key already has a result; both are stored together or not at all."""
    if key is None:
        return Once(effect(), replayed=False)
    if not _reserve(connection, key):
        known = find_result(connection, key, result_type)
        if known is None:
            raise ConflictError("The idempotency key is in use")
        return known
    result = effect()
    connection.execute(
        _STORE, {"of": key.principal_id, "named": key.key, "result": msgspec.json.encode(result).decode()}
    )
    return Once(result, replayed=False)


def _reserve(connection: Connection, key: IdempotencyKey) -> bool:
    """Take the key, or wait for the transaction that has it and say no."""
    parameters = {
        "principal_id": key.principal_id,
        "key": key.key,
        "fingerprint": key.fingerprint,
        "now": key.now,
        "oldest": key.now - LIFETIME,
    }
    return connection.execute(_RESERVE, parameters).rowcount == 1


def purge_expired(connection: Connection, now: datetime) -> int:
    return connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at <= now - LIFETIME)).rowcount


def forget_results(connection: Connection, principal_id: str, *, naming: str) -> None:
    """Throw away the principal's keys whose results name an id: what they answered is to be erased with it."""
    connection.execute(
        delete(idempotency_keys).where(
            idempotency_keys.c.principal_id == principal_id, idempotency_keys.c.result.contains(naming, autoescape=True)
        )
    )
