"""Reads the file of agents' runtimes. Whatever is wrong with it stops the start-up and says where."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from frontdesk.agents.models import RUNTIME_LENGTH
from frontdesk.agents.strict_yaml import load_mapping
from frontdesk.errors import ConfigurationError

SECTIONS = ("python", "remote")
DEFAULT_TIMEOUT_SECONDS = 30.0
_NAME = f"^[A-Za-z0-9_.-]{{1,{RUNTIME_LENGTH}}}$"
Name = Annotated[str, Meta(pattern=_NAME)]
Declared = TypeVar("Declared")
Entry = TypeVar("Entry", bound=Struct)


class DeclaredPythonAgent(Struct, frozen=True, kw_only=True):
    """`path` is `package.module:attribute`; `place` is where it is declared, for errors. `actions` is the path of the
    function that answers what is done with widgets, where that is not the agent itself.
    """

    name: str
    path: str
    place: str
    actions: str | None = None


class DeclaredRemoteAgent(Struct, frozen=True, kw_only=True):
    """`key_env` is the name of the setting that holds its key; `timeout` is in seconds."""

    name: str
    url: str
    key_env: str | None
    timeout: float
    place: str


class RuntimesFile(Struct, frozen=True, kw_only=True):
    python: list[DeclaredPythonAgent] = []
    remote: list[DeclaredRemoteAgent] = []


_Path = Annotated[str, Meta(pattern=r"^[\w.]+:[\w.]+$")]


class PythonEntry(Struct, frozen=True, forbid_unknown_fields=True):
    agent: _Path
    actions: _Path | None = None


class RemoteEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    key_env: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=3600)] = DEFAULT_TIMEOUT_SECONDS


def read_agents_file(path: str | None) -> RuntimesFile:
    """What the file at `path` declares; nothing without one. Raises `ConfigurationError` with the file and entry."""
    if path is None:
        return RuntimesFile()
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"CHAT_AGENTS_FILE: {path} cannot be read: {error}") from error
    return parse_agents_file(text, name=path)


def parse_agents_file(text: str, *, name: str) -> RuntimesFile:
    """`name` is the file's: errors begin with it."""
    content = load_mapping(text, name=name, keys=SECTIONS)
    return RuntimesFile(
        python=_section(content, "python", PythonEntry, file=name, make=_python),
        remote=_section(content, "remote", RemoteEntry, file=name, make=_remote),
    )


def _section(
    content: dict[str, Any],
    section: str,
    kind: type[Entry],
    *,
    file: str,
    make: Callable[[str, Entry, str], Declared],
) -> list[Declared]:
    entries = content.get(section) or {}
    if not isinstance(entries, dict):
        raise ConfigurationError(f"{file}: {section}: it must be a mapping of names")
    declared: list[Declared] = []
    for name, value in entries.items():
        place = f"{file}: {section}.{name}"
        try:
            declared.append(make(msgspec.convert(name, Name), msgspec.convert(value, kind), place))
        except ValueError as error:
            raise ConfigurationError(f"{place}: {error}") from error
    return declared


def _python(name: str, entry: PythonEntry, place: str) -> DeclaredPythonAgent:
    return DeclaredPythonAgent(name=name, path=entry.agent, place=place, actions=entry.actions)


def require_url(text: str, place: str) -> str:
    """The address of a runtime, without a trailing slash. Raises `ConfigurationError`."""
    try:
        return _url(text)
    except ValueError as error:
        raise ConfigurationError(f"{place}: {error}") from error


def _url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("url: it begins with http:// or https:// and names a host")
    is_plain = text.isascii() and text.isprintable() and " " not in text
    if not is_plain or url.port == 0 or url.username is not None or url.query or url.fragment:
        raise ValueError("url: it has a host, maybe a port and a path, and nothing else")
    return text.rstrip("/")


def _remote(name: str, entry: RemoteEntry, place: str) -> DeclaredRemoteAgent:
    return DeclaredRemoteAgent(
        name=name,
        url=_url(entry.url),
        key_env=entry.key_env,
        timeout=entry.timeout_seconds,
        place=place,
    )
