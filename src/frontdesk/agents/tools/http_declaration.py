"""Turns what the file says of a request into where each argument goes, and refuses what could not be sent."""

import re
from collections.abc import Mapping
from typing import Any

from frontdesk.agents.tools.declarations import HttpCall
from frontdesk.agents.tools.file_entries import HttpEntry, Placed

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_IN_QUERY = ("GET", "DELETE")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")


def http_call(entry: HttpEntry, parameters: Mapping[str, Any]) -> HttpCall:
    """Arguments that the entry does not place go to the query of a GET or DELETE and into the body of any other.

    Raises `ValueError` with what is wrong.
    """
    if entry.method not in METHODS:
        raise ValueError(f"http.method: {entry.method!r} is none of {', '.join(METHODS)}")
    placeholders = path_placeholders(entry.path)
    path = _placed(entry.path_arguments) or {name: name for name in placeholders}
    query, body = _placed(entry.query), _placed(entry.body)
    if sorted(path.values()) != sorted(placeholders):
        raise ValueError(f"http.path_arguments: they are {_names(path.values())}, the path has {_names(placeholders)}")
    _require_known({"path": path, "query": query, "body": body}, parameters)
    left = {name: name for name in parameters.get("properties", {}) if name not in {*path, *query, *body}}
    if entry.method in _IN_QUERY:
        query = query | left
    else:
        body = body | left
    if body and entry.method == "GET":
        raise ValueError("http.body: a GET has none")
    return HttpCall(
        method=entry.method, path=entry.path, path_arguments=path, query=query, body=body, stream=entry.stream
    )


def path_placeholders(path: str) -> list[str]:
    """The placeholders of a path template. Each is a whole segment. Raises `ValueError` for what is no path."""
    if not path.startswith("/"):
        raise ValueError("http.path: it begins with /")
    segments = path[1:].removesuffix("/").split("/")
    placeholders = []
    for segment in segments if path != "/" else []:
        if match := _PLACEHOLDER.fullmatch(segment):
            placeholders.append(match[1])
        elif segment in {".", ".."} or not _LITERAL.fullmatch(segment):
            raise ValueError(f"http.path: the segment {segment!r} is neither a plain one nor a placeholder")
    if len(set(placeholders)) < len(placeholders):
        raise ValueError("http.path: a placeholder is there twice")
    return placeholders


def _require_known(placed: Mapping[str, Mapping[str, str]], parameters: Mapping[str, Any]) -> None:
    seen: set[str] = set()
    for place, arguments in placed.items():
        if unknown := [name for name in arguments if name not in parameters.get("properties", {})]:
            raise ValueError(f"http.{place}: {_names(unknown)} is not in parameters.properties")
        if twice := [name for name in arguments if name in seen]:
            raise ValueError(f"http.{place}: {_names(twice)} is placed already")
        seen.update(arguments)
    if optional := [name for name in placed["path"] if name not in parameters.get("required", [])]:
        raise ValueError(f"http.path: {_names(optional)} must be in parameters.required")


def _placed(entry: Placed) -> dict[str, str]:
    return dict(entry) if isinstance(entry, dict) else {name: name for name in entry}


def _names(names: Any) -> str:
    return ", ".join(names) or "none"
