"""Interfaces as their owners keep them: drafts that become public, and what is left when they go."""

import re
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from frontdesk.agents import repository as agents
from frontdesk.database import Database
from frontdesk.errors import NotFoundError, SlugTakenError
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.kit.paging import Page
from frontdesk.public_chat.interfaces import repository as interfaces
from frontdesk.public_chat.interfaces.analytics import Analytics, Period, analytics
from frontdesk.public_chat.interfaces.assets import InterfaceAssets
from frontdesk.public_chat.interfaces.models import NAME_LENGTH, SLUG_LENGTH, Appearance, ChatInterface, InterfaceStatus
from frontdesk.public_chat.interfaces.published import PublishedInterfaces

_SUFFIX_BYTES = 4
_COPY = "Copy of "
_SECRET_BYTES = 32


class InterfaceService:
    """Every method is for the interface's owner: another's is `NotFoundError`."""

    def __init__(
        self, *, database: Database, clock: Clock, published: PublishedInterfaces, assets: InterfaceAssets
    ) -> None:
        self._assets = assets
        self._database = database
        self._clock = clock
        self._published = published

    async def create(self, principal: Principal, appearance: Appearance, *, slug: str | None) -> ChatInterface:
        """A draft. Raises `NotFoundError` for an agent that the principal may not use, `SlugTakenError`."""
        made = self._new(principal, appearance, slug=slug or _free_slug(appearance.name))
        return await self._add(principal, made)

    async def get(self, principal: Principal, interface_id: str) -> ChatInterface:
        return await self._database.read(lambda connection: interfaces.get(connection, principal, interface_id))

    async def list_interfaces(
        self, principal: Principal, page: Page, *, agent_id: str | None
    ) -> tuple[list[ChatInterface], int]:
        """A page of the principal's own, newest first, and how many there are."""

        def work(connection: Connection) -> tuple[list[ChatInterface], int]:
            if page.after is not None:
                interfaces.get(connection, principal, page.after)
            listed = interfaces.list_page(
                connection, principal, agent_id=agent_id, limit=page.limit, offset=page.offset, after=page.after
            )
            return listed, interfaces.count(connection, principal, agent_id=agent_id)

        return await self._database.read(work)

    async def change(self, principal: Principal, interface_id: str, changes: dict[str, Any]) -> ChatInterface:
        """Of an `Appearance`, or its `slug`. Raises `NotFoundError` for the agent too, and `SlugTakenError`."""

        def work(connection: Connection) -> ChatInterface:
            known = interfaces.get(connection, principal, interface_id)
            if changes.get("agent_id", known.agent_id) != known.agent_id:
                _require_agent(connection, principal, changes["agent_id"])
            return self._put(connection, known, changes)

        return await self._write(work)

    async def publish(self, principal: Principal, interface_id: str) -> ChatInterface:
        """Raises `NotFoundError` also when its agent is not there any more."""

        def work(connection: Connection) -> ChatInterface:
            known = interfaces.get(connection, principal, interface_id)
            _require_agent(connection, principal, known.agent_id)
            return self._put(connection, known, {"status": InterfaceStatus.published})

        return await self._write(work)

    async def unpublish(self, principal: Principal, interface_id: str) -> ChatInterface:
        """Its sessions stay, and can go on when it is published again."""

        def work(connection: Connection) -> ChatInterface:
            known = interfaces.get(connection, principal, interface_id)
            return self._put(connection, known, {"status": InterfaceStatus.draft})

        return await self._write(work)

    async def duplicate(self, principal: Principal, interface_id: str) -> ChatInterface:
        """A draft that looks the same, with a slug and pictures of its own, without the secret and the sessions."""
        known = await self.get(principal, interface_id)
        chosen = {name: getattr(known, name) for name in Appearance.__struct_fields__}
        appearance = Appearance(**{**chosen, "name": (_COPY + known.name)[:NAME_LENGTH]})
        made = await self._add(principal, self._new(principal, appearance, slug=_free_slug(known.slug)))
        changes = await self._assets.copied(known, made)
        return await self.change(principal, made.id, changes) if changes else made

    async def renew_identity_secret(self, principal: Principal, interface_id: str) -> str:
        """The secret with which a site signs who its visitors are; one that was there before counts no more."""
        secret = f"ident_{secrets.token_urlsafe(_SECRET_BYTES)}"

        def work(connection: Connection) -> ChatInterface:
            known = interfaces.get(connection, principal, interface_id)
            return self._put(connection, known, {"identity_secret": secret})

        await self._write(work)
        return secret

    async def analytics(self, principal: Principal, interface_id: str, period: Period) -> Analytics:
        def work(connection: Connection) -> Analytics:
            interfaces.get(connection, principal, interface_id)
            return analytics(connection, interface_id, period, now=self._clock.now())

        return await self._database.read(work)

    async def _add(self, principal: Principal, made: ChatInterface) -> ChatInterface:
        def work(connection: Connection) -> ChatInterface:
            _require_agent(connection, principal, made.agent_id)
            interfaces.add(connection, made)
            return made

        return await self._write(work)

    async def _write(self, work: Callable[[Connection], ChatInterface]) -> ChatInterface:
        try:
            changed = await self._database.write(work)
        except IntegrityError as error:
            raise SlugTakenError from error
        self._published.forget(changed.slug)
        return changed

    def _new(self, principal: Principal, appearance: Appearance, *, slug: str) -> ChatInterface:
        now = self._clock.now()
        return ChatInterface(
            **{name: getattr(appearance, name) for name in Appearance.__struct_fields__},
            id=new_id(),
            owner_id=principal.id,
            slug=slug,
            status=InterfaceStatus.draft,
            identity_secret=None,
            session_count=0,
            message_count=0,
            last_activity_at=None,
            is_deleted=False,
            created_at=now,
            updated_at=now,
        )

    def _put(self, connection: Connection, known: ChatInterface, changes: dict[str, Any]) -> ChatInterface:
        values = {**changes, "updated_at": self._clock.now()}
        interfaces.change(connection, known.id, values)
        return msgspec.structs.replace(known, **values)


def _require_agent(connection: Connection, principal: Principal, agent_id: str) -> None:
    try:
        agents.get(connection, principal, agent_id)
    except NotFoundError as error:
        raise NotFoundError("There is no such agent") from error


def _free_slug(like: str) -> str:
    """One that nobody has: its end is random."""
    suffix = secrets.token_hex(_SUFFIX_BYTES)
    words = re.sub(r"[^a-z0-9]+", "-", like.lower()).strip("-")
    return f"{words[: SLUG_LENGTH - len(suffix) - 1].strip('-') or 'chat'}-{suffix}"
