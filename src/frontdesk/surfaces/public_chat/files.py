"""What visitors bring and ask of it, and the pictures of interfaces."""

from typing import Annotated

from fastapi import Header, Path, Query, Request, Response

from frontdesk.errors import NotFoundError
from frontdesk.http.blob_response import BlobResponse
from frontdesk.http.description import failures, problems
from frontdesk.http.parameters import known_id
from frontdesk.http.routing import DeclaredRouter, public
from frontdesk.http.services import services
from frontdesk.http.uploads import StreamedBody
from frontdesk.surfaces.public_chat.file_schemas import QueryIn, ResultOut, ResultsOut, UploadedOut
from frontdesk.surfaces.public_chat.visiting import Visited, visitor_router

router = visitor_router()
assets_router = DeclaredRouter("/public/chat-assets", tag="public chats")
_FORM = {
    "type": "object",
    "properties": {
        "sessionToken": {"type": "string", "description": "Before the file, without the header X-Session-Token"},
        "file": {"type": "string", "format": "binary"},
    },
    "required": ["file"],
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}
_PICTURE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
Token = Annotated[str | None, Header(alias="X-Session-Token", max_length=100)]
TokenInQuery = Annotated[str | None, Query(alias="sessionToken", max_length=100)]


@router.post(
    "/upload",
    status_code=201,
    responses=failures(400, 403, 404, 408, 410, 413, 415, 422, 429, 503, 507),
    openapi_extra=_BODY,
)
async def upload_visitor_file(
    request: Request, visited: Visited, body: StreamedBody, header: Token = None, query: TokenInQuery = None
) -> UploadedOut:
    """Type and size are looked at while it comes. It waits for a message to go with, for a day."""
    uploads = services(request).public_chat.uploads
    part = await body.file(max_bytes=uploads.max_bytes(visited.interface))
    session = await uploads.admit(visited, _named(header, query, part.fields.get("sessionToken")))
    return UploadedOut.of(await uploads.receive(visited, session, name=part.name, chunks=part.chunks))


@router.delete("/upload/{file_id}", status_code=204, responses=failures(403, 404, 410, 422, 503))
async def remove_visitor_file(
    request: Request,
    visited: Visited,
    file_id: Annotated[str, Path()],
    header: Token = None,
    query: TokenInQuery = None,
) -> Response:
    """Of a file that no message has."""
    token = _named(header, query, None)
    await services(request).public_chat.uploads.remove(visited, token, known_id(file_id))
    return Response(status_code=204)


@router.post("/query", responses=failures(400, 403, 404, 408, 410, 413, 422, 429, 503))
async def query_visitor_files(request: Request, visited: Visited, body: QueryIn) -> ResultsOut:
    """What of the session's own files and links is likeliest to answer."""
    queries = services(request).public_chat.queries
    found = await queries.ask(visited, body.session_token, body.query, count=body.top_k)
    return ResultsOut(results=[ResultOut.of(chunk) for chunk in found])


@assets_router.get(
    "/{asset_id}",
    dependencies=[public],
    response_class=Response,
    responses={**problems(404, 422, 503), 200: {"description": "The picture", **_PICTURE}},
)
async def get_chat_asset(request: Request, asset_id: Annotated[str, Path()]) -> Response:
    held = services(request)
    found = await held.public_chat.assets.find(known_id(asset_id))
    response = BlobResponse(
        held.blobs,
        found.key,
        name=found.name,
        media_type=found.media_type or "application/octet-stream",
        wanted=None,
        patience=held.settings.slow_reader_seconds,
    )
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


def _named(*tokens: str | None) -> str:
    """Raises `NotFoundError`: a session that is not named is not there."""
    token = next((token for token in tokens if token), None)
    if token is None:
        raise NotFoundError
    return token
