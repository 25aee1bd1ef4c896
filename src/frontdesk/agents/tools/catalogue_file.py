"""Reads the catalogue's file. Whatever is wrong with it stops the start-up and says where."""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from frontdesk.agents.tools import file_entries as entries
from frontdesk.agents.tools.arguments import ArgumentCheck
from frontdesk.agents.tools.declarations import (
    DEFAULT_TIMEOUT_SECONDS,
    DeclaredFunction,
    DeclaredMcpServer,
    DeclaredOpenApi,
    DeclaredTool,
    ToolsFile,
)
from frontdesk.agents.tools.http_declaration import http_call
from frontdesk.errors import ConfigurationError

SECTIONS = ("tools", "openapi", "mcp", "python")
_PATH = re.compile(r"/(?![/\\])[!-~]*")
_KEYS = {*SECTIONS, "defaults"}
T = TypeVar("T")


def read_tools_file(path: str | None) -> ToolsFile:
    """The catalogue in the file at `path`, or the packaged one. Raises `ConfigurationError` with the file and entry."""
    if path is None:
        packaged = files("frontdesk.agents.tools") / "default_tools.yaml"
        return parse_tools_file(packaged.read_text("utf-8"), name=packaged.name)
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"CHAT_TOOLS_FILE: {path} cannot be read: {error}") from error
    return parse_tools_file(text, name=path)


def parse_tools_file(text: str, *, name: str) -> ToolsFile:
    """`name` is the file's: errors begin with it, and a file that it mentions is looked for beside it."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name}: it is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{name}: it must be a mapping with some of {', '.join(sorted(_KEYS))}")
    if unknown := [key for key in content if key not in _KEYS]:
        raise ConfigurationError(f"{name}: the key {unknown[0]!r} is none of {', '.join(sorted(_KEYS))}")
    return _Reader(name, content).read()


class _Reader:
    def __init__(self, name: str, content: dict[str, Any]) -> None:
        self._name = name
        self._content = content
        self._defaults = entries.Entry()

    def read(self) -> ToolsFile:
        self._defaults = self._one("defaults", entries.Entry, lambda entry: entry) or self._defaults
        file = ToolsFile(
            tools=self._list("tools", entries.ToolEntry, self._tool),
            openapi=self._one("openapi", entries.OpenApiEntry, self._openapi),
            mcp=self._list("mcp", entries.McpEntry, self._mcp),
            python=self._list("python", entries.PythonEntry, self._python),
            order=[section for section in self._content if section in SECTIONS],
        )
        self._require_unique("tools", file.tools)
        self._require_unique("mcp", file.mcp)
        return file

    def _tool(self, entry: entries.ToolEntry) -> DeclaredTool:
        if (entry.http is not None) == entry.client:
            raise ValueError("it needs `http`, or `client: true`, and not both")
        parameters = entry.parameters
        if entry.http is not None:
            parameters = {"additionalProperties": False, **parameters}
        try:
            ArgumentCheck(parameters)
        except ValueError as error:
            raise ValueError(f"parameters: {error}") from error
        call = None if entry.http is None else http_call(entry.http, parameters)
        return DeclaredTool(
            name=entry.name, description=entry.description, parameters=parameters, http=call, **self._common(entry)
        )

    def _openapi(self, entry: entries.OpenApiEntry) -> DeclaredOpenApi:
        _require_one(url=entry.url, file=entry.file)
        if entry.url is not None and not _PATH.fullmatch(entry.url):
            raise ValueError("url: it is a path below API_BASE_URL, such as /openapi.json")
        file = None if entry.file is None else str(Path(self._name).parent / entry.file)
        return DeclaredOpenApi(path=entry.url, file=file, include=entry.include, **self._common(entry))

    def _mcp(self, entry: entries.McpEntry) -> DeclaredMcpServer:
        _require_one(url=entry.url, command=entry.command)
        if entry.url is not None and (entry.args or entry.env):
            raise ValueError("args and env go with a command")
        if entry.url is not None and not entry.url.startswith(("http://", "https://")):
            raise ValueError("url: it begins with http:// or https://")
        return DeclaredMcpServer(
            name=entry.name,
            url=entry.url,
            command=entry.command,
            args=entry.args,
            env=entry.env,
            include=entry.include,
            **self._common(entry),
        )

    def _python(self, entry: entries.PythonEntry) -> DeclaredFunction:
        return DeclaredFunction(function=entry.function, name=entry.name, **self._common(entry))

    def _common(self, entry: entries.Entry) -> dict[str, Any]:
        def choose(name: str, otherwise: Any) -> Any:
            values = (getattr(entry, name), getattr(self._defaults, name), otherwise)
            return next(value for value in values if value is not None)

        return {
            "timeout": float(choose("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)),
            "retry_safe": choose("retry_safe", otherwise=False),
            "requires_approval": choose("requires_approval", otherwise=False),
        }

    def _one(self, section: str, kind: type[T], make: Callable[[T], Any]) -> Any:
        value = self._content.get(section)
        return None if value is None else self._made(section, value, kind, make=make)

    def _list(self, section: str, kind: type[T], make: Callable[[T], Any]) -> list[Any]:
        values = self._content.get(section) or []
        if not isinstance(values, list):
            raise ConfigurationError(f"{self._name}: {section}: it must be a list")
        return [
            self._made(f"{section}[{number}]{_called(value)}", value, kind, make=make)
            for number, value in enumerate(values)
        ]

    def _made(self, place: str, value: Any, kind: type[T], *, make: Callable[[T], Any]) -> Any:
        try:
            return make(msgspec.convert(value, kind))
        except ValueError as error:
            raise ConfigurationError(f"{self._name}: {place}: {error}") from error

    def _require_unique(self, section: str, declared: Sequence[DeclaredTool | DeclaredMcpServer]) -> None:
        seen: set[str] = set()
        for number, one in enumerate(declared):
            if one.name in seen:
                raise ConfigurationError(f"{self._name}: {section}[{number}] ({one.name}): the name is taken already")
            seen.add(one.name)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is not typed
    """Refuses a key that is there twice, which YAML forbids and PyYAML overlooks."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  PyYAML's
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is there twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _called(value: Any) -> str:
    name = None
    if isinstance(value, Mapping):
        name = value.get("name") or value.get("function")
    return f" ({name})" if isinstance(name, str) else ""


def _require_one(**given: object) -> None:
    if sum(value is not None for value in given.values()) != 1:
        raise ValueError(f"it needs one of {', '.join(given)}")
