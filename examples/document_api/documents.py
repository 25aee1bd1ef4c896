"""Documents and their versions. Every query names the session: there is no way to read another's document."""

from sqlite3 import Connection, Row
from typing import Literal
from uuid import uuid4

from document_api import events
from document_api.database import now
from document_api.problems import NotFoundError
from document_api.schemas import Document, DocumentKind, Documents, Stage, Version, Versions

_SELECT = """
SELECT d.id, d.kind, d.title, d.source, v.version, length(v.text) AS characters, d.created_at,
       v.created_at AS updated_at
FROM documents d JOIN versions v ON v.document_id = d.id
     AND v.version = (SELECT max(version) FROM versions WHERE document_id = d.id)
"""


def create(
    connection: Connection,
    session_id: str,
    kind: DocumentKind,
    *,
    title: str,
    text: str,
    source: str | None = None,
) -> Document:
    document_id = uuid4().hex
    connection.execute(
        "INSERT INTO documents (id, session_id, kind, title, source, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (document_id, session_id, kind, title, source, now()),
    )
    origin: Literal["ingested", "generated"] = "generated" if kind == "blog" else "ingested"
    return _store(connection, session_id, document_id, text=text, origin=origin)


def improve(connection: Connection, session_id: str, document_id: str, *, text: str) -> Document:
    return _store(connection, session_id, document_id, text=text, origin="optimized")


def get(connection: Connection, session_id: str, document_id: str) -> Document:
    """Raises `NotFoundError`, also for a document of another session."""
    row = connection.execute(f"{_SELECT} WHERE d.id = ? AND d.session_id = ?", (document_id, session_id)).fetchone()
    if row is None:
        raise NotFoundError("No such document in this session")
    return _document(row)


def get_text(connection: Connection, session_id: str, document_id: str, *, version: int | None = None) -> str:
    """Of the latest version unless another is asked for. Raises `NotFoundError`."""
    document = get(connection, session_id, document_id)
    row = connection.execute(
        "SELECT text FROM versions WHERE document_id = ? AND version = ?",
        (document_id, document.version if version is None else version),
    ).fetchone()
    if row is None:
        raise NotFoundError("The document has no such version")
    return str(row["text"])


def list_page(connection: Connection, session_id: str, *, before: str | None, limit: int) -> Documents:
    """Raises `NotFoundError` when `before` is no document of the session."""
    bound = ""
    if before is not None:
        get(connection, session_id, before)
        bound = "AND d.number < (SELECT number FROM documents WHERE id = :before)"
    rows = connection.execute(
        f"{_SELECT} WHERE d.session_id = :session_id {bound} ORDER BY d.number DESC LIMIT :limit",
        {"session_id": session_id, "before": before, "limit": limit + 1},
    ).fetchall()
    items = [_document(row) for row in rows[:limit]]
    return Documents(items=items, next=items[-1].id if len(rows) > limit else None)


def list_versions(
    connection: Connection, session_id: str, document_id: str, *, before: int | None, limit: int
) -> Versions:
    """Raises `NotFoundError`."""
    document = get(connection, session_id, document_id)
    rows = connection.execute(
        "SELECT version, origin, length(text) AS characters, created_at FROM versions"
        " WHERE document_id = ? AND version < ? ORDER BY version DESC LIMIT ?",
        (document_id, document.version + 1 if before is None else before, limit + 1),
    ).fetchall()
    items = [Version.model_validate(dict(row)) for row in rows[:limit]]
    return Versions(document_id=document_id, items=items, next=items[-1].version if len(rows) > limit else None)


def _store(
    connection: Connection,
    session_id: str,
    document_id: str,
    *,
    text: str,
    origin: Literal["ingested", "optimized", "generated"],
) -> Document:
    connection.execute(
        "INSERT INTO versions SELECT ?, coalesce(max(version), 0) + 1, ?, ?, ? FROM versions WHERE document_id = ?",
        (document_id, origin, text, now(), document_id),
    )
    document = get(connection, session_id, document_id)
    stage: Stage = origin
    events.add_pipeline(connection, session_id, stage, document=document)
    return document


def _document(row: Row) -> Document:
    return Document.model_validate(dict(row))
