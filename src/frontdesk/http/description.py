"""The OpenAPI document as this program answers: failures are problem documents, described once."""

from typing import Any

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from frontdesk.http.plain_failures import Failure
from frontdesk.http.problems import MEDIA_TYPE, Problem
from frontdesk.http.routing import INTERNAL

_SCHEMAS = "#/components/schemas/"
_TEXT = {"schema": {"type": "string"}}
_SECONDS = {"description": "Seconds to wait", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
_WAYS: dict[str, list[dict[str, list[str]]]] = {
    "public": [],
    "visitor": [],
    "user or nobody": [{}, {"user": []}],
    "user or visitor": [{}, {"user": []}],
    "operator": [{}, {"operator": []}],
    "internal or user": [{"internal": []}, {"user": []}],
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "The scheme (RFC 6750)", "required": True, **_TEXT}},
    429: {
        "Retry-After": {"required": True, **_SECONDS},
        "RateLimit": {"description": "What is left of the limit", "required": True, **_TEXT},
        "RateLimit-Policy": {"description": "The limit", "required": True, **_TEXT},
    },
    503: {"Retry-After": _SECONDS},
}


class DescribedAPI(FastAPI):
    """Redirects nothing: where to would be the Host header's word."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(redirect_slashes=False, docs_url=None, redoc_url=None, **settings)

    def build_middleware_stack(self) -> ASGIApp:
        """Without the framework's answer to what breaks, which comes before the edge's."""
        outermost = super().build_middleware_stack()
        return outermost.app if isinstance(outermost, ServerErrorMiddleware) else outermost

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            components = super().openapi()["components"]
            schema = Problem.model_json_schema(ref_template=_SCHEMAS + "{model}")
            components["schemas"].update(schema.pop("$defs"), Problem=schema)
            _describe_security(super().openapi())
        return super().openapi()


def _describe_security(document: dict[str, Any]) -> None:
    """What the framework takes for schemes of their own are ways to do without one."""
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        (declared,) = operation["security"]
        operation["security"] = _WAYS.get(next(iter(declared)), [declared])
    schemes = document["components"]["securitySchemes"]
    schemes["internal"] = INTERNAL.model.model_dump(by_alias=True, exclude_none=True, mode="json")
    for name in _WAYS.keys() - {"operator"}:
        schemes.pop(name, None)


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """As `problems`, of a surface with plain failures."""
    return {
        status: {"model": Failure, "headers": _HEADERS.get(status, {}), "description": "A failure"}
        for status in statuses
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the failures that a route can answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}}
    return {
        status: {"description": "A problem document", "headers": _HEADERS.get(status, {}), "content": content}
        for status in statuses
    }
