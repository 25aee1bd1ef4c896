"""Addresses at which a browser may show the images that somebody sent: it sends no secret for them.

An address is the same all day (UTC), so that an item looks the same in every page of its thread, and holds until the
end of the next. It leads to the file where the store has it, and nowhere once the file is gone.
"""

from datetime import datetime
from typing import Annotated

from fastapi import Query, Request, Response
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse

from frontdesk.attachments.models import Owner, OwnerKind, owner_of
from frontdesk.errors import (
    AttachmentNotUploadedError,
    BadLinkError,
    FileTooLargeError,
    FileTypeNotAllowedError,
    LinkExpiredError,
    NotFoundError,
)
from frontdesk.http.addresses import public_origin
from frontdesk.http.description import problems
from frontdesk.http.routing import DeclaredRouter, public
from frontdesk.http.services import Services, services
from frontdesk.identity.principal import Principal
from frontdesk.kit.signing import Signer

# What every browser shows as a picture, and nothing else: no SVG, which can be more.
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_DAY = 24 * 60 * 60
_DAYS = 2
_LONGEST = 200
router = DeclaredRouter("/chatkit/images", tag="chatkit")
Text = Annotated[str, Query(max_length=_LONGEST)]


class ImageLinks:
    """Of one user's files; `place` is where `show` is to be found."""

    def __init__(self, place: str, owner: Owner, signer: Signer, *, now: datetime) -> None:
        self._place = place
        self._owner = f"{owner.kind.value}.{owner.id}"
        self._signer = signer
        self._expires = str((int(now.timestamp()) // _DAY + _DAYS) * _DAY)

    def link(self, attachment_id: str) -> str:
        signature = self._signer.sign(attachment_id, self._owner, self._expires)
        return f"{self._place}/{attachment_id}?owner={self._owner}&expires={self._expires}&signature={signature}"

    def kind(self, attachment_id: str, media_type: str) -> dict[str, str]:
        """What makes an attachment of the protocol an image or a file."""
        if media_type.lower() in SHOWN:
            return {"type": "image", "preview_url": self.link(attachment_id)}
        return {"type": "file"}


def image_links(request: HTTPConnection, caller: Principal) -> ImageLinks:
    """Those of the caller, as browsers reach this server."""
    held = services(request)
    place = f"{public_origin(request, held.settings)}{held.settings.api_prefix}{router.prefix}"
    return ImageLinks(place, owner_of(caller), _signer(held), now=held.clock.now())


@router.get(
    "/{attachment_id}",
    dependencies=[public],
    status_code=302,
    response_class=Response,
    responses={**problems(403, 404, 422, 503), 302: {"description": "Where the image is"}},
)
async def show(request: Request, attachment_id: str, owner: Text, expires: Text, signature: Text) -> Response:
    """One that was put in its place and not yet sent is looked at first."""
    held = services(request)
    if not _signer(held).verify(signature, attachment_id, owner, expires):
        raise BadLinkError
    if int(expires) < held.clock.now().timestamp():
        raise LinkExpiredError
    kind, _, owner_id = owner.partition(".")
    try:
        attachment = await held.attachments.complete(Owner(kind=OwnerKind(kind), id=owner_id), attachment_id)
    except (AttachmentNotUploadedError, FileTooLargeError, FileTypeNotAllowedError) as error:
        raise NotFoundError from error
    url = await held.attachments.download_url(attachment)
    if url is None or attachment.media_type not in SHOWN:
        raise NotFoundError
    return RedirectResponse(url, 302, {"Cache-Control": "private, no-store"})


def _signer(held: Services) -> Signer:
    return Signer(held.settings.jwt_secret_key.get_secret_value().encode(), purpose="images of the widget")
