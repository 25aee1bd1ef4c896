from collections.abc import Callable, Coroutine
from gzip import compress
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Path, Request
from starlette.responses import RedirectResponse, Response

from frontdesk.errors import FrontdeskError, NotFoundError, UnavailableError
from frontdesk.http.routing import DeclaredRoute, DeclaredRouter, public
from frontdesk.http.services import services
from frontdesk.identity.users.service import UserService
from frontdesk.public_chat.interfaces.models import ChatInterface
from frontdesk.public_chat.interfaces.origins import frame_ancestors
from frontdesk.surfaces.pages.documents import UNFRAMED, Page, document, notice, script_json
from frontdesk.surfaces.public_chat.schemas import PublicInterfaceOut
from frontdesk.surfaces.public_chat.visiting import PREFIX
from frontdesk.surfaces.threads_api.sharing_schemas import UNLISTED, SnapshotOut

_CHAT = "page/main.ts"
_CONSOLE = "console/main.ts"
_SHARED = "shared/main.ts"
_CONSOLE_PATH = "/console/"
_LOADER = "widget.js"
_PLACE = '"__FRONTDESK_WIDGET__"'
_ANYBODY = "frame-ancestors *"  # of a notice, which nobody gains anything by framing
_EMBED = "/embed/"
Slug = Annotated[str, Path(max_length=64)]


class PageRoute(DeclaredRoute):
    """A failure is a page, too, for those who ask for pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except FrontdeskError as error:
                if not _is_browser(request):
                    raise
                ancestors = _ANYBODY if request.url.path.startswith(_EMBED) else UNFRAMED
                return notice(
                    error.status, title=error.title, detail=error.detail, headers=error.headers, ancestors=ancestors
                )

        return answered


router = DeclaredRouter("", tag="pages", route_class=PageRoute, dependencies=[public], is_described=False)


@router.get("/c/{slug}")
async def chat_page(request: Request, slug: Slug) -> Response:
    interface = await _interface(request, slug)
    return _chat(request, interface, kind="page", ancestors=UNFRAMED)


@router.get("/embed/{slug}")
async def chat_in_frame(request: Request, slug: Slug) -> Response:
    interface = await _interface(request, slug)
    return _chat(request, interface, kind="embed", ancestors=frame_ancestors(interface.allowed_origins))


@router.get("/widget/{slug}.js")
async def widget(request: Request, slug: Slug) -> Response:
    """The loader with what it shows before the chat is opened."""
    interface = await _interface(request, slug)
    script = services(request).built.text(_LOADER).replace(_PLACE, script_json(script_json(_bubble(interface))))
    headers = {
        "Cache-Control": "public, max-age=60, stale-while-revalidate=600",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Accept-Encoding",
    }
    content = script.encode()
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = compress(content, mtime=0), "gzip"
    return Response(content, headers=headers, media_type="text/javascript; charset=utf-8")


@router.get("/")
async def home(request: Request) -> Response:
    """Leads people on; to programs there is nothing here."""
    if not _is_browser(request):
        raise NotFoundError
    return RedirectResponse(_CONSOLE_PATH)


@router.get("/console/{path:path}")
async def console(request: Request, path: Annotated[str, Path()]) -> Response:  # noqa: ARG001  its script knows which
    held = services(request)
    models = [name for each in held.settings.fallback_models.split(",") if (name := each.strip())]
    page = Page(
        head=held.built.head(_CONSOLE),
        lang="en",
        title="Frontdesk",
        description="",
        given={"root": held.settings.api_prefix, "fallbackModels": models, "isNew": await _is_new(held.users)},
    )
    return document(page, ancestors=UNFRAMED)


@router.get("/s/{token}")
async def shared_thread(request: Request, token: Annotated[str, Path()]) -> Response:
    """With the thread in it, so that nothing else has to be asked."""
    held = services(request)
    shared = SnapshotOut.model_validate(await held.sharing.read(token))
    page = Page(
        head=held.built.head(_SHARED),
        lang="en",
        title=shared.title or "Frontdesk",
        description="",
        given=shared.model_dump(mode="json"),
    )
    response = document(page, ancestors=UNFRAMED)
    response.headers.update(UNLISTED)
    return response


@router.get("/chat-interfaces/{interface_id}/preview")
async def preview(interface_id: Annotated[str, Path(max_length=64)]) -> Response:
    """How a chat will look, which the console shows to its owner."""
    return RedirectResponse(f"{_CONSOLE_PATH}interfaces/{quote(interface_id, safe='')}/preview")


@router.get("/assets/{name}")
async def asset(request: Request, name: Annotated[str, Path(max_length=200)]) -> Response:
    return services(request).built.response(request, name)


async def _is_new(users: UserService) -> bool:
    """Whether somebody has to make the first account."""
    try:
        return await users.is_empty()
    except UnavailableError:
        return False


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


async def _interface(request: Request, slug: str) -> ChatInterface:
    """Raises `NotFoundError`, `UnavailableError`."""
    return (await services(request).public_chat.published.get(slug)).interface


def _chat(request: Request, interface: ChatInterface, *, kind: str, ancestors: str) -> Response:
    held = services(request)
    shown = PublicInterfaceOut.model_validate(interface).model_dump(by_alias=True, mode="json")
    covers = [interface.cover_value] if interface.cover_type == "image" else []
    page = Page(
        head=held.built.head(_CHAT),
        lang=interface.locale,
        title=interface.title or interface.name,
        description=interface.description,
        given={"kind": kind, "root": f"{held.settings.api_prefix}{PREFIX}{interface.slug}", "interface": shown},
        images=[*covers, interface.icon_url or ""],
    )
    return document(page, ancestors=ancestors)


def _bubble(interface: ChatInterface) -> dict[str, Any]:
    return {
        "slug": interface.slug,
        "title": interface.title or "Chat",
        "color": interface.primary_color,
        "radius": interface.border_radius,
        "position": interface.widget_position,
        "icon": interface.widget_button_icon,
        "text": interface.widget_button_text,
        "isOpen": interface.widget_initial_state == "expanded",
        "locale": interface.locale,
    }
