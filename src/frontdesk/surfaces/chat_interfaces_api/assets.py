from typing import Annotated, Self

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from frontdesk.errors import InvalidRequestError
from frontdesk.http.description import failures
from frontdesk.http.parameters import known_id
from frontdesk.http.plain_failures import PlainFailureRoute
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.http.uploads import StreamedBody
from frontdesk.public_chat.interfaces.assets import MOST_BYTES, Asset, AssetKind

router = DeclaredRouter("/chat-interfaces", tag="chat interfaces", route_class=PlainFailureRoute)
_FORM = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": list(AssetKind), "description": "Before the file, or in the query"},
        "file": {"type": "string", "format": "binary"},
    },
    "required": ["file"],
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


class AssetOut(BaseModel):
    """`url` shows the picture to anybody; the interface has it as its `coverValue` or its `iconUrl` now."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "icon",
                    "url": "/api/public/chat-assets/01930000-0000-7000-8000-000000000001",
                    "filename": "icon.png",
                    "size": 2048,
                    "mimeType": "image/png",
                }
            ]
        },
    )

    type: AssetKind
    url: str
    filename: str
    size: int
    mime_type: str

    @classmethod
    def of(cls, asset: Asset) -> Self:
        stored = asset.attachment
        return cls(
            type=asset.kind,
            url=asset.url,
            filename=stored.name,
            size=stored.size or 0,
            mime_type=stored.media_type or "",
        )


@router.post(
    "/{interface_id}/assets",
    status_code=201,
    responses=failures(400, 401, 404, 408, 413, 415, 422, 503, 507),
    openapi_extra=_BODY,
)
async def put_interface_asset(
    request: Request,
    caller: Caller,
    interface_id: Annotated[str, Path()],
    body: StreamedBody,
    kind: Annotated[AssetKind | None, Query(alias="type")] = None,
) -> AssetOut:
    """A cover or an icon: PNG, JPEG, GIF, WebP, AVIF, BMP or ICO of 5 MB at most, in place of the one before."""
    chat = services(request).public_chat
    await chat.interfaces.get(caller, known_id(interface_id))
    part = await body.file(max_bytes=MOST_BYTES)
    chosen = kind or _kind(part.fields.get("type"))
    asset = await chat.assets.receive(caller, interface_id, chosen, name=part.name, chunks=part.chunks)
    return AssetOut.of(asset)


def _kind(text: str | None) -> AssetKind:
    """Raises `InvalidRequestError`."""
    try:
        return AssetKind(text or "")
    except ValueError as error:
        wrong = {"loc": ["body", "type"], "msg": "Input should be 'cover' or 'icon'", "type": "enum"}
        raise InvalidRequestError(errors=[wrong]) from error
