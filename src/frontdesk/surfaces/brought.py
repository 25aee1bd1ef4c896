"""Files and links of a message, and what answers took of them, as visitors and the owners of chats are shown them."""

from collections.abc import Sequence
from typing import Any, Self

from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.parts.models import Part
from frontdesk.ports.language_model import PartKind
from frontdesk.public_chat.sessions.transcript import Said
from frontdesk.retrieval.sources.models import Source, SourceState, SourceType
from frontdesk.surfaces.camel_case import CamelModel


class AttachmentErrorOut(CamelModel):
    code: str
    message: str


class AttachmentOut(CamelModel):
    """`status` is `pending` until it has been read. `error` says why it could not be."""

    type: SourceType
    name: str
    url: str | None = None
    download_url: str | None = None
    mime_type: str | None = None
    size: int | None = None
    status: SourceState
    error: AttachmentErrorOut | None = None

    @classmethod
    def of(cls, source: Source, link: str | None) -> Self:
        is_link = source.source_type is SourceType.url
        failed = source.error_code is not None
        error = AttachmentErrorOut(code=source.error_code or "", message=source.error_message or "")
        return cls(
            type=source.source_type,
            name=source.source_name,
            url=source.source_name if is_link else None,
            download_url=link,
            mime_type=source.media_type,
            size=source.size,
            status=source.state,
            error=error if failed else None,
        )


class SourceOut(CamelModel):
    type: str
    name: str
    url: str | None = None


class SpanOut(CamelModel):
    """Characters of the source's text, from `start` up to `end`; `page` counts from 1, where there are pages."""

    start: int
    end: int
    page: int | None = None


class CitationOut(CamelModel):
    """`position` is where in the answer's text it stands. `chunkId` and `span` say what of the source was used."""

    source: SourceOut
    label: str | None = None
    position: int | None = None
    chunk_id: str | None = None
    chunk_index: int | None = None
    span: SpanOut | None = None
    excerpt: str | None = None

    @classmethod
    def of(cls, part: Part) -> Self:
        data: dict[str, Any] = part.data
        source, chunk = data.get("source") or {}, data.get("chunk") or {}
        name = source.get("name") or source.get("filename") or source.get("title") or ""
        return cls(
            source=SourceOut(type=source.get("type", "file"), name=name, url=source.get("url")),
            label=data.get("label"),
            position=data.get("index"),
            chunk_id=chunk.get("id"),
            chunk_index=chunk.get("index"),
            span=None if data.get("span") is None else SpanOut(**data["span"]),
            excerpt=data.get("excerpt"),
        )


def attachments_out(message: Message, said: Said) -> list[AttachmentOut]:
    return [
        AttachmentOut.of(source, said.links.get(source.blob_key or "")) for source in said.sources.get(message.id, ())
    ]


def citations_out(parts: Sequence[Part]) -> list[CitationOut]:
    return [CitationOut.of(part) for part in parts if part.kind is PartKind.citation]
