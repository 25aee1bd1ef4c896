"""What callers have used of OpenAI's API (`/v1`)."""

from typing import Annotated

from fastapi import Depends, Query, Request

from frontdesk.http.description import problems
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.kit.paging import MAX_LIMIT, MAX_PAGE, Page
from frontdesk.surfaces.threads_api.usage_schemas import CallersUsageOut, UsageOut

router = DeclaredRouter("/usage", tag="usage")
Days = Annotated[int, Query(ge=1, le=366, description="How many days (UTC), today the last of them")]


async def _page(
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1, limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100
) -> Page:
    return Page(page, limit)


NumberedPage = Annotated[Page, Depends(_page)]


@router.get("", responses=problems(401, 422, 503))
async def get_usage(request: Request, caller: Caller, page: NumberedPage, days: Days = 30) -> UsageOut:
    """The caller's own, by day and model, the latest day first."""
    return UsageOut.of(await services(request).usage_reports.own(caller, days=days, page=page), page)


@router.get("/callers", responses=problems(401, 403, 422, 503))
async def list_callers_usage(request: Request, caller: Caller, page: NumberedPage, days: Days = 30) -> CallersUsageOut:
    """Everybody's, by caller, whoever used most first. For administrators."""
    return CallersUsageOut.of(await services(request).usage_reports.everybodys(caller, days=days, page=page), page)
