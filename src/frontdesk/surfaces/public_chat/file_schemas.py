"""What visitors bring, and what answers took of it, on the wire."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from frontdesk.conversation.parts.models import Part
from frontdesk.public_chat.sessions.bringing import Brought
from frontdesk.public_chat.sessions.uploading import Uploaded
from frontdesk.retrieval.sources.models import FoundChunk, Source, SourceState, SourceType

Reference = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Question = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"\S")]
MOST_ATTACHMENTS = 20
_FILE_EXAMPLE: JsonDict = {"type": "file", "uri": "s3://files/chat-attachments/0193/0194/1730000000000_guide.pdf"}
_LINK_EXAMPLE: JsonDict = {"type": "url", "url": "https://www.example.com/opening-hours"}


class Wire(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, from_attributes=True
    )


class UploadedOut(Wire):
    """Send `uri` (or `gcsUri`, the same) with a message. `downloadUrl` is for a day. `size` is in bytes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "01930000-0000-7000-8000-000000000001",
                    "gcsUri": _FILE_EXAMPLE["uri"],
                    "uri": _FILE_EXAMPLE["uri"],
                    "downloadUrl": "https://files.example.com/guide.pdf?signature=...",
                    "filename": "guide.pdf",
                    "size": 48213,
                    "mimeType": "application/pdf",
                }
            ]
        }
    )

    id: str
    gcs_uri: str
    uri: str
    download_url: str
    filename: str
    size: int
    mime_type: str

    @classmethod
    def of(cls, uploaded: Uploaded) -> Self:
        stored = uploaded.attachment
        return cls(
            id=stored.id,
            gcs_uri=uploaded.uri,
            uri=uploaded.uri,
            download_url=uploaded.url,
            filename=stored.name,
            size=stored.size or 0,
            mime_type=stored.media_type or "",
        )


class AttachmentIn(Wire):
    """A `file` that this session uploaded, by its `uri`, `gcsUri` or `id`, or a link: `url`. Others are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FILE_EXAMPLE, _LINK_EXAMPLE]})

    type: SourceType
    uri: Reference | None = None
    gcs_uri: Reference | None = None
    id: Reference | None = None
    url: Reference | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.reference is None:
            raise ValueError("a file has a uri, and a url is one")
        return self

    @property
    def reference(self) -> str | None:
        return self.url if self.type is SourceType.url else self.uri or self.gcs_uri or self.id

    def brought(self) -> Brought:
        return Brought(self.type, self.reference or "")


Attachments = Annotated[list[AttachmentIn], Field(max_length=MOST_ATTACHMENTS)]


class AttachmentErrorOut(Wire):
    code: str
    message: str


class AttachmentOut(Wire):
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


class SourceOut(Wire):
    type: str
    name: str
    url: str | None = None


class SpanOut(Wire):
    """Characters of the source's text, from `start` up to `end`; `page` counts from 1, where there are pages."""

    start: int
    end: int
    page: int | None = None


class CitationOut(Wire):
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


class QueryIn(Wire):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"sessionToken": "sess_...", "query": "When are you open?", "topK": 3}]}
    )

    session_token: Annotated[str, StringConstraints(max_length=100)]
    query: Question
    top_k: Annotated[int, Field(ge=1, le=20)] = 5


class ResultOut(Wire):
    """`similarity` is the cosine of the two meanings; the order also counts the words that both have."""

    content: str
    similarity: float
    source: SourceOut
    label: str
    chunk_id: str
    span: SpanOut

    @classmethod
    def of(cls, found: FoundChunk) -> Self:
        return cls(
            content=found.content,
            similarity=found.similarity,
            source=SourceOut(**found.source()),
            label=found.label,
            chunk_id=found.id,
            span=SpanOut(start=found.start, end=found.end, page=found.page),
        )


class ResultsOut(Wire):
    results: list[ResultOut]
