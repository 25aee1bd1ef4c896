"""What happened in a session, numbered in the order of its transactions: whoever asks after a cursor misses nothing."""

import json
import re
from sqlite3 import Connection
from typing import Any

from pydantic import TypeAdapter

from document_api.database import now
from document_api.problems import BadCursorError
from document_api.schemas import Document, Event, Events, Job, JobState, Stage

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_CURSOR = re.compile(r"[0-9a-f]{12}")


def add_pipeline(
    connection: Connection,
    session_id: str,
    stage: Stage,
    *,
    document: Document | None = None,
    path: str | None = None,
) -> None:
    about: dict[str, Any] = {"document_id": None, "version": None, "title": None}
    if document is not None:
        about = {"document_id": document.id, "version": document.version, "title": document.title}
    _add(connection, session_id, {"type": "pipeline", "stage": stage, "path": path, **about})


def add_job(connection: Connection, job: Job, state: JobState, *, code: str | None = None) -> None:
    event = {"type": "job", "job_id": job.id, "kind": job.kind, "document_id": job.document_id}
    _add(connection, job.session_id, {**event, "state": state, "code": code})


def list_after(connection: Connection, session_id: str, since: str | None, *, limit: int) -> Events:
    """Raises `BadCursorError`."""
    after = _number(since)
    rows = connection.execute(
        "SELECT number, event FROM events WHERE session_id = ? AND number > ? ORDER BY number LIMIT ?",
        (session_id, after, limit),
    ).fetchall()
    events = [_EVENT.validate_python(json.loads(row["event"]) | {"cursor": _cursor(row["number"])}) for row in rows]
    return Events(events=events, next=events[-1].cursor if events else _cursor(after))


def _add(connection: Connection, session_id: str, event: dict[str, Any]) -> None:
    connection.execute(
        "INSERT INTO events SELECT ?, coalesce(max(number), 0) + 1, ? FROM events WHERE session_id = ?",
        (session_id, json.dumps(event | {"created_at": now()}), session_id),
    )


def _cursor(number: int) -> str:
    return f"{number:012x}"


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if _CURSOR.fullmatch(cursor) is None:
        raise BadCursorError
    return int(cursor, 16)
