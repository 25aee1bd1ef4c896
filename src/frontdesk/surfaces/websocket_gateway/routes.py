"""The socket itself, and the one-time tickets with which a browser opens it."""

from typing import Annotated

from fastapi import Body, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from frontdesk import __version__
from frontdesk.http.description import problems
from frontdesk.http.routing import USER_OR_VISITOR, Declaration, DeclaredRouter, bearer_token, public
from frontdesk.http.services import operations, services
from frontdesk.http.sockets import Opening, held_socket, require_anonymous
from frontdesk.identity.holders import Holder
from frontdesk.identity.tickets import LIFE_SECONDS, VISITOR_KEY
from frontdesk.surfaces.agent_input import LONGEST_NAME, is_name
from frontdesk.surfaces.websocket_gateway.session import SocketSession

_POLICY = 1008
router = DeclaredRouter("", tag="sockets")
health_router = DeclaredRouter("", tag="operations")


class TicketIn(BaseModel):
    """`visitor` is the key that came with a visitor's first ticket."""

    visitor: Annotated[str | None, Field(pattern=f"^{VISITOR_KEY}$")] = None


class TicketOut(BaseModel):
    """Good for one connection within `expires_in` seconds. `visitor` is what makes the next ticket the same visitor's:
    who has an account gets none.
    """

    ticket: str
    expires_in: int
    visitor: str | None = None


async def _admit_holder(connection: HTTPConnection) -> Holder | None:
    """None for a visitor."""
    token = bearer_token(connection)
    if token is None:
        require_anonymous(connection)
        return None
    return await services(connection).tokens.holder(token)


TicketHolder = Annotated[Holder | None, Depends(Declaration(USER_OR_VISITOR.scheme_name, _admit_holder))]


@router.post("/ws-tickets", status_code=201, responses=problems(400, 401, 408, 413, 422, 503))
async def issue_ticket(
    request: Request, response: Response, holder: TicketHolder, body: Annotated[TicketIn | None, Body()] = None
) -> TicketOut:
    """A ticket to open a socket with, as `?ticket=`: it is void once it was used."""
    tickets = services(request).tickets
    response.headers["Cache-Control"] = "no-store"
    if holder is not None:
        return TicketOut(ticket=tickets.issue(holder), expires_in=LIFE_SECONDS)
    key = (body or TicketIn()).visitor or tickets.new_visitor_key()
    return TicketOut(ticket=tickets.issue(tickets.visitor(key)), expires_in=LIFE_SECONDS, visitor=key)


@health_router.get("/health", dependencies=[public])
async def health(request: Request) -> dict[str, str]:
    version = operations(request).settings.gateway_version or __version__
    return {"status": "healthy", "service": "gateway", "version": version}


async def _serve(opening: Opening) -> None:
    name = opening.connection.path_params["session_id"]
    if not is_name(name):
        opening.wire.close(_POLICY, f"A session's id has 1 to {LONGEST_NAME} printable characters")
        return
    session = SocketSession(services(opening.connection), opening, name)
    await session.run(opening.connection.query_params.get("after"))


socket_route = held_socket("/ws/{session_id}", _serve)
