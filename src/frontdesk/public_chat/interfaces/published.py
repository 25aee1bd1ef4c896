"""The interfaces that visitors can reach: published, and of an owner who may sign in."""

import re
from collections import OrderedDict

import msgspec
from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import NotFoundError
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.standings import read_standing
from frontdesk.kit.clock import Clock
from frontdesk.public_chat.interfaces import repository as interfaces
from frontdesk.public_chat.interfaces.models import ChatInterface

MAX_AGE = 0.8  # seconds; what its owner takes back is closed everywhere within one
_MAX_ENTRIES = 10_000
_SLUG = re.compile(r"[a-z0-9-]{3,64}", re.ASCII)  # a text that is no slug names nothing, whatever it holds


class Published(msgspec.Struct, frozen=True):
    """`principal` is in whose name its sessions' threads are used: the owner's, with the owner's allow lists."""

    interface: ChatInterface
    principal: Principal


class PublishedInterfaces:
    """Answers from memory while its last reading is younger than `MAX_AGE`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Published]] = OrderedDict()

    async def get(self, slug: str) -> Published:
        """Raises `NotFoundError`, `UnavailableError`."""
        if _SLUG.fullmatch(slug) is None:
            raise NotFoundError
        now = self._clock.monotonic()
        read_at, known = self._entries.get(slug, (0.0, None))
        if known is not None and read_at > now - MAX_AGE:
            return known
        found = await self._database.read(lambda connection: find_published(connection, slug))
        self._entries.pop(slug, None)
        if found is None:
            raise NotFoundError
        self._entries[slug] = (now, found)
        if len(self._entries) > _MAX_ENTRIES:
            self._entries.popitem(last=False)
        return found

    def forget(self, slug: str) -> None:
        """It has changed here: the next question goes to the database."""
        self._entries.pop(slug, None)


def find_published(connection: Connection, slug: str) -> Published | None:
    interface = interfaces.find_published(connection, slug)
    if interface is None:
        return None
    standing = read_standing(connection, interface.owner_id)
    if standing is None or not standing.is_active:
        return None
    return Published(interface, msgspec.structs.replace(standing.principal, kind=PrincipalKind.service, is_admin=False))
