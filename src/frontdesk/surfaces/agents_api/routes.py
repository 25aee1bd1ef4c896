from typing import Annotated

import msgspec
from fastapi import Depends, Path, Request, Response

from frontdesk.agents.models import Agent
from frontdesk.agents.service import AgentDraft
from frontdesk.http.description import problems
from frontdesk.http.parameters import PageQuery, known_id
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.surfaces.agents_api.schemas import AgentIn, AgentListOut, AgentOut, AgentPatch, ChoicesOut

router = DeclaredRouter("/agents", tag="agents")
_WRITING = problems(400, 401, 404, 413, 422, 503)


async def _agent_id(agent_id: Annotated[str, Path()]) -> str:
    return known_id(agent_id)


AgentId = Annotated[str, Depends(_agent_id)]


@router.post("", status_code=201, response_model=AgentOut, responses=_WRITING)
async def create_agent(request: Request, caller: Caller, body: AgentIn) -> Agent:
    return await services(request).agents.create(caller, msgspec.convert(body.model_dump(), AgentDraft))


@router.get("", response_model=AgentListOut, responses=problems(401, 404, 422, 503))
async def list_agents(request: Request, caller: Caller, page: PageQuery) -> object:
    items, total = await services(request).agents.list_agents(caller, page)
    return {"items": items, "page": page.number, "limit": page.limit, "total": total}


@router.get("/choices", responses=problems(401, 503))
async def list_choices(request: Request, caller: Caller) -> ChoicesOut:  # noqa: ARG001  for whoever has an account
    return ChoicesOut.of(services(request).agents.choices())


@router.get("/{agent_id}", response_model=AgentOut, responses=problems(401, 404, 422, 503))
async def get_agent(request: Request, caller: Caller, agent_id: AgentId) -> Agent:
    return await services(request).agents.get(caller, agent_id)


@router.patch("/{agent_id}", response_model=AgentOut, responses=_WRITING)
async def change_agent(request: Request, caller: Caller, agent_id: AgentId, body: AgentPatch) -> Agent:
    return await services(request).agents.change(caller, agent_id, body.model_dump(exclude_unset=True))


@router.delete("/{agent_id}", status_code=204, responses=problems(401, 404, 422, 503))
async def delete_agent(request: Request, caller: Caller, agent_id: AgentId) -> Response:
    await services(request).agents.delete(caller, agent_id)
    return Response(status_code=204)
