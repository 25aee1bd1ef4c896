"""Texts come in, are listed, and leave in other formats."""

import asyncio
from sqlite3 import Connection
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from document_api import documents
from document_api.callers import Attempt, Reader, Writer, attempt
from document_api.exports import MEDIA_TYPES, file_name, render
from document_api.idempotency import once
from document_api.problems import (
    BadVideoError,
    BodyTooLargeError,
    IdempotencyKeyReusedError,
    NotFoundError,
    UnauthenticatedError,
    responses,
)
from document_api.routes.replies import reply
from document_api.schemas import (
    Document,
    DocumentId,
    DocumentKind,
    Documents,
    Format,
    IngestText,
    IngestYoutube,
    Versions,
)
from document_api.services import Services, ServiceSet
from document_api.youtube import canonical

router = APIRouter(prefix="/documents", tags=["documents"])
INGEST = responses(UnauthenticatedError, IdempotencyKeyReusedError, BadVideoError, BodyTooLargeError)
READ = responses(UnauthenticatedError, NotFoundError)
Limit = Annotated[int, Query(ge=1, le=100)]
VersionNumber = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
    }
}


@router.post("/text", operation_id="ingest_text", status_code=201, response_model=Document, responses=INGEST)
async def ingest_text(body: IngestText, caller: Writer, services: Services) -> Response:
    """Store a text as a new document."""
    wanted = attempt(caller, "ingest_text", body)
    return await _ingest(services, wanted, "text", title=body.title, text=body.text, source=None)


@router.post("/youtube", operation_id="ingest_youtube", status_code=201, response_model=Document, responses=INGEST)
async def ingest_youtube(body: IngestYoutube, caller: Writer, services: Services) -> Response:
    """Store the transcript of a video as a new document. Nothing is fetched from YouTube."""
    address = canonical(body.video)
    title = body.title or f"Transcript of {address}"
    wanted = attempt(caller, "ingest_youtube", body)
    return await _ingest(services, wanted, "youtube", title=title, text=body.transcript, source=address)


async def _ingest(
    services: ServiceSet, wanted: Attempt, kind: DocumentKind, *, title: str, text: str, source: str | None
) -> Response:
    def unit(connection: Connection) -> tuple[Document, bool]:
        def effect() -> Document:
            return documents.create(connection, wanted.session_id, kind, title=title, text=text, source=source)

        return once(connection, wanted, Document, effect=effect)

    document, replayed = await services.database.run(unit)
    return reply(document, 201, replayed=replayed)


@router.get("", operation_id="list_documents", responses=READ)
async def list_documents(
    caller: Reader, services: Services, before: Annotated[DocumentId | None, Query()] = None, limit: Limit = 20
) -> Documents:
    """The session's documents, newest first."""
    return await services.database.run(
        lambda connection: documents.list_page(connection, caller.session_id, before=before, limit=limit)
    )


@router.get("/{document_id}/versions", operation_id="document_versions", responses=READ)
async def document_versions(
    document_id: DocumentId, caller: Reader, services: Services, before: VersionNumber = None, limit: Limit = 20
) -> Versions:
    """The versions of a document, newest first."""
    return await services.database.run(
        lambda connection: documents.list_versions(
            connection, caller.session_id, document_id, before=before, limit=limit
        )
    )


@router.get(
    "/{document_id}/exports",
    operation_id="document_exports",
    response_class=Response,
    responses={**READ, **EXPORTED},
)
async def document_exports(
    document_id: DocumentId,
    caller: Reader,
    services: Services,
    format: Format = "markdown",  # noqa: A002  the name on the wire
    version: VersionNumber = None,
) -> Response:
    """A document as a file: Markdown, HTML or Word. The latest version, unless another is asked for."""

    def unit(connection: Connection) -> tuple[Document, str]:
        document = documents.get(connection, caller.session_id, document_id)
        return document, documents.get_text(connection, caller.session_id, document_id, version=version)

    document, text = await services.database.run(unit)
    content = await asyncio.to_thread(render, document.title, text, format)
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(document.title, document_id, format)}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, headers=headers, media_type=MEDIA_TYPES[format])
