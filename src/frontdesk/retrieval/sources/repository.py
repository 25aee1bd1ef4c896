from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, tuple_, update

from frontdesk.database.prepared import Prepared
from frontdesk.kit.ids import new_id
from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.retrieval.sources.models import (
    FoundChunk,
    NewSource,
    Searchable,
    Source,
    SourceState,
    SourceType,
    chat_interface_message_chunks,
    chat_interface_message_sources,
)

_sources, _chunks = chat_interface_message_sources, chat_interface_message_chunks
_SHOWN = [column for column in _chunks.c if column.name not in {"vector", "words", "thread_id", "session_id"}]
_HAS_ANY = Prepared(select(_sources.c.id).where(_sources.c.thread_id == bindparam("of_thread")).limit(1))
_SEARCHABLE = Prepared(
    select(_chunks.c.id, _chunks.c.vector, _chunks.c.words)
    .where(_chunks.c.session_id == bindparam("of_session"), _chunks.c.embedding_model == bindparam("of_model"))
    .order_by(_chunks.c.id)
)


def _source(row: Mapping[Any, Any]) -> Source:
    known = {"source_type": SourceType(row["source_type"]), "state": SourceState(row["state"])}
    return Source(**{**row, **known})


def add(
    connection: Connection, brought: Sequence[NewSource], *, thread_id: str, message_id: str, at: datetime
) -> list[Source]:
    """A message's sources, to be read before its answer. The thread is a session's, with its id, and is locked."""
    own = _sources.c.session_id == thread_id
    taken = int(connection.scalar(select(func.coalesce(func.max(_sources.c.number), 0)).where(own)) or 0)
    made = [
        Source(
            id=new_id(),
            session_id=thread_id,
            thread_id=thread_id,
            message_id=message_id,
            number=taken + index + 1,
            source_index=index,
            source_type=one.type,
            source_name=one.name,
            attachment_id=one.attachment_id,
            blob_key=one.key,
            media_type=one.media_type,
            size=one.size,
            state=SourceState.pending,
            error_code=None,
            error_message=None,
            chunk_count=0,
            is_cut=False,
            created_at=at,
        )
        for index, one in enumerate(brought)
    ]
    if made:
        connection.execute(insert(_sources), [msgspec.structs.asdict(source) for source in made])
    return made


def has_any(connection: Connection, thread_id: str) -> bool:
    return _HAS_ANY.one_or_none(connection, {"of_thread": thread_id}) is not None


def list_of_thread(connection: Connection, thread_id: str) -> list[Source]:
    """In the order in which they were brought."""
    statement = select(_sources).where(_sources.c.thread_id == thread_id).order_by(_sources.c.number)
    return [_source(row) for row in connection.execute(statement).mappings()]


def list_of_messages(connection: Connection, thread_id: str, message_ids: Sequence[str]) -> dict[str, list[Source]]:
    """By message."""
    own = (_sources.c.thread_id == thread_id) & _sources.c.message_id.in_(message_ids)
    found: dict[str, list[Source]] = {}
    for row in connection.execute(select(_sources).where(own).order_by(_sources.c.number)).mappings():
        found.setdefault(row["message_id"], []).append(_source(row))
    return found


def lock(connection: Connection, source_id: str) -> Source | None:
    """None when it was erased meanwhile."""
    statement = select(_sources).where(_sources.c.id == source_id).with_for_update()
    row = connection.execute(statement).mappings().first()
    return None if row is None else _source(row)


def settle_ready(connection: Connection, source_id: str, *, chunks: int) -> None:
    values = {"state": SourceState.ready, "chunk_count": chunks}
    connection.execute(update(_sources).where(_sources.c.id == source_id).values(**values))


def note_cut(connection: Connection, source_id: str) -> None:
    connection.execute(update(_sources).where(_sources.c.id == source_id).values(is_cut=True))


def settle_failed(connection: Connection, source_id: str, *, code: str, message: str) -> None:
    pending = (_sources.c.id == source_id) & (_sources.c.state == SourceState.pending)
    values = {"state": SourceState.failed, "error_code": code, "error_message": message}
    connection.execute(update(_sources).where(pending).values(**values))


