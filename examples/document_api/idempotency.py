"""Effects that happen once: the key is stored in the transaction of its effect, with what was answered.

The Idempotency-Key header field is draft-ietf-httpapi-idempotency-key-header. A key belongs to a session and lives 24
hours. It remembers effects and no failures: what failed has no effect, and may be tried again.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection
from typing import TypeVar

from pydantic import BaseModel

from document_api.callers import Attempt
from document_api.database import now
from document_api.problems import IdempotencyKeyReusedError

LIFETIME = timedelta(hours=24)
T = TypeVar("T", bound=BaseModel)


def once(connection: Connection, attempt: Attempt, kind: type[T], *, effect: Callable[[], T]) -> tuple[T, bool]:
    """What the effect answers, and whether it is an earlier attempt's answer. Raises `IdempotencyKeyReusedError`."""
    if attempt.key is None:
        return effect(), False
    _forget_old(connection)
    known = connection.execute(
        "SELECT fingerprint, answer FROM idempotency_keys WHERE session_id = ? AND key = ?",
        (attempt.session_id, attempt.key),
    ).fetchone()
    if known is None:
        answer = effect()
        connection.execute(
            "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?)",
            (attempt.session_id, attempt.key, attempt.fingerprint, answer.model_dump_json(), now()),
        )
        return answer, False
    if known["fingerprint"] != attempt.fingerprint:
        raise IdempotencyKeyReusedError
    return kind.model_validate_json(known["answer"]), True


def release(connection: Connection, session_id: str, key: str | None) -> None:
    """The effect will not come; the key is free again."""
    connection.execute("DELETE FROM idempotency_keys WHERE session_id = ? AND key = ?", (session_id, key))


def _forget_old(connection: Connection) -> None:
    oldest = (datetime.now(UTC) - LIFETIME).isoformat(timespec="milliseconds")
    connection.execute("DELETE FROM idempotency_keys WHERE created_at < ?", (oldest,))
