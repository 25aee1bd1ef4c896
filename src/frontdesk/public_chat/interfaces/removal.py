"""Deleting an interface: it is gone at once, and all that was said in it is erased, session by session."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.time_limit import time_left
from frontdesk.public_chat.interfaces import repository as interfaces
from frontdesk.public_chat.interfaces.assets import InterfaceAssets
from frontdesk.public_chat.interfaces.models import ChatInterface, InterfaceStatus
from frontdesk.public_chat.interfaces.published import PublishedInterfaces

_AT_ONCE = 20
_RESERVE_SECONDS = 1.5  # of the request's time, for the sessions that are being erased
EraseSome = Callable[..., Awaitable[int]]


class InterfaceRemoval:
    """`erase_some` erases sessions of an interface and tells how many there were."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        published: PublishedInterfaces,
        erase_some: EraseSome,
        assets: InterfaceAssets,
    ) -> None:
        self._assets = assets
        self._database = database
        self._clock = clock
        self._published = published
        self._erase_some = erase_some

    async def delete(self, principal: Principal, interface_id: str) -> None:
        """What its request has no time for, `sweep` erases later. Raises `NotFoundError`."""
        now = self._clock.now()

        def hide(connection: Connection) -> ChatInterface:
            known = interfaces.get(connection, principal, interface_id)
            hidden = {"is_deleted": True, "status": InterfaceStatus.draft, "slug": known.id, "updated_at": now}
            interfaces.change(connection, known.id, hidden)
            return known

        hidden = await self._database.write(hide)
        self._published.forget(hidden.slug)
        await self._erase(hidden)

    async def sweep(self, now: datetime) -> None:  # noqa: ARG002  as every chore is called
        """A chore of the housekeeping's."""
        for interface in await self._database.read(interfaces.list_deleted):
            await self._erase(interface)

    async def _erase(self, interface: ChatInterface) -> None:
        while time_left() > _RESERVE_SECONDS:
            if not await self._erase_some(interface.id, interface.owner_id, limit=_AT_ONCE):
                await self._assets.erase(interface.id)
                await self._database.write(lambda connection: interfaces.erase(connection, interface.id))
                return
