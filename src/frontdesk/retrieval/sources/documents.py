"""The reading and the search of sources, opened when they are first needed: without any, nothing of them is loaded."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import FrontdeskError, UnavailableError
from frontdesk.extractor.chunks import estimated_tokens
from frontdesk.retrieval.errors import SourceStoppedError
from frontdesk.retrieval.opened_once import OpenedOnce
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import FoundChunk, Source, SourceState

if TYPE_CHECKING:  # numpy comes with them
    from frontdesk.retrieval.sources.reading import Report, SourceReader
    from frontdesk.retrieval.sources.search import SourceSearch


_STOPPED = SourceStoppedError("Its reading was stopped; attach it again to have it read")


class Opened(Protocol):
    @property
    def reader(self) -> "SourceReader": ...

    @property
    def search(self) -> "SourceSearch": ...

    def close(self) -> None: ...


class Documents:
    """`opening` may be tried again; this closes what it gives. Without it nothing is read here, for the `reason`."""

    def __init__(
        self,
        database: Database,
        opening: Callable[[], Awaitable[Opened]] | None,
        *,
        reason: str = "Documents are not read here",
    ) -> None:
        self._database = database
        self._parts = OpenedOnce(opening, reason=reason)

    async def read_pending(self, thread_id: str, message_id: str, report: "Report") -> list[Source]:
        """Read what a message has brought and nobody has read yet; all of the thread's sources as they are then.

        Each that cannot be read has failed, with its reason; so has what an earlier message brought and what was not
        read to its end, since its answer was stopped.
        """

        def all_of_it(connection: Connection) -> list[Source]:
            return sources.list_of_thread(connection, thread_id)

        known = await self._database.read(all_of_it)
        waiting = [source for source in known if source.state is SourceState.pending]
        if not waiting:
            return known
        pending = [source for source in waiting if source.message_id == message_id]
        await self._fail([source for source in waiting if source.message_id != message_id], _STOPPED, report)
        if pending:
            await self._read(pending, report)
        return await self._database.read(all_of_it)

    async def find(self, session_id: str, question: str, *, count: int) -> list[FoundChunk]:
        """Of this session alone, best first. Raises `UnavailableError`."""
        opened = await self._parts.get()
        return await opened.search.find(session_id, question, count=count)

    async def best(self, session_id: str, question: str, *, count: int, tokens: int) -> list[FoundChunk]:
        """The first of them, as many as are `tokens` together by an estimate, and one at least. Raises
        `UnavailableError`.
        """
        found = await self.find(session_id, question, count=count)
        if not found:
            return found
        sums = list(accumulate(await asyncio.to_thread(lambda: [estimated_tokens(chunk.content) for chunk in found])))
        return found[: max(1, sum(each <= tokens for each in sums))]

    async def list_labelled(self, session_id: str, labels: Sequence[str]) -> list[FoundChunk]:
        """The chunks of the session that have these labels, in their order; others are left out."""
        found = await self._database.read(lambda connection: sources.list_labelled(connection, session_id, labels))
        by_label = {chunk.label: chunk for chunk in found}
        return [by_label[label] for label in labels if label in by_label]

    async def _read(self, pending: Sequence[Source], report: "Report") -> None:
        try:
            opened = await self._parts.get()
        except UnavailableError as error:
            await self._fail(pending, error, report)
        else:
            await opened.reader.read(pending, report)

    async def _fail(self, pending: Sequence[Source], error: FrontdeskError, report: "Report") -> None:
        def work(connection: Connection) -> None:
            for source in pending:
                sources.settle_failed(connection, source.id, code=error.code, message=error.detail)

        if not pending:
            return
        await self._database.write(work)
        for source in pending:
            report(source, {"stage": "failed", "error": {"code": error.code, "message": error.detail}})

    async def aclose(self) -> None:
        held = self._parts.take()
        if held is not None:
            held.close()
