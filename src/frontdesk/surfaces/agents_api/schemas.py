"""Agents on the wire: names in camelCase, and in snake_case too where they come in."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, StringConstraints

from frontdesk.agents.models import NAME_LENGTH, RUNTIME_LENGTH, AgentKind
from frontdesk.agents.service import Choices
from frontdesk.ports.tool_source import RunsAt
from frontdesk.surfaces.camel_case import CamelModel

Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH, strip_whitespace=True)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Instructions = Annotated[str, StringConstraints(max_length=100_000)]
Runtime = Annotated[str, StringConstraints(min_length=1, max_length=RUNTIME_LENGTH)]
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Tools = Annotated[list[ToolName], Field(max_length=128)]
UserIds = Annotated[list[Annotated[str, StringConstraints(max_length=36)]], Field(max_length=10_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]


class LimitsOut(CamelModel):
    """Of one answer: `maxSteps` is how often the model is asked, `maxSeconds` how long it may work."""

    max_steps: Annotated[int, Field(ge=1, le=1_000)] = 10
    max_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class AgentOut(CamelModel):
    id: str
    owner_id: str
    name: str
    kind: AgentKind
    runtime: str | None
    model: str | None
    instructions: str
    tools: list[str]
    temperature: float | None
    limits: LimitsOut
    users: list[str] | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class AgentListOut(BaseModel):
    items: list[AgentOut]
    page: int
    limit: int
    total: int


class ToolChoiceOut(CamelModel):
    name: str
    description: str
    runs_at: RunsAt
    requires_approval: bool


class ChoicesOut(CamelModel):
    """What an agent can be made of: the tools of the catalogue, and for a kind the runtimes that the server knows."""

    tools: list[ToolChoiceOut]
    runtimes: dict[AgentKind, list[str]]

    @classmethod
    def of(cls, choices: Choices) -> Self:
        runtimes = {kind: sorted(names) for kind, names in choices.runtimes.items()}
        return cls(tools=[ToolChoiceOut.model_validate(tool) for tool in choices.tools], runtimes=runtimes)


class AgentIn(CamelModel):
    """`users` may use it beside its owner: nobody when empty, everybody when null."""

    name: Name
    kind: AgentKind = AgentKind.model
    runtime: Runtime | None = None
    model: ModelName | None = None
    instructions: Instructions = ""
    tools: Tools = []
    temperature: Temperature | None = None
    limits: LimitsOut = LimitsOut()
    users: UserIds | None = []
    metadata: dict[str, Any] = {}


class AgentPatch(AgentIn):
    """A field that is left out stays, within `limits` too."""

    name: Name = ""
