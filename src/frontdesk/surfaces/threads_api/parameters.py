"""Path, query and header parameters that several routes take."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query
from starlette.responses import Response

from frontdesk.errors import NotFoundError
from frontdesk.http.idempotency import REPLAYED
from frontdesk.kit.ids import is_id
from frontdesk.kit.paging import MAX_LIMIT, MAX_PAGE, Page


def known_id(text: str) -> str:
    """A text that is no id names nothing. Raises `NotFoundError`."""
    if not is_id(text):
        raise NotFoundError
    return text


async def _thread_id(thread_id: Annotated[str, Path()]) -> str:
    return known_id(thread_id)


async def _message_id(message_id: Annotated[str, Path()]) -> str:
    return known_id(message_id)


async def _execution_id(execution_id: Annotated[str, Path()]) -> str:
    return known_id(execution_id)


async def _page(
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 20,
    after: Annotated[str | None, Query(description="The id of the last item seen: pages by key")] = None,
) -> Page:
    return Page(page, limit, None if after is None else known_id(after))


ThreadId = Annotated[str, Depends(_thread_id)]
MessageId = Annotated[str, Depends(_message_id)]
ExecutionId = Annotated[str, Depends(_execution_id)]
PageQuery = Annotated[Page, Depends(_page)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]


def mark_replayed(response: Response, *, replayed: bool) -> None:
    if replayed:
        response.headers.update(REPLAYED)
