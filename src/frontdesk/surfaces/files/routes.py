from typing import Annotated

from fastapi import Header, Path, Request, Response

from frontdesk.http.blob_response import BlobResponse, parse_range
from frontdesk.http.description import problems
from frontdesk.http.routing import DeclaredRouter, public
from frontdesk.http.services import services
from frontdesk.http.uploads import StreamedBody
from frontdesk.ports.blob_store import KEY_LENGTH

router = DeclaredRouter("/blobs", tag="files")
BlobKey = Annotated[str, Path(max_length=KEY_LENGTH)]
_FILE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/{key:path}",
    dependencies=[public],
    response_class=Response,
    responses={
        **problems(403, 404, 416, 422, 503),
        200: {"description": "The file", **_FILE},
        206: {"description": "A part of the file", **_FILE},
    },
)
async def download(
    request: Request, key: BlobKey, wanted: Annotated[str | None, Header(alias="Range", max_length=100)] = None
) -> Response:
    held = services(request)
    link = held.blob_links.read_download(key, request.query_params)
    return BlobResponse(
        held.blobs,
        link.key,
        name=link.name,
        media_type=link.media_type,
        wanted=parse_range(wanted),
        patience=held.settings.slow_reader_seconds,
    )


@router.put(
    "/{key:path}", status_code=204, dependencies=[public], responses=problems(400, 403, 408, 413, 422, 503, 507)
)
async def upload(request: Request, key: BlobKey, body: StreamedBody) -> None:
    held = services(request)
    link = held.blob_links.read_upload(key, request.query_params)
    with held.attachments.one_more():
        await held.blobs.put(link.key, body.raw(max_bytes=link.max_bytes), max_bytes=link.max_bytes)
