"""Parameters that routes of several surfaces take."""

from typing import Annotated

from fastapi import Depends, Query
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


async def _page(
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 20,
    after: Annotated[str | None, Query(description="The id of the last item seen: pages by key")] = None,
) -> Page:
    return Page(page, limit, None if after is None else known_id(after))


PageQuery = Annotated[Page, Depends(_page)]


def mark_replayed(response: Response, *, replayed: bool) -> None:
    if replayed:
        response.headers.update(REPLAYED)
