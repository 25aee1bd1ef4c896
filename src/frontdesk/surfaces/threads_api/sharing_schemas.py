"""Shares on the wire."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from frontdesk.conversation.sharing.models import Share

UNLISTED = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}


class ShareOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    title: str | None
    message_count: int
    is_cut: bool
    created_at: datetime


class NewShareOut(ShareOut):
    """`token` opens it, and is told this once; `path` is the page that shows it."""

    token: str
    path: str

    @classmethod
    def of(cls, share: Share, token: str) -> "NewShareOut":
        return cls(**ShareOut.model_validate(share).model_dump(), token=token, path=f"/s/{token}")


class SharesOut(BaseModel):
    items: list[ShareOut]


class SharedMessageOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    role: Literal["user", "assistant"]
    text: str
    created_at: datetime
    files: list[str]


class SnapshotOut(BaseModel):
    """`is_cut` when the beginning is left out; `files` are names."""

    model_config = ConfigDict(from_attributes=True)

    title: str | None
    created_at: datetime
    is_cut: bool
    messages: list[SharedMessageOut]
