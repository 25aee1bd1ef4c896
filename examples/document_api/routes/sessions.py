"""What happened in a session, for whoever polls."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from document_api import events
from document_api.callers import SESSION_HEADER, authenticate, session_of
from document_api.problems import BadCursorError, NotFoundError, UnauthenticatedError, responses
from document_api.schemas import Events
from document_api.services import Services

router = APIRouter(prefix="/sessions", tags=["sessions"])


@router.get(
    "/events",
    operation_id="session_events",
    responses=responses(UnauthenticatedError, BadCursorError, NotFoundError),
)
async def session_events(
    request: Request,
    services: Services,
    session_id: Annotated[
        str | None, Query(pattern=r"^[A-Za-z0-9._:~-]{1,200}$", description="The session of the header, if left out.")
    ] = None,
    since: Annotated[str | None, Query(description="The `next` of the answer before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Events:
    """What happened to the session's documents and jobs, oldest first."""
    authenticate(request)
    if session_id is None or SESSION_HEADER in request.headers:
        named, session_id = session_id, session_of(request)
        if named not in {None, session_id}:
            raise NotFoundError("The header names another session")
    return await services.database.run(lambda connection: events.list_after(connection, session_id, since, limit=limit))
