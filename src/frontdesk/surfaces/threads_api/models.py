from fastapi import Request

from frontdesk.http.description import problems
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.surfaces.threads_api.schemas import ModelListOut

router = DeclaredRouter("/models", tag="models")


@router.get("", response_model=ModelListOut, responses=problems(401, 502, 503))
async def list_models(request: Request, _caller: Caller) -> object:
    return {"object": "list", "data": await services(request).models.list_models()}
