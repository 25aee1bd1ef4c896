"""Agents as their owners keep them, and as those see them who may use them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from frontdesk.agents import repository as agents
from frontdesk.agents.models import Agent, AgentKind, Limits
from frontdesk.database import Database
from frontdesk.errors import InvalidAgentError, NotFoundError
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.kit.paging import Page
from frontdesk.ports.tool_source import Tool


class AgentDraft(msgspec.Struct, frozen=True, kw_only=True):
    """As `Agent`; what is left out has its default."""

    name: str
    kind: AgentKind = AgentKind.model
    runtime: str | None = None
    model: str | None = None
    instructions: str = ""
    tools: list[str] = []
    temperature: float | None = None
    limits: Limits = Limits()
    users: list[str] | None = []
    metadata: dict[str, Any] = {}


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent can be made of on this server."""

    tools: Sequence[Tool]
    runtimes: Mapping[AgentKind, Collection[str]]


class AgentService:
    """`knows_tool` is whether there is a tool of a name; `runtimes` are what the configuration names for a kind."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        knows_tool: Callable[[str], bool],
        list_tools: Callable[[], Sequence[Tool]],
        runtimes: Mapping[AgentKind, Collection[str]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._knows_tool = knows_tool
        self._list_tools = list_tools
        self._runtimes = runtimes

    def choices(self) -> Choices:
        return Choices(tools=self._list_tools(), runtimes=self._runtimes)

    async def create(self, principal: Principal, draft: AgentDraft) -> Agent:
        """Raises `InvalidAgentError`."""
        now = self._clock.now()
        values = {name: getattr(draft, name) for name in draft.__struct_fields__}
        agent = Agent(id=new_id(), owner_id=principal.id, is_deleted=False, created_at=now, updated_at=now, **values)
        self._require_known(agent)
        await self._database.write(lambda connection: agents.add(connection, agent))
        return agent

    async def get(self, principal: Principal, agent_id: str) -> Agent:
        """Raises `NotFoundError`."""
        return await self._database.read(lambda connection: agents.get(connection, principal, agent_id))

    async def list_agents(self, principal: Principal, page: Page) -> tuple[list[Agent], int]:
        """A page of those that the principal may use, and how many there are. Raises `NotFoundError` behind none."""

        def work(connection: Connection) -> tuple[list[Agent], int]:
            if page.after is not None:
                agents.get(connection, principal, page.after)
            listed = agents.list_page(connection, principal, limit=page.limit, offset=page.offset, after=page.after)
            return listed, agents.count(connection, principal)

        return await self._database.read(work)

    async def change(self, principal: Principal, agent_id: str, changes: dict[str, Any]) -> Agent:
        """For its owner alone. Raises `NotFoundError`, `InvalidAgentError`."""

        def change(agent: Agent) -> Agent:
            limits = msgspec.structs.replace(agent.limits, **changes.get("limits", {}))
            changed = msgspec.structs.replace(agent, **changes | {"limits": limits})
            self._require_known(changed)
            return changed

        return await self._put(principal, agent_id, change)

    async def delete(self, principal: Principal, agent_id: str) -> None:
        """For its owner alone: its threads stay, and nothing answers in them any more. Raises `NotFoundError`."""
        await self._put(principal, agent_id, lambda agent: msgspec.structs.replace(agent, is_deleted=True))

    async def _put(self, principal: Principal, agent_id: str, change: Callable[[Agent], Agent]) -> Agent:
        def work(connection: Connection) -> Agent:
            agent = agents.get(connection, principal, agent_id)
            if agent.owner_id != principal.id:
                raise NotFoundError
            changed = msgspec.structs.replace(change(agent), updated_at=self._clock.now())
            agents.put(connection, changed)
            return changed

        return await self._database.write(work)

    def _require_known(self, agent: Agent) -> None:
        if unknown := [name for name in agent.tools if not self._knows_tool(name)]:
            raise _wrong("tools", f"There is no tool named {', '.join(unknown)}")
        runtimes = self._runtimes.get(agent.kind, ())
        if agent.kind is AgentKind.model:
            if agent.runtime is not None:
                raise _wrong("runtime", "An agent of the kind model has no runtime")
        elif agent.runtime not in runtimes:
            there = ", ".join(runtimes) or "none"
            raise _wrong(
                "runtime", f"The configuration has no {agent.kind.value} runtime {agent.runtime}; there are: {there}"
            )


def _wrong(field: str, detail: str) -> InvalidAgentError:
    return InvalidAgentError(detail, errors=[{"loc": ["body", field], "msg": detail, "type": InvalidAgentError.code}])
