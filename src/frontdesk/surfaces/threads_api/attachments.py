from typing import Annotated

from fastapi import Depends, Path, Request

from frontdesk.attachments.models import Attachment, owner_of
from frontdesk.attachments.service import FileDraft
from frontdesk.http.description import problems
from frontdesk.http.parameters import known_id
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.http.uploads import StreamedBody
from frontdesk.identity.principal import Principal
from frontdesk.surfaces.threads_api.attachment_schemas import AnnouncedOut, AttachmentOut, FileIn

router = DeclaredRouter("/attachments", tag="attachments")
_FORM = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}},
    "required": ["file"],
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}
_BRINGING = problems(400, 401, 408, 413, 415, 422, 503, 507)


async def _attachment_id(attachment_id: Annotated[str, Path()]) -> str:
    return known_id(attachment_id)


AttachmentId = Annotated[str, Depends(_attachment_id)]


@router.post("", status_code=201, response_model=AttachmentOut, responses=_BRINGING, openapi_extra=_BODY)
async def upload(request: Request, caller: Caller, body: StreamedBody) -> object:
    held = services(request)
    part = await body.file(max_bytes=held.settings.upload_max_bytes)
    return await _shown(request, await held.attachments.receive(_draft(request, caller, part.name), part.chunks))


@router.post("/uploads", status_code=201, response_model=AnnouncedOut, responses=problems(400, 401, 413, 422, 503))
async def announce(request: Request, caller: Caller, body: FileIn) -> object:
    attachment, link = await services(request).attachments.announce(_draft(request, caller, body.name))
    shown = await _shown(request, attachment)
    return AnnouncedOut(**shown.model_dump(), upload_url=link.url, upload_headers=dict(link.headers))


@router.post(
    "/{attachment_id}/complete",
    response_model=AttachmentOut,
    responses={**_BRINGING, **problems(404, 409)},
)
async def complete(request: Request, caller: Caller, attachment_id: AttachmentId) -> object:
    return await _shown(request, await services(request).attachments.complete(owner_of(caller), attachment_id))


@router.get("/{attachment_id}", response_model=AttachmentOut, responses=problems(401, 404, 422, 503))
async def get_attachment(request: Request, caller: Caller, attachment_id: AttachmentId) -> object:
    return await _shown(request, await services(request).attachments.get(owner_of(caller), attachment_id))


@router.delete("/{attachment_id}", status_code=204, responses=problems(401, 404, 422, 503))
async def delete_attachment(request: Request, caller: Caller, attachment_id: AttachmentId) -> None:
    await services(request).attachments.delete(owner_of(caller), attachment_id)


def _draft(request: Request, caller: Principal, name: str) -> FileDraft:
    settings = services(request).settings
    return FileDraft(
        owner=owner_of(caller),
        name=name,
        folder=f"attachments/{caller.id}",
        max_bytes=settings.upload_max_bytes,
        allowed=settings.upload_media_types,
    )


async def _shown(request: Request, attachment: Attachment) -> AttachmentOut:
    url = await services(request).attachments.download_url(attachment)
    return AttachmentOut(
        id=attachment.id,
        state=attachment.state,
        name=attachment.name,
        media_type=attachment.media_type,
        size=attachment.size,
        sha256=attachment.sha256,
        created_at=attachment.created_at,
        download_url=url,
    )
