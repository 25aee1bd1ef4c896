"""Long work on a document. The answer waits for its job; the event feed tells how it goes meanwhile."""

import json
from collections.abc import AsyncIterator
from sqlite3 import Connection
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from document_api import documents
from document_api.callers import Writer, attempt
from document_api.jobs import JobRunner, Order
from document_api.problems import (
    BodyTooLargeError,
    BusyError,
    DocumentsError,
    IdempotencyKeyReusedError,
    InterruptedJobError,
    ModelFailedError,
    ModelNotConfiguredError,
    NotFoundError,
    UnauthenticatedError,
    responses,
)
from document_api.routes.replies import REPLAYED, reply
from document_api.schemas import BlogPost, DocumentId, GenerateBlog, Optimize, Optimized
from document_api.services import Services

router = APIRouter(prefix="/documents/{document_id}", tags=["work"])
WORK = responses(
    UnauthenticatedError,
    NotFoundError,
    IdempotencyKeyReusedError,
    BodyTooLargeError,
    ModelFailedError,
    ModelNotConfiguredError,
    BusyError,
    InterruptedJobError,
)
EVENT_STREAM = "text/event-stream"
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `Accept: text/event-stream`. Events: `delta` {text}, then `result` (the post) or `error`",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    }
}


@router.post("/optimize", operation_id="optimize", response_model=Optimized, responses=WORK)
async def optimize(document_id: DocumentId, body: Optimize, caller: Writer, services: Services) -> Response:
    """Improve a text: clean it, and let the language model rewrite it if asked to. A changed text is a new version."""

    def prepare(connection: Connection) -> Optimize:
        documents.get(connection, caller.session_id, document_id)
        if body.use_model:
            services.model.require()
        return body

    wanted = attempt(caller, f"optimize {document_id}", body)
    job_id, replayed = await services.jobs.accept(wanted, Order("optimize", document_id, prepare))
    job = await services.jobs.outcome(job_id)
    return reply(Optimized.model_validate(job.result), 200, replayed=replayed)


@router.post(
    "/blog", operation_id="generate_blog", status_code=201, response_model=BlogPost, responses={**WORK, **STREAMED}
)
async def generate_blog(
    document_id: DocumentId, body: GenerateBlog, caller: Writer, services: Services, request: Request
) -> Response:
    """Write a blog post from a document's text with the language model. The post is a new document.

    With `Accept: text/event-stream` the post comes as it is written.
    """

    def prepare(connection: Connection) -> GenerateBlog:
        documents.get(connection, caller.session_id, document_id)
        services.model.require()
        return body

    wanted = attempt(caller, f"generate_blog {document_id}", body)
    job_id, replayed = await services.jobs.accept(wanted, Order("generate_blog", document_id, prepare))
    if _wants_stream(request):
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"} | ({REPLAYED: "true"} if replayed else {})
        return StreamingResponse(_stream(services.jobs, job_id), headers=headers, media_type=EVENT_STREAM)
    job = await services.jobs.outcome(job_id)
    return reply(BlogPost.model_validate(job.result), 201, replayed=replayed)


def _wants_stream(request: Request) -> bool:
    """Of JSON and events, the one that is named first."""
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")]
    return next((kind == EVENT_STREAM for kind in accepted if kind in {EVENT_STREAM, "application/json"}), False)


async def _stream(jobs: JobRunner, job_id: str) -> AsyncIterator[bytes]:
    said = False
    async for text in jobs.follow(job_id):
        said = True
        yield _event("delta", json.dumps({"text": text}))
    try:
        job = await jobs.outcome(job_id)
    except DocumentsError as error:
        yield _event("error", error.problem.model_dump_json(exclude_defaults=True))
        return
    post = BlogPost.model_validate(job.result)
    if not said:
        yield _event("delta", json.dumps({"text": post.text}))
    yield _event("result", post.model_dump_json())


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
