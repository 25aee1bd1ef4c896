from fastapi import Request
from frontdesk.http.routing import Caller, PossibleCaller, api_router, problems, public
from frontdesk.http.services import services
from frontdesk.identity.users.models import Registration, Role

router = api_router("/auth", tag="accounts")


@router.post("/register", status_code=201)
async def reg(request: Request, caller: PossibleCaller, body: dict):
    u = await services(request).users.register(
        caller, Registration(username=body["username"], password=body["password"])
    )
    return {"id": u.result.id}


@router.post("/login", dependencies=[public])
async def login(request: Request, body: dict):
    u = await services(request).users.login(body["username"], body["password"], address="127.0.0.1")
    t = await services(request).tokens.issue(u)
    import msgspec

    return msgspec.to_builtins(t)
