"""The wire shapes. Times are RFC 3339 in UTC."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DocumentKind = Literal["text", "youtube", "blog"]
Format = Literal["markdown", "html", "docx"]
JobKind = Literal["optimize", "generate_blog", "drive_publish"]
JobState = Literal["queued", "running", "completed", "failed"]
Stage = Literal["ingested", "optimized", "generated", "drive_linked", "published"]

MAX_TEXT = 1_000_000
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n]*\S[^\r\n]*$")]
Instructions = Annotated[str, Field(max_length=4_000, description="What the language model shall heed.")]
_NAME = "[A-Za-z0-9_][A-Za-z0-9 ._-]{0,63}"
Folder = Annotated[
    str, Field(pattern=f"^{_NAME}(/{_NAME}){{0,7}}$", description="A folder inside the drive, such as team/blog.")
]
DocumentId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="A document's id.")]


class Body(BaseModel):
    """Types are taken as the description names them: 0 is not false."""

    model_config = ConfigDict(extra="forbid", strict=True)


class IngestText(Body):
    title: Title
    text: Text


class IngestYoutube(Body):
    video: Annotated[str, Field(max_length=500, description="The video's address, or the eleven characters of its id.")]
    transcript: Annotated[Text, Field(description="Plain text, WebVTT or SRT. It is not fetched.")]
    title: Title | None = None


class Optimize(Body):
    use_model: Annotated[bool, Field(description="Let the language model rewrite the cleaned text.")] = False
    instructions: Instructions = ""


class GenerateBlog(Body):
    instructions: Instructions = ""
    words: Annotated[int, Field(ge=50, le=5_000, description="About how long the post shall be.")] = 600


class DriveLink(Body):
    folder: Folder


class DrivePublish(Body):
    document_id: DocumentId
    format: Format = "markdown"


class Document(BaseModel):
    """`version` is the latest one and `characters` its length; `source` a video's address or a document's id."""

    id: str
    kind: DocumentKind
    title: str
    source: str | None
    version: int
    characters: int
    created_at: str
    updated_at: str


class Documents(BaseModel):
    """Newest first. `next` goes into `before`; null means that there are no more."""

    items: list[Document]
    next: str | None


class Version(BaseModel):
    version: int
    origin: Literal["ingested", "optimized", "generated"]
    characters: int
    created_at: str


class Versions(BaseModel):
    """Newest first. `next` goes into `before`; null means that there are no more."""

    document_id: str
    items: list[Version]
    next: int | None


class Optimized(BaseModel):
    """`changed` is false when there was nothing to improve: then there is no new version."""

    job_id: str
    document: Document
    changed: bool


class BlogPost(BaseModel):
    job_id: str
    document: Document
    text: str


class Publication(BaseModel):
    """`path` is inside the drive."""

    document_id: str
    version: int
    format: Format
    path: str
    bytes: int
    sha256: str
    published_at: str


class Published(BaseModel):
    job_id: str
    publication: Publication


class DriveState(BaseModel):
    linked: bool
    folder: str | None
    linked_at: str | None
    publications: list[Publication]


class PipelineEvent(BaseModel):
    """A document, or the session's drive, has come a step further."""

    cursor: str
    type: Literal["pipeline"]
    stage: Stage
    created_at: str
    document_id: str | None
    version: int | None
    title: str | None
    path: str | None


class JobEvent(BaseModel):
    """A job is in another state; a failed one has the `code` of its problem."""

    cursor: str
    type: Literal["job"]
    job_id: str
    kind: JobKind
    state: JobState
    created_at: str
    document_id: str
    code: str | None


Event = Annotated[PipelineEvent | JobEvent, Field(discriminator="type")]


class Events(BaseModel):
    """Oldest first. `next` is the cursor to ask with the next time, also when nothing is new."""

    events: list[Event]
    next: str


class JobReference(BaseModel):
    job_id: str


class Job(BaseModel):
    id: str
    session_id: str
    kind: JobKind
    document_id: str
    arguments: dict[str, Any]
    idempotency_key: str | None
    state: JobState
    attempts: int
    result: dict[str, Any] | None
    problem: dict[str, Any] | None


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    model_configured: bool
