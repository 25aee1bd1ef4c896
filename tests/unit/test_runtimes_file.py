"""The file of agents' runtimes: what it says, and how it says what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest

from frontdesk.agents.models import AgentKind
from frontdesk.agents.runtimes_file import parse_agents_file, read_agents_file
from frontdesk.bootstrap.agents import agent_runtimes
from frontdesk.conversation.model_list import ModelList
from frontdesk.errors import ConfigurationError
from frontdesk.kit.clock import SystemClock
from frontdesk.settings import Settings

GOOD = """
python:
  writer: {agent: "harness.python_agents:scripted"}
  adder: {agent: "harness.sdk_agents:adder"}
remote:
  planner: {url: "https://agents.example.org/base/", key_env: AGENTS_TEST_KEY, timeout_seconds: 2}
"""


class NoModel:
    """Stands where no model is asked."""

    async def stream(self, _request: Any, _take: Any) -> None:
        raise AssertionError

    async def stop(self, thread_id: str) -> None: ...

    async def models(self) -> list[dict[str, Any]]:
        raise AssertionError

    async def aclose(self) -> None:
        raise AssertionError


def runtimes_of(file: Path | None) -> Any:
    settings = Settings(_env_file=None, agents_file=None if file is None else str(file))
    models = ModelList(NoModel(), clock=SystemClock(), default_model="m")
    return agent_runtimes(settings, NoModel(), models, clock=SystemClock())


def test_what_it_declares() -> None:
    file = parse_agents_file(GOOD, name="agents.yaml")
    assert [(one.name, one.path) for one in file.python] == [
        ("writer", "harness.python_agents:scripted"),
        ("adder", "harness.sdk_agents:adder"),
    ]
    (remote,) = file.remote
    assert (remote.url, remote.key_env, remote.timeout) == ("https://agents.example.org/base", "AGENTS_TEST_KEY", 2)
    assert read_agents_file(None).python == []


async def test_its_names_are_the_runtimes_of_their_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTS_TEST_KEY", "secret")
    file = tmp_path / "agents.yaml"
    file.write_text(GOOD)
    runtimes = runtimes_of(file)
    assert runtimes.names == {AgentKind.python: ("writer", "adder"), AgentKind.remote: ("planner",)}
    await runtimes.aclose()
    assert runtimes_of(None).names == {AgentKind.python: (), AgentKind.remote: ()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "it must be a mapping with some of python, remote"),
        ("python: [", "it is not YAML"),
        ("model: {}", "the key 'model' is none of python, remote"),
        ("python: {a: {agent: 'm:f'}, a: {agent: 'm:g'}}", "the key 'a' is there twice"),
        ("python: []", ""),
        ("python: [a]", "python: it must be a mapping of names"),
        ("python: {a: 'm:f'}", "python.a: Expected `object`, got `str`"),
        ("python: {a: {}}", "python.a: Object missing required field `agent`"),
        ("python: {a: {agent: 'm:f', file: x}}", "python.a: Object contains unknown field `file`"),
        ("python: {a: {agent: 'm.f'}}", "python.a: Expected `str` matching regex"),
        ("python: {'a b': {agent: 'm:f'}}", "python.a b: Expected `str` matching regex"),
        ("python: {1: {agent: 'm:f'}}", "python.1: Expected `str`, got `int`"),
        ("remote: {a: {}}", "remote.a: Object missing required field `url`"),
        ("remote: {a: {url: 'http://h', token: x}}", "remote.a: Object contains unknown field `token`"),
        ("remote: {a: {url: 'ftp://h'}}", "remote.a: url: it begins with http:// or https://"),
        ("remote: {a: {url: 'http://'}}", "remote.a: url: it begins with http:// or https:// and names a host"),
        ("remote: {a: {url: 'http://u:p@h'}}", "remote.a: url: it has a host, maybe a port and a path"),
        ("remote: {a: {url: 'http://h/?q=1'}}", "remote.a: url: it has a host, maybe a port and a path"),
        ("remote: {a: {url: 'http://h/a b'}}", "remote.a: url: it has a host, maybe a port and a path"),
        ("remote: {a: {url: 'http://h:x'}}", "remote.a: Port could not be cast"),
        ('remote: {a: {url: "http://h/\\r\\nX: y"}}', "remote.a: url: it has a host, maybe a port and a path"),
        ("remote: {a: {url: 'http://h', timeout_seconds: 0}}", "remote.a: Expected `float` > 0.0"),
        ("remote: {a: {url: 'http://h', key_env: 'A B'}}", "remote.a: Expected `str` matching regex"),
    ],
)
def test_what_is_wrong_with_it_is_said(text: str, expected: str) -> None:
    if not expected:
        assert parse_agents_file(text, name="agents.yaml").python == []
        return
    with pytest.raises(ConfigurationError) as raised:
        parse_agents_file(text, name="agents.yaml")
    assert raised.value.detail.startswith("agents.yaml: ")
    assert expected in raised.value.detail


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("no_such_package:agent", "cannot be imported: No module named"),
        ("harness.no_such_module:agent", "cannot be imported: No module named"),
        ("harness.python_agents:nothing", "cannot be imported: module 'harness.python_agents' has no attribute"),
        ("harness.python_agents:a_number", "is neither an asynchronous generator function nor an Agent"),
        ("harness.python_agents:a_function", "is neither an asynchronous generator function nor an Agent"),
        ("harness.python_agents:a_coroutine_function", "is neither an asynchronous generator function nor an Agent"),
        ("agents:Agent", "is neither an asynchronous generator function nor an Agent"),
    ],
)
def test_an_import_that_is_no_agent_is_said(tmp_path: Path, path: str, expected: str) -> None:
    file = tmp_path / "agents.yaml"
    file.write_text(f"python: {{writer: {{agent: '{path}'}}}}")
    with pytest.raises(ConfigurationError) as raised:
        runtimes_of(file)
    assert raised.value.detail.startswith(f"{file}: python.writer: {path} ")
    assert expected in raised.value.detail


@pytest.mark.parametrize("value", [None, "", "two\nlines", "schl\u00fcssel"])
def test_a_key_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("AGENTS_TEST_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("AGENTS_TEST_KEY", value)
    file = tmp_path / "agents.yaml"
    file.write_text("remote: {planner: {url: 'http://h', key_env: AGENTS_TEST_KEY}}")
    with pytest.raises(ConfigurationError, match=r"remote\.planner: key_env: AGENTS_TEST_KEY is not set"):
        runtimes_of(file)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CHAT_AGENTS_FILE: .*agents\.yaml cannot be read"):
        runtimes_of(tmp_path / "agents.yaml")
