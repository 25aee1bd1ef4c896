"""Makes tools of the operations of an OpenAPI document (3.0 and 3.1).

The parameters of an operation's path and query and the members of its JSON body become the arguments of one tool, side
by side. Of two with one name the path's keeps it, then the query's; the other's is `query_NAME` or `body_NAME`. A body
that is not a plain object is one argument, `body`.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from frontdesk.adapters.tool_source.openapi_schemas import SchemaCopier, dereferenced
from frontdesk.agents.tools.arguments import ArgumentCheck
from frontdesk.agents.tools.declarations import DeclaredOpenApi, DeclaredTool, HttpCall
from frontdesk.agents.tools.http_declaration import METHODS, path_placeholders
from frontdesk.ports.tool_source import LeftOut

MAX_OPERATIONS = 1_000
MAX_DESCRIPTION = 4_000
_STREAMS = ("text/event-stream", "application/x-ndjson")
_PLAIN_BODY = {"type", "properties", "required", "additionalProperties", "title", "description", "example", "examples"}


class OpenApiError(ValueError):
    """What is wrong with a document."""


def openapi_tools(document: Any, declared: DeclaredOpenApi) -> tuple[list[DeclaredTool], list[LeftOut]]:
    """The document's tools that `declared` includes, and those that cannot be ones. Raises `OpenApiError`."""
    version = document.get("openapi") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith(("3.0", "3.1")):
        raise OpenApiError("it is not an OpenAPI document of version 3.0 or 3.1")
    tools: dict[str, DeclaredTool] = {}
    left_out: list[LeftOut] = []
    for number, (method, path, item) in enumerate(_operations(document)):
        name = _name(method, path, item[method])
        if not any(fnmatchcase(name, pattern) for pattern in declared.include):
            continue
        try:
            if name in tools or number >= MAX_OPERATIONS:
                raise OpenApiError("another operation has this name" if name in tools else "there are too many")
            tools[name] = _Operation(document, method, path, item=item).tool(name, declared)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"it is malformed: {error!r}"
            left_out.append(LeftOut(name=name, reason=reason))
    return list(tools.values()), left_out


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    paths = document.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        for method in METHODS:
            if isinstance(item, dict) and isinstance(item.get(method.lower()), dict):
                yield method.lower(), str(path), item


def _name(method: str, path: str, operation: Mapping[str, Any]) -> str:
    stated = operation.get("operationId") or f"{method}_{path.strip('/')}"
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(stated)).strip("_")[:64]


class _Operation:
    def __init__(self, document: Mapping[str, Any], method: str, path: str, *, item: Mapping[str, Any]) -> None:
        self._document = document
        self._method = method.upper()
        self._path = path
        self._item = item
        self._operation: Mapping[str, Any] = item[method]
        self._copier = SchemaCopier(document)
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []

    def tool(self, name: str, declared: DeclaredOpenApi) -> DeclaredTool:
        call = self._call()
        parameters: dict[str, Any] = {
            "type": "object",
            "properties": self._properties,
            "required": self._required,
            "additionalProperties": False,
        }
        if self._copier.definitions:
            parameters["$defs"] = self._copier.definitions
        ArgumentCheck(parameters)
        return DeclaredTool(
            name=name,
            description=self._description() or name,
            parameters=parameters,
            http=call,
            timeout=declared.timeout,
            retry_safe=declared.retry_safe or self._method == "GET",
            requires_approval=declared.requires_approval,
        )

    def _call(self) -> HttpCall:
        placed: dict[str, dict[str, str]] = {"path": {}, "query": {}}
        for parameter in sorted(self._parameters(), key=lambda one: one["in"] != "path"):
            argument = self._take(parameter["name"], parameter["in"], self._parameter_schema(parameter))
            placed[parameter["in"]][argument] = parameter["name"]
            if parameter["in"] == "path" or parameter.get("required"):
                self._required.append(argument)
        if set(path_placeholders(self._path)) != set(placed["path"].values()):
            raise OpenApiError("its path parameters are not those of its path")
        body, whole_body = self._body()
        return HttpCall(
            method=self._method,
            path=self._path,
            path_arguments=placed["path"],
            query=placed["query"],
            body=body,
            whole_body=whole_body,
            stream=self._streams(),
        )

    def _parameters(self) -> list[dict[str, Any]]:
        """Those of path and query, the operation's before the path's of the same name."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for part in (self._item, self._operation):
            for stated in part.get("parameters") or []:
                parameter = dereferenced(self._document, stated)
                found[parameter["in"], parameter["name"]] = parameter
        for (place, name), parameter in found.items():
            if place not in {"path", "query"} and parameter.get("required"):
                raise OpenApiError(f"it needs the {place} parameter {name}")
        return [parameter for (place, _), parameter in found.items() if place in {"path", "query"}]

    def _parameter_schema(self, parameter: Mapping[str, Any]) -> Any:
        usual = {"path": "simple", "query": "form"}[parameter["in"]]
        if parameter.get("style", usual) != usual or parameter.get("explode") not in {None, parameter["in"] == "query"}:
            raise OpenApiError(f"the style of the parameter {parameter['name']} is not supported")
        schema = parameter.get("schema")
        if schema is None:
            schema = next((media.get("schema") for media in parameter.get("content", {}).values()), None)
        copied = self._copier.copy({} if schema is None else schema)
        if parameter.get("description") and isinstance(copied, dict):
            copied.setdefault("description", parameter["description"])
        return copied

    def _body(self) -> tuple[dict[str, str], str | None]:
        """The arguments that are members of the body, or the one that is the body."""
        stated = dereferenced(self._document, self._operation.get("requestBody"))
        if not stated:
            return {}, None
        media = next((one for kind, one in stated.get("content", {}).items() if _is_json(kind)), None)
        is_required = bool(stated.get("required"))
        if media is None:
            if is_required:
                raise OpenApiError("its body is not JSON")
            return {}, None
        schema = dereferenced(self._document, media.get("schema") or {})
        if schema.get("type") != "object" or not schema.get("properties") or set(schema) - _PLAIN_BODY:
            argument = self._take("body", "body", self._copier.copy(schema))
            if is_required:
                self._required.append(argument)
            return {}, argument
        members = {}
        for name, member in schema["properties"].items():
            argument = self._take(name, "body", self._copier.copy(member))
            members[argument] = name
            if is_required and name in schema.get("required", []):
                self._required.append(argument)
        return members, None

    def _take(self, name: str, place: str, schema: Any) -> str:
        """The argument's name."""
        argument = name if name not in self._properties else f"{place}_{name}"
        if argument in self._properties:
            raise OpenApiError(f"two of its arguments would be {argument}")
        self._properties[argument] = schema
        return argument

    def _streams(self) -> bool:
        responses = (self._operation.get("responses") or {}).items()
        content = [
            dereferenced(self._document, one).get("content") or {} for code, one in responses if str(code)[0] == "2"
        ]
        return any(kind.partition(";")[0] in _STREAMS for kinds in content for kind in kinds)

    def _description(self) -> str:
        texts = (self._operation.get("summary"), self._operation.get("description"))
        return "\n".join(text for text in texts if isinstance(text, str) and text)[:MAX_DESCRIPTION]


def _is_json(kind: str) -> bool:
    media_type = kind.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")
