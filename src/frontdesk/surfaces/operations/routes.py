from contextlib import suppress

import msgspec
from fastapi import Request, Response

from frontdesk import __version__
from frontdesk.errors import NotReadyError, UnavailableError
from frontdesk.http.description import problems
from frontdesk.http.routing import DeclaredRouter, operator, public
from frontdesk.http.services import operations

PATHS = ("/health", "/health/ready", "/metrics")  # answered whatever else is asked
router = DeclaredRouter("", tag="operations")


@router.get("/health", dependencies=[public])
async def health() -> dict[str, str]:
    return {"status": "ok", "version": __version__}


@router.get("/health/ready", dependencies=[public], responses=problems(503))
async def ready(request: Request) -> Response:
    """`degraded` when something is down that is not needed to be ready."""
    is_ready, parts = await operations(request).health.report()
    down = [name for name, part in parts.items() if part.status != "ok"]
    if not is_ready:
        needed = ", ".join(name for name in down if parts[name].needed)
        raise NotReadyError(f"Down: {needed}", version=__version__, parts=parts)
    body = {"status": "degraded" if down else "ok", "version": __version__, "parts": parts}
    return Response(msgspec.json.encode(body), media_type="application/json")


@router.get("/metrics", dependencies=[operator], response_class=Response, responses=problems(401))
async def metrics(request: Request) -> Response:
    held = operations(request)
    with suppress(UnavailableError):  # then the last counts stand, and the rest is true
        held.measurements.executions_unfinished(await held.count_unfinished())
    return Response(held.measurements.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
