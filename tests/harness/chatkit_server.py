"""The program with an agent for the widget, and people who have client secrets for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from harness.callers import Caller, founder, newcomer
from harness.chatkit_client import ChatKitClient

AGENTS = """
python:
  widget: {agent: "harness.chatkit_agents:scripted", actions: "harness.chatkit_agents:pressed"}
  keeper: {agent: "harness.sdk_agents:keeper"}
"""
TOOLS = """
tools:
  - {name: ask, description: Ask the page, client: true, parameters: {type: object}}
  - {name: structured_input, description: Ask the user, client: true, parameters: {type: object}}
python:
  - {function: "harness.tool_functions:echo"}
  - {function: "harness.tool_functions:echo", name: pay, requires_approval: true}
"""
NO_LIMITS = {"tiers": '{"free": {}}'}


def files(directory: Path) -> dict[str, str]:
    """The settings that name the agent's runtime and its tools."""
    (directory / "agents.yaml").write_text(AGENTS)
    (directory / "tools.yaml").write_text(TOOLS)
    return {"agents_file": str(directory / "agents.yaml"), "tools_file": str(directory / "tools.yaml")}


@dataclass(frozen=True)
class World:
    """`agent_id` is everybody's to use."""

    http: httpx.AsyncClient
    root: str
    admin: Caller
    agent_id: str

    async def person(self, name: str) -> tuple[Caller, ChatKitClient]:
        caller = await newcomer(self.admin, name)
        return caller, await widget_of(caller, self.root)

    @property
    def agent(self) -> dict[str, str]:
        """The metadata of a request whose thread the agent is to answer."""
        return {"agent_id": self.agent_id}


async def settle(http: httpx.AsyncClient) -> World:
    admin = await founder(http)
    body: dict[str, Any] = {
        "name": "widget",
        "kind": "python",
        "runtime": "widget",
        "tools": ["ask", "structured_input", "echo", "pay"],
        "users": None,
    }
    agent = await admin.made("POST", "/agents", json=body)
    root = str(http.base_url).rstrip("/").removesuffix("/api")
    return World(http, root, admin, agent["id"])


async def widget_of(caller: Caller, root: str) -> ChatKitClient:
    secret = (await caller.made("POST", "/chatkit/session"))["client_secret"]
    return ChatKitClient(caller.client, root, secret)
