"""What stands behind an agent, by its kind and the name of its runtime."""

from collections.abc import Collection, Mapping

from frontdesk.agents.models import Agent, AgentKind
from frontdesk.ports.language_model import LanguageModel, ModelCallError


class AgentRuntimes:
    """`model` answers for agents of the kind `model`, and for none; it is another's to close."""

    def __init__(self, model: LanguageModel, runtimes: Mapping[AgentKind, Mapping[str, LanguageModel]]) -> None:
        self._model = model
        self._runtimes = runtimes

    @property
    def names(self) -> Mapping[AgentKind, Collection[str]]:
        return {kind: tuple(named) for kind, named in self._runtimes.items()}

    def model_of(self, agent: Agent | None) -> LanguageModel:
        """Raises `ModelCallError` for a runtime that the configuration has no more."""
        if agent is None or agent.kind is AgentKind.model:
            return self._model
        found = self._runtimes.get(agent.kind, {}).get(agent.runtime or "")
        if found is None:
            raise ModelCallError("runtime_not_found", "The agent's runtime is not configured any more")
        return found

    async def aclose(self) -> None:
        for named in self._runtimes.values():
            for runtime in named.values():
                await runtime.aclose()
