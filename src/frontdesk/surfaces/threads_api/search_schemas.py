"""Search's shapes on the wire."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)

from frontdesk.conversation.messages.models import Role
from frontdesk.retrieval.service import Mode
from frontdesk.surfaces.threads_api.schemas import ModelName, ThreadOut

MAX_QUERY = 10_000
MAX_OFFSET = 1_000
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("there is nothing to search for")
    return text


def _as_text(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError("a moment is a text (RFC 3339)")
    return value


def _in_range(moment: datetime) -> datetime:
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError("the moment must be in the years 1970 to 9998")
    return moment


Query = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY), AfterValidator(_not_blank)]
Moment = Annotated[AwareDatetime, BeforeValidator(_as_text), AfterValidator(_in_range)]


class SearchIn(BaseModel):
    """`query` is a pattern (RE2) in the mode `regex`. `from` and `to` are inclusive, of the message's creation."""

    query: Query
    mode: Mode = Mode.hybrid
    model: ModelName | None = None
    role: Role | None = None
    since: Moment | None = Field(default=None, alias="from")
    until: Moment | None = Field(default=None, alias="to")
    limit: Annotated[int, Field(strict=True, ge=1, le=100)] = 20
    offset: Annotated[int, Field(strict=True, ge=0, le=MAX_OFFSET)] = 0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("`from` is after `to`")
        return self


class SearchItem(BaseModel):
    """`highlights` are `[start, end]` in `snippet`, in code points, the end behind the last."""

    thread: ThreadOut
    message_id: str
    score: float
    snippet: str
    highlights: list[tuple[int, int]]
    matched_by: list[Literal["semantic", "text", "regex"]]


class SearchOut(BaseModel):
    """`degraded` says what was left out of the search and why; `complete` is false when time ran out before all was
    looked at.
    """

    items: list[SearchItem]
    took_ms: float
    complete: bool
    degraded: str | None
