"""What visitors bring and ask of it, on the wire."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from frontdesk.public_chat.sessions.bringing import Brought
from frontdesk.public_chat.sessions.uploading import Uploaded
from frontdesk.retrieval.sources.models import FoundChunk, SourceType
from frontdesk.surfaces.brought import SourceOut, SpanOut
from frontdesk.surfaces.camel_case import CamelModel

Reference = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Question = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"\S")]
MOST_ATTACHMENTS = 20
_FILE_EXAMPLE: JsonDict = {"type": "file", "uri": "s3://files/chat-attachments/0193/0194/1730000000000_guide.pdf"}
_LINK_EXAMPLE: JsonDict = {"type": "url", "url": "https://www.example.com/opening-hours"}


class UploadedOut(CamelModel):
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


class AttachmentIn(CamelModel):
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


class QueryIn(CamelModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"sessionToken": "sess_...", "query": "When are you open?", "topK": 3}]}
    )

    session_token: Annotated[str, StringConstraints(max_length=100)]
    query: Question
    top_k: Annotated[int, Field(ge=1, le=20)] = 5


class ResultOut(CamelModel):
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


class ResultsOut(CamelModel):
    results: list[ResultOut]
