from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, insert, or_, select, update

from frontdesk.agents.models import Agent, AgentKind, Limits, agents
from frontdesk.errors import NotFoundError
from frontdesk.identity.principal import Principal


def _agent(row: Mapping[Any, Any]) -> Agent:
    values: dict[str, Any] = dict(row)
    values["kind"] = AgentKind(values["kind"])
    values["limits"] = msgspec.convert(values["limits"], Limits)
    return Agent(**values)


def _values(agent: Agent) -> dict[str, Any]:
    return {**msgspec.structs.asdict(agent), "limits": msgspec.to_builtins(agent.limits)}


def may_use(agent: Agent, user_id: str) -> bool:
    return agent.owner_id == user_id or agent.users is None or user_id in agent.users


def find(connection: Connection, agent_id: str, *, user_id: str) -> Agent | None:
    """The agent, if it is there and the user may use it."""
    row = connection.execute(select(agents).where(agents.c.id == agent_id)).mappings().one_or_none()
    agent = None if row is None else _agent(row)
    return agent if agent is not None and not agent.is_deleted and may_use(agent, user_id) else None


def get(connection: Connection, principal: Principal, agent_id: str) -> Agent:
    """Raises `NotFoundError` for what is not there, or not the principal's to use."""
    agent = find(connection, agent_id, user_id=principal.id)
    if agent is None or (principal.agents is not None and agent_id not in principal.agents):
        raise NotFoundError
    return agent


def list_page(
    connection: Connection, principal: Principal, *, limit: int, offset: int = 0, after: str | None = None
) -> list[Agent]:
    """The principal's own and those that others share with them, newest first; `after` continues behind an id."""
    statement = select(agents).where(_usable_by(principal))
    if after is not None:
        statement = statement.where(agents.c.id < after)
    ordered = statement.order_by(agents.c.id.desc()).limit(limit).offset(offset)
    return [_agent(row) for row in connection.execute(ordered).mappings()]


def count(connection: Connection, principal: Principal) -> int:
    return int(connection.scalar(select(func.count()).select_from(agents).where(_usable_by(principal))) or 0)


def _usable_by(principal: Principal) -> ColumnElement[bool]:
    """`users` is searched as text: ids are of one length and hold nothing that JSON would escape."""
    shared = or_(agents.c.users.is_(None), cast(agents.c.users, Text).contains(f'"{principal.id}"'))
    usable = and_(agents.c.is_deleted.is_(False), or_(agents.c.owner_id == principal.id, shared))
    return usable if principal.agents is None else and_(usable, agents.c.id.in_(principal.agents))


def add(connection: Connection, agent: Agent) -> None:
    connection.execute(insert(agents), _values(agent))


def put(connection: Connection, agent: Agent) -> None:
    connection.execute(update(agents).where(agents.c.id == agent.id).values(**_values(agent)))
