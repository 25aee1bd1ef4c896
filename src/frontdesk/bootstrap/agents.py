"""What answers in a thread, put together: the tools of CHAT_TOOLS_FILE and the runtimes of CHAT_AGENTS_FILE."""

from datetime import UTC, datetime
from uuid import UUID

from frontdesk.adapters.language_model.agent_runtimes import AgentRuntimes
from frontdesk.adapters.language_model.python_agent import (
    PythonAgent,
    imported_actions,
    imported_agent,
    is_of_sdk,
    with_actions,
)
from frontdesk.adapters.language_model.remote_agent import RemoteAgent
from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.http import HttpToolSource
from frontdesk.adapters.tool_source.openapi import OpenApiToolSource
from frontdesk.adapters.tool_source.python import PythonToolSource
from frontdesk.agents.models import Agent, AgentKind, Limits
from frontdesk.agents.runtimes_file import (
    DeclaredPythonAgent,
    DeclaredRemoteAgent,
    read_agents_file,
    require_url,
)
from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.agents.tools.catalogue_file import read_tools_file
from frontdesk.agents.tools.declarations import DeclaredMcpServer
from frontdesk.bootstrap.extras import extra
from frontdesk.conversation.model_list import ModelList
from frontdesk.errors import ConfigurationError
from frontdesk.kit.clock import Clock
from frontdesk.ports.language_model import LanguageModel
from frontdesk.ports.tool_source import ToolSource
from frontdesk.settings import Settings, named_secret

_DEFAULT = "agent runtime"  # no name that the file of runtimes could have
_MOST_STEPS, _MOST_SECONDS = 100, 3600.0


def tool_catalogue(settings: Settings) -> ToolCatalogue:
    """The tools of CHAT_TOOLS_FILE, not opened yet. Raises `ConfigurationError`."""
    file = read_tools_file(settings.tools_file)
    back_end = BackEnd(settings.api_base_url)
    max_bytes = settings.tool_max_response_bytes
    sources: list[ToolSource] = []
    for section in file.order:
        if section == "tools":
            sources.append(HttpToolSource(file.tools, back_end, max_response_bytes=max_bytes))
        elif section == "openapi" and file.openapi is not None:
            sources.append(OpenApiToolSource(file.openapi, back_end, max_response_bytes=max_bytes))
        elif section == "mcp":
            sources.extend(_mcp_source(declared, max_bytes) for declared in file.mcp)
        elif section == "python":
            sources.append(PythonToolSource(file.python, max_output_bytes=max_bytes))
    return ToolCatalogue(sources)


def agent_runtimes(settings: Settings, model: LanguageModel, models: ModelList, *, clock: Clock) -> AgentRuntimes:
    """The runtimes of CHAT_AGENTS_FILE, and `model` for every agent without one. Raises `ConfigurationError`."""
    file = read_agents_file(settings.agents_file)
    default: dict[str, LanguageModel] = (
        {} if settings.gateway_agent_url is None else {_DEFAULT: _default_runtime(settings, clock)}
    )
    runtimes: dict[AgentKind, dict[str, LanguageModel]] = {
        AgentKind.python: {one.name: _python_agent(one, settings, models, clock=clock) for one in file.python},
        AgentKind.remote: {**default, **{one.name: _remote_agent(one, clock) for one in file.remote}},
    }
    return AgentRuntimes(model, runtimes)


def default_agent(settings: Settings, runtimes: AgentRuntimes, tools: ToolCatalogue) -> Agent | None:
    """Who answers where no agent is named: the runtime at GATEWAY__AGENT_URL, else what CHAT_DEFAULT_AGENT says, with
    all tools that there are, else the model alone. It is no record of anybody's. Raises `ConfigurationError`.
    """
    kind, _, runtime = (settings.default_agent or "").partition(":")
    if settings.gateway_agent_url is not None:
        kind, runtime = AgentKind.remote, _DEFAULT
    elif settings.default_agent is None:
        return None
    elif runtime not in runtimes.names.get(AgentKind(kind), ()) and kind != AgentKind.model:
        raise ConfigurationError(f"CHAT_DEFAULT_AGENT: CHAT_AGENTS_FILE declares no {kind} runtime {runtime}")
    nobody, epoch = str(UUID(int=0)), datetime.fromtimestamp(0, UTC)
    return Agent(
        id=nobody,
        owner_id=nobody,
        name=_DEFAULT,
        kind=AgentKind(kind),
        runtime=runtime or None,
        model=None,
        instructions="",
        tools=[] if runtime == _DEFAULT else [tool.name for tool in tools.list()],
        temperature=None,
        limits=Limits(max_steps=_MOST_STEPS, max_seconds=_MOST_SECONDS),
        users=None,
        metadata={},
        is_deleted=False,
        created_at=epoch,
        updated_at=epoch,
    )


def _default_runtime(settings: Settings, clock: Clock) -> RemoteAgent:
    return RemoteAgent(
        require_url(settings.gateway_agent_url or "", "GATEWAY__AGENT_URL"),
        name=_DEFAULT,
        key=settings.internal_api_key.get_secret_value(),
        timeout=settings.gateway_request_timeout,
        clock=clock,
        to_client=True,
    )


def _python_agent(declared: DeclaredPythonAgent, settings: Settings, models: ModelList, *, clock: Clock) -> PythonAgent:
    found, actions = imported_agent(declared), imported_actions(declared)
    if not is_of_sdk(found):
        return PythonAgent(with_actions(found, actions), name=declared.name, clock=clock)
    with extra("agents", declared.place):
        from frontdesk.adapters.language_model.sdk_agent import SdkAgent  # noqa: PLC0415  an extra
    agent = SdkAgent(
        found,
        base_url=settings.llm_base_url,
        api_key=None if settings.llm_api_key is None else settings.llm_api_key.get_secret_value(),
        timeout=settings.llm_timeout_seconds,
        connect_timeout=settings.llm_connect_timeout_seconds,
        max_retries=settings.llm_max_retries,
        default_model=models.default,
    )
    return PythonAgent(with_actions(agent.events, actions), name=declared.name, clock=clock, close=agent.aclose)


def _remote_agent(declared: DeclaredRemoteAgent, clock: Clock) -> RemoteAgent:
    key = None
    if declared.key_env is not None:
        key = named_secret(declared.key_env)
        if key is None or not (key.isascii() and key.isprintable()):
            raise ConfigurationError(f"{declared.place}: key_env: {declared.key_env} is not set, or holds no key")
    return RemoteAgent(declared.url, name=declared.name, key=key, timeout=declared.timeout, clock=clock)


def _mcp_source(declared: DeclaredMcpServer, max_bytes: int) -> ToolSource:
    with extra("mcp", "An entry of `mcp` in CHAT_TOOLS_FILE"):
        from frontdesk.adapters.tool_source.mcp import McpToolSource  # noqa: PLC0415  an extra
    return McpToolSource(declared, max_output_bytes=max_bytes)
