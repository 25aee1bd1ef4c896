"""Threads as records: making, finding, changing and erasing them, and what a provider keeps about them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from frontdesk.attachments import repository as attachments
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.models import ProviderThread, Thread
from frontdesk.database import Database
from frontdesk.database.idempotency import IdempotencyKey, Once, forget_results, once
from frontdesk.errors import NotFoundError
from frontdesk.identity import access
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.kit.merge_patch import merge_patch
from frontdesk.kit.paging import Page
from frontdesk.ports.thread_log import ThreadLog
from frontdesk.retrieval import outbox

_EXPORT_PAGE = 500
StopAnswers = Callable[[Principal, str], Awaitable[None]]


def new_thread(
    principal: Principal, *, title: str | None, summary: str | None, metadata: dict[str, Any], now: datetime
) -> Thread:
    """An empty thread of the principal's."""
    return Thread(
        id=new_id(),
        user_id=principal.id,
        title=title,
        summary=summary,
        metadata=metadata,
        is_deleted=False,
        created_at=now,
        updated_at=now,
        last_message_at=None,
        activity_at=now,
        active_execution_id=None,
        leaf_message_id=None,
        message_count=0,
    )


class ThreadService:
    """`stop_answers` ends what is under way in a thread that is about to go; `erase_files` erases the blobs of
    attachments that are marked as deleted.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: ThreadLog,
        clock: Clock,
        stop_answers: StopAnswers,
        erase_files: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._stop_answers = stop_answers
        self._erase_files = erase_files

    async def create(
        self,
        principal: Principal,
        *,
        title: str | None,
        summary: str | None,
        metadata: dict[str, Any],
        key: IdempotencyKey | None = None,
    ) -> Once[Thread]:
        """Raises `NotAllowedError`."""
        access.use_metadata(principal, metadata)
        thread = new_thread(principal, title=title, summary=summary, metadata=metadata, now=self._clock.now())

        def effect(connection: Connection) -> Thread:
            threads.add(connection, thread)
            return thread

        return await self._database.write(
            lambda connection: once(connection, key, Thread, effect=lambda: effect(connection))
        )

    async def get(
        self, principal: Principal, thread_id: str, *, latest: int, include_deleted: bool = False
    ) -> tuple[Thread, list[Message]]:
        """The thread and its `latest` messages, newest first. Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> tuple[Thread, list[Message]]:
            thread = threads.get(connection, principal, thread_id, include_deleted=include_deleted)
            return thread, messages.list_page(connection, thread_id, limit=latest)

        return await self._database.read(work)

    async def list_threads(
        self, principal: Principal, page: Page, *, include_deleted: bool, is_ascending: bool = False
    ) -> tuple[list[Thread], int]:
        """A page of the caller's threads, newest activity first or the oldest, and how many there are."""

        def work(connection: Connection) -> tuple[list[Thread], int]:
            after = None
            if page.after is not None:
                after = threads.get_place(connection, principal, page.after)
            items = threads.list_page(
                connection,
                principal,
                include_deleted=include_deleted,
                limit=page.limit,
                offset=page.offset,
                after=after,
                is_ascending=is_ascending,
            )
            return items, threads.count(connection, principal, include_deleted=include_deleted)

        return await self._database.read(work)

    async def change(self, principal: Principal, thread_id: str, changes: dict[str, Any]) -> Thread:
        """Change `title`, `summary`, `metadata` (a merge patch, RFC 7396) or `is_deleted`.

        Raises `NotFoundError`, and `NotAllowedError` for a product or agent that the caller may not use.
        """

        def work(connection: Connection) -> Thread:
            thread = threads.get(connection, principal, thread_id, lock=True, include_deleted=True)
            if thread.is_deleted and changes.get("is_deleted") is not False:
                raise NotFoundError
            values = {**changes, "updated_at": self._clock.now()}
            if "metadata" in changes:
                values["metadata"] = merge_patch(thread.metadata, changes["metadata"])
                access.use_metadata(principal, values["metadata"])
            threads.change(connection, thread_id, values)
            if changes.get("is_deleted") not in {None, thread.is_deleted}:
                outbox.queue_thread(connection, thread_id, thread.user_id, at=values["updated_at"])
            return msgspec.structs.replace(thread, **values)

        changed = await self._database.write(work)
        if changed.is_deleted:
            await self._stop_answers(principal, thread_id)
        return changed

    async def delete(self, principal: Principal, thread_id: str, *, purge: bool) -> None:
        """Hide the thread and stop its answers; purged, all that belongs to it is erased."""
        if not purge:
            await self.change(principal, thread_id, {"is_deleted": True})
            return

        def hide(connection: Connection) -> None:
            threads.get(connection, principal, thread_id, lock=True, include_deleted=True)
            threads.change(connection, thread_id, {"is_deleted": True})
            outbox.queue_thread(connection, thread_id, principal.id, at=self._clock.now())

        def erase(connection: Connection) -> list[str]:
            threads.get(connection, principal, thread_id, lock=True, include_deleted=True)
            ended = executions.list_ids(connection, thread_id)
            threads.erase(connection, thread_id)
            attachments.mark_threads_deleted(connection, thread_id)
            outbox.queue_thread(connection, thread_id, principal.id, at=self._clock.now())
            forget_results(connection, principal.id, naming=thread_id)
            return ended

        await self._database.write(hide)
        await self._stop_answers(principal, thread_id)
        self._log.discard(thread_id, await self._database.write(erase))
        await self._erase_files()

    async def find_all(self, principal: Principal, thread_ids: Collection[str]) -> dict[str, Thread]:
        """Those of the threads that the principal may use, by their ids."""

        def work(connection: Connection) -> dict[str, Thread]:
            found = threads.list_by_ids(connection, principal, thread_ids)
            return {thread.id: thread for thread in found}

        return await self._database.read(work)

    async def export(self, principal: Principal, thread_id: str) -> tuple[Thread, AsyncIterator[list[Message]]]:
        """The thread and all its messages, oldest first, in pages that are read as they are taken."""
        thread, _ = await self.get(principal, thread_id, latest=1)
        return thread, self._pages(thread_id)

    async def _pages(self, thread_id: str) -> AsyncIterator[list[Message]]:
        position = 0
        while page := await self._database.read(
            lambda connection: messages.list_following(connection, thread_id, after=position, limit=_EXPORT_PAGE)  # noqa: B023
        ):
            yield page
            position = page[-1].position

    async def get_provider_thread(self, principal: Principal, thread_id: str) -> ProviderThread:
        """Raises `NotFoundError` when the thread, or what a provider keeps of it, is not there."""

        def work(connection: Connection) -> ProviderThread:
            threads.get(connection, principal, thread_id)
            record = threads.find_provider_thread(connection, thread_id)
            if record is None:
                raise NotFoundError("No provider has stored anything for this thread")
            return record

        return await self._database.read(work)

    async def put_provider_thread(
        self,
        principal: Principal,
        thread_id: str,
        *,
        provider: str | None,
        conversation_id: str | None,
        state: dict[str, Any],
    ) -> ProviderThread:
        record = ProviderThread(
            thread_id=thread_id,
            provider=provider,
            conversation_id=conversation_id,
            state=state,
            updated_at=self._clock.now(),
        )

        def work(connection: Connection) -> ProviderThread:
            threads.get(connection, principal, thread_id, lock=True)
            threads.put_provider_thread(connection, record)
            return record

        return await self._database.write(work)
