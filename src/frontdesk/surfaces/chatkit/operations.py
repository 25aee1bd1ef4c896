"""The requests that are answered at once."""

import asyncio
import base64
import binascii
from urllib.parse import urljoin

from chatkit import types
from starlette.requests import Request

from frontdesk.attachments.models import owner_of
from frontdesk.attachments.service import FileDraft
from frontdesk.conversation.feed import AnswerReader
from frontdesk.conversation.messages.models import FeedbackKind
from frontdesk.conversation.threads.models import TITLE_LENGTH
from frontdesk.errors import NotConfiguredError
from frontdesk.http.addresses import public_origin
from frontdesk.http.admission import waiting_elsewhere
from frontdesk.http.parameters import known_id
from frontdesk.http.services import Services, services
from frontdesk.identity.principal import Principal
from frontdesk.kit.paging import Page
from frontdesk.kit.time_limit import not_counted
from frontdesk.surfaces.chatkit.answers import STOP, Answers
from frontdesk.surfaces.chatkit.course import Json
from frontdesk.surfaces.chatkit.encoding import AnswerEncoder
from frontdesk.surfaces.chatkit.images import image_links
from frontdesk.surfaces.chatkit.items import DEFAULT_LIMIT, MAX_LIMIT, Items, message_id_of, thread_of
from frontdesk.surfaces.chatkit.reading import UntilWaiting
from frontdesk.surfaces.chatkit.requests import BadChatRequestError

_MOST_JUDGED = 100
_ACTION_SECONDS = 30.0
_POLL_SECONDS = 1.0


class Operations:
    """Of one request, on behalf of `caller`; each gives what is to be answered."""

    def __init__(self, request: Request, caller: Principal) -> None:
        self._request = request
        self._caller = caller
        self._held: Services = services(request)
        self._images = image_links(request, caller)
        self._items = Items(self._held.history, self._images)

    async def get_thread(self, asked: types.ThreadsGetByIdReq) -> Json:
        thread, page = await self._items.page(
            self._caller, asked.params.thread_id, after=None, limit=None, is_ascending=True
        )
        return thread_of(thread, page)

    async def list_threads(self, asked: types.ThreadsListReq) -> Json:
        params = asked.params
        size = _limit(params.limit)
        found, _ = await self._held.threads.list_threads(
            self._caller,
            Page(limit=size + 1, after=params.after),
            include_deleted=False,
            is_ascending=params.order == "asc",
        )
        shown, has_more = found[:size], len(found) > size
        after = {"after": shown[-1].id} if has_more else {}
        return {"data": [thread_of(thread) for thread in shown], "has_more": has_more, **after}

    async def list_items(self, asked: types.ItemsListReq) -> Json:
        params = asked.params
        _, page = await self._items.page(
            self._caller,
            params.thread_id,
            after=params.after,
            limit=_limit(params.limit),
            is_ascending=params.order == "asc",
        )
        return page

    async def change_thread(self, asked: types.ThreadsUpdateReq) -> Json:
        title = asked.params.title
        if len(title) > TITLE_LENGTH:
            raise BadChatRequestError(f"A title has at most {TITLE_LENGTH} characters")
        return thread_of(await self._held.threads.change(self._caller, asked.params.thread_id, {"title": title}))

    async def delete_thread(self, asked: types.ThreadsDeleteReq) -> Json:
        await self._held.threads.delete(self._caller, asked.params.thread_id, purge=False)
        return {}

    async def judge(self, asked: types.ItemsFeedbackReq) -> Json:
        params = asked.params
        if len(params.item_ids) > _MOST_JUDGED:
            raise BadChatRequestError(f"At most {_MOST_JUDGED} items can be judged at once")
        await self._held.history.get_thread(self._caller, params.thread_id)
        for message_id in dict.fromkeys(map(message_id_of, params.item_ids)):
            await self._held.messages.judge(
                self._caller, params.thread_id, message_id, kind=FeedbackKind(params.kind), comment=None
            )
        return {}

    async def transcribe(self, asked: types.InputTranscribeReq) -> Json:
        try:
            audio = base64.b64decode(asked.params.audio_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadChatRequestError("params.audio_base64 is not base64") from error
        media_type = asked.params.mime_type.partition(";")[0].strip().lower()
        if not audio or not media_type.startswith("audio/") or not media_type.isascii():
            raise BadChatRequestError("There is no audio")
        if self._held.transcriber is None:
            raise NotConfiguredError("Speech is not transcribed here: CHAT_TRANSCRIPTION_MODEL is not set")
        with not_counted(), waiting_elsewhere(self._request):
            return {"text": await self._held.transcriber.transcribe(audio, media_type=media_type)}

    async def act(self, asked: types.ThreadsSyncCustomActionReq) -> Json:
        """The sender as it is when the agent has dealt with the action, if it has changed within `_ACTION_SECONDS`."""
        params = asked.params
        if params.action.type == STOP:
            await self._held.conversation.stop_all(self._caller, params.thread_id)
            return {}
        place = await Answers(self._request, self._caller).begin_action(params)
        encoder = AnswerEncoder(place)
        reader = await self._held.feed.join(place.thread_id, place.execution_id)
        with not_counted(), waiting_elsewhere(self._request):
            await _read(reader, encoder)
        changed = encoder.course.changed
        item = changed.get(params.item_id or "") or next(iter(changed.values()), None)
        return {} if item is None else {"updated_item": item}

    async def announce_attachment(self, asked: types.AttachmentsCreateReq) -> Json:
        """Where the client puts the file, which is looked at when a message comes with it."""
        params, settings = asked.params, self._held.settings
        if not 0 <= params.size <= settings.upload_max_bytes:
            raise BadChatRequestError(f"A file may have at most {settings.upload_max_bytes} bytes")
        draft = FileDraft(
            owner=owner_of(self._caller),
            name=params.name,
            folder=f"attachments/{self._caller.id}",
            max_bytes=settings.upload_max_bytes,
            allowed=settings.upload_media_types,
        )
        attachment, link = await self._held.attachments.announce(draft)
        url = urljoin(f"{public_origin(self._request, settings)}/", link.url)
        descriptor = {"url": url, "method": "PUT", "headers": dict(link.headers)}
        shown = {"id": attachment.id, "name": attachment.name, "mime_type": params.mime_type}
        return {**self._images.kind(attachment.id, params.mime_type), **shown, "upload_descriptor": descriptor}

    async def delete_attachment(self, asked: types.AttachmentsDeleteReq) -> Json:
        await self._held.attachments.delete(owner_of(self._caller), known_id(asked.params.attachment_id))
        return {}


def _limit(limit: int | None) -> int:
    if limit is not None and limit < 1:
        raise BadChatRequestError("params.limit must be at least 1")
    return min(limit or DEFAULT_LIMIT, MAX_LIMIT)


async def _read(reader: AnswerReader, encoder: AnswerEncoder) -> None:
    """To the end of the answer, or until it waits, or the time is over."""
    following, woken = UntilWaiting(reader, encoder), asyncio.Event()
    following.on_ready(woken.set)
    try:
        async with asyncio.timeout(_ACTION_SECONDS):
            while not following.ended:
                encoder.encode(following.take())
                if following.more or following.ended:
                    continue
                await following.look_around()
                await _wait(woken)
    except TimeoutError:
        return
    finally:
        following.close()


async def _wait(woken: asyncio.Event) -> None:
    """For the next event, or to look around again."""
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            await woken.wait()
    except TimeoutError:
        return
    woken.clear()
