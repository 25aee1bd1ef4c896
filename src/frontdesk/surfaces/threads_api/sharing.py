"""Copies of threads for readers without an account."""

from typing import Annotated

from fastapi import Depends, Path, Request, Response

from frontdesk.http.description import problems
from frontdesk.http.parameters import known_id
from frontdesk.http.routing import Caller, DeclaredRouter, public
from frontdesk.http.services import services
from frontdesk.surfaces.threads_api.parameters import ThreadId
from frontdesk.surfaces.threads_api.sharing_schemas import UNLISTED, NewShareOut, ShareOut, SharesOut, SnapshotOut

router = DeclaredRouter("", tag="sharing")


async def _share_id(share_id: Annotated[str, Path()]) -> str:
    return known_id(share_id)


ShareId = Annotated[str, Depends(_share_id)]


@router.post("/threads/{thread_id}/share", status_code=201, responses=problems(401, 403, 404, 408, 409, 413, 422, 503))
async def share_thread(request: Request, response: Response, caller: Caller, thread_id: ThreadId) -> NewShareOut:
    """A copy of the thread as it is now. Its token is told this once."""
    response.headers["Cache-Control"] = "no-store"
    return NewShareOut.of(*await services(request).sharing.share(caller, thread_id))


@router.get("/threads/{thread_id}/share", responses=problems(401, 403, 404, 422, 503))
async def list_shares(request: Request, caller: Caller, thread_id: ThreadId) -> SharesOut:
    """The thread's copies, the latest first."""
    found = await services(request).sharing.list_shares(caller, thread_id)
    return SharesOut(items=[ShareOut.model_validate(each) for each in found])


@router.delete("/threads/{thread_id}/share/{share_id}", status_code=204, responses=problems(401, 403, 404, 422, 503))
async def end_share(request: Request, caller: Caller, thread_id: ThreadId, share_id: ShareId) -> None:
    """From now on its address opens nothing."""
    await services(request).sharing.revoke(caller, thread_id, share_id)


@router.get("/shared/{token}", dependencies=[public], responses=problems(404, 422, 503))
async def read_shared(request: Request, response: Response, token: Annotated[str, Path()]) -> SnapshotOut:
    response.headers.update(UNLISTED)
    return SnapshotOut.model_validate(await services(request).sharing.read(token))
