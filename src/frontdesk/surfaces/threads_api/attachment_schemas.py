"""The shapes of attachments on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from frontdesk.attachments.models import AttachmentState

FileName = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class FileIn(BaseModel):
    name: FileName


class AttachmentOut(BaseModel):
    """`media_type`, `size` in bytes, `sha256` and `download_url` are there once the file is stored."""

    id: str
    state: AttachmentState
    name: str
    media_type: str | None
    size: int | None
    sha256: str | None
    created_at: datetime
    download_url: str | None


class AnnouncedOut(AttachmentOut):
    """PUT the file's bytes to `upload_url` with `upload_headers`, then complete it, or send it with a message."""

    upload_url: str
    upload_headers: dict[str, str] = Field(default_factory=dict)
