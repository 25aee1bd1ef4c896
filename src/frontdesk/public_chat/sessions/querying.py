"""Questions that a visitor's page asks of what they brought, without an answer being made."""

from collections.abc import Sequence

from frontdesk.database import Database
from frontdesk.identity.limits import refusal
from frontdesk.kit.clock import Clock
from frontdesk.ports.rate_limiter import Limit, RateLimiter
from frontdesk.public_chat.interfaces.published import Published
from frontdesk.public_chat.sessions import repository as sessions
from frontdesk.retrieval.sources.documents import Documents
from frontdesk.retrieval.sources.models import FoundChunk

_LIMIT = Limit("chat-queries", 60, 60)


class VisitorQueries:
    def __init__(self, *, database: Database, documents: Documents, limiter: RateLimiter, clock: Clock) -> None:
        self._database = database
        self._documents = documents
        self._limiter = limiter
        self._clock = clock

    async def ask(self, published: Published, token: str, query: str, *, count: int) -> Sequence[FoundChunk]:
        """The session's own chunks that are likeliest to answer, best first.

        Raises `NotFoundError`, `SessionExpiredError`, `SessionEndedError`, `TooManyRequestsError`, `UnavailableError`.
        """
        now = self._clock.now()
        session = await self._database.read(
            lambda connection: sessions.get_active(connection, published.interface, token, now=now)
        )
        allowance = await self._limiter.hit(_LIMIT, session.token_hash)
        if not allowance.allowed:
            raise refusal(_LIMIT, allowance)
        return await self._documents.find(session.id, query, count=count)
