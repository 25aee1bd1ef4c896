"""The application: its routes, its life, and its description of itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from document_api import problems
from document_api.body_limit import BodyLimit
from document_api.callers import SESSION_HEADER
from document_api.problems import Problem
from document_api.routes import documents, drive, sessions, work
from document_api.schemas import MAX_TEXT, Health
from document_api.services import Services, build
from document_api.settings import Settings

# A character of JSON takes six bytes at most, four of UTF-8.
MAX_BODY_BYTES = 6 * MAX_TEXT + 65_536


class DocumentApi(FastAPI):
    """Its OpenAPI document says how a caller is known: by the session it names, and by the key if there is one."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"].update(schema.pop("$defs"), Problem=schema)
            self._describe_security(document)
        return super().openapi()

    def _describe_security(self, document: dict[str, Any]) -> None:
        schemes = {"session": {"type": "apiKey", "in": "header", "name": SESSION_HEADER}}
        key: dict[str, list[str]] = {}
        if self.state.services.settings.api_key is not None:
            schemes["key"] = {"type": "http", "scheme": "bearer"}
            key = {"key": []}
        document["components"]["securitySchemes"] = schemes
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path.startswith("/api/"):
                    named = operation["operationId"] == "session_events"
                    operation["security"] = [key if named else {"session": [], **key}]


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    services = app.state.services
    await services.database.open()
    await services.jobs.recover()
    yield
    await services.jobs.close()
    await services.database.close()


def create_app(settings: Settings) -> FastAPI:
    app = DocumentApi(
        title="Documents",
        version="1",
        description="Texts, their versions, improvements, publications and exports.",
        lifespan=_life,
        redirect_slashes=False,
        # Those pages fetch their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = build(settings)
    problems.install(app)
    app.add_middleware(BodyLimit, most=MAX_BODY_BYTES)
    for module in (documents, work, drive, sessions):
        app.include_router(module.router, prefix="/api/v1")
    app.add_api_route("/health", _health, operation_id="health", methods=["GET"])
    return app


async def _health(services: Services) -> Health:
    return Health(model_configured=services.settings.model is not None)