def count_chunks(connection: Connection, session_id: str) -> int:
    own = _chunks.c.session_id == session_id
    return int(connection.scalar(select(func.count()).select_from(_chunks).where(own)) or 0)


def drop_chunks(connection: Connection, source_ids: Sequence[str]) -> None:
    connection.execute(delete(_chunks).where(_chunks.c.source_id.in_(source_ids)))


def add_chunks(
    connection: Connection,
    source: Source,
    chunks: Sequence[DocumentChunk],
    *,
    model: str,
    vectors: Sequence[bytes],
    words: Sequence[bytes],
) -> None:
    """`vectors` and `words` as `packed_rows` and `packed_words` make them, a row for each chunk."""
    common = {
        "session_id": source.session_id,
        "thread_id": source.thread_id,
        "source_id": source.id,
        "source_type": source.source_type,
        "source_name": source.source_name,
        "source_index": source.source_index,
        "embedding_model": model,
        "created_at": source.created_at,
    }
    rows = [
        {
            **common,
            "id": new_id(),
            "chunk_index": index,
            "vector": vector,
            "content": chunk.content,
            "words": packed,
            "metadata": {
                "start": chunk.start,
                "end": chunk.end,
                "page": chunk.page,
                "number": source.number,
                "heading": chunk.heading,
            },
        }
        for index, (chunk, vector, packed) in enumerate(zip(chunks, vectors, words, strict=True))
    ]
    connection.execute(insert(_chunks), rows)


def list_searchable(connection: Connection, session_id: str, model: str) -> Searchable:
    """All chunks of a session that this model embedded."""
    rows = _SEARCHABLE.all(connection, {"of_session": session_id, "of_model": model})
    return Searchable(
        ids=[row["id"] for row in rows], vectors=[row["vector"] for row in rows], words=[row["words"] for row in rows]
    )


def list_without_words(connection: Connection, session_id: str) -> dict[str, tuple[str, str]]:
    """Content and headings of those of a session's chunks, by their ids."""
    lacking = (_chunks.c.session_id == session_id) & _chunks.c.words.is_(None)
    rows = connection.execute(select(_chunks.c.id, _chunks.c.content, _chunks.c.metadata).where(lacking)).mappings()
    return {row["id"]: (row["content"], row["metadata"].get("heading", "")) for row in rows}


def set_words(connection: Connection, words: Mapping[str, bytes]) -> None:
    statement = update(_chunks).where(_chunks.c.id == bindparam("of_chunk")).values(words=bindparam("packed"))
    if words:
        connection.execute(statement, [{"of_chunk": one, "packed": packed} for one, packed in words.items()])


def list_chunks(connection: Connection, session_id: str, similarities: Mapping[str, float]) -> list[FoundChunk]:
    """Those of the session's that are named, with the similarity that each is named with. In no order."""
    own = (_chunks.c.session_id == session_id) & _chunks.c.id.in_(similarities)
    return [_found(row, similarities[row["id"]]) for row in connection.execute(select(*_SHOWN).where(own)).mappings()]


def _found(row: Mapping[Any, Any], similarity: float) -> FoundChunk:
    told = row["metadata"]
    return FoundChunk(
        id=row["id"],
        source_id=row["source_id"],
        source_type=SourceType(row["source_type"]),
        source_name=row["source_name"],
        label=f"{told['number']}.{row['chunk_index'] + 1}",
        chunk_index=row["chunk_index"],
        content=row["content"],
        similarity=similarity,
        start=told["start"],
        end=told["end"],
        page=told["page"],
    )


def list_labelled(connection: Connection, session_id: str, labels: Sequence[str]) -> list[FoundChunk]:
    """Chunks of the session by `FoundChunk.label`, in no order, with no similarity."""
    places = [(int(number), int(chunk) - 1) for number, _, chunk in (label.partition(".") for label in labels)]
    statement = (
        select(*_SHOWN)
        .join(_sources, _sources.c.id == _chunks.c.source_id)
        .where(_chunks.c.session_id == session_id)
        .where(tuple_(_sources.c.number, _chunks.c.chunk_index).in_(places))
    )
    return [_found(row, 0.0) for row in connection.execute(statement).mappings()] if places else []
