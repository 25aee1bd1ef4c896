"""Accounts: registration, sign-in, and the changes after which tokens must die."""

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.database.idempotency import IdempotencyKey, Once, find_result, once
from frontdesk.errors import BadCredentialsError, ForbiddenError, UnavailableError, UsernameTakenError
from frontdesk.identity.limits import LoginThrottle
from frontdesk.identity.passwords import Passwords
from frontdesk.identity.principal import Principal
from frontdesk.identity.standings import Standings, revoke_tokens
from frontdesk.identity.users import repository
from frontdesk.identity.users.models import Registration, Role, User
from frontdesk.identity.users.rules import (
    PASSWORD_BYTES,
    check_allow_lists,
    check_password,
    check_registration,
    username_key,
)
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id

_CLOSED = "Registration is closed; an administrator can create accounts"


class UserService:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        passwords: Passwords,
        throttle: LoginThrottle,
        standings: Standings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._throttle = throttle
        self._standings = standings

    async def register(
        self, caller: Principal | None, registration: Registration, *, key: IdempotencyKey | None = None
    ) -> Once[User]:
        """Open while there are no users; that account becomes an administrator. Afterwards administrators only.

        Raises `ForbiddenError` (also to one of two that both found no users), `UsernameTakenError`,
        `InvalidRequestError`.
        """
        is_admin = caller is not None and caller.is_admin
        if not is_admin and not await self._database.read(repository.is_empty):
            raise ForbiddenError(_CLOSED)
        check_registration(registration)
        replay = None if key is None else await self._database.read(partial(find_result, key=key, result_type=User))
        if replay is not None:
            return replay
        password_hash = await self._passwords.hash(registration.password)

        def work(connection: Connection) -> Once[User]:
            founder = repository.is_empty(connection)
            if not founder and not is_admin:
                raise ForbiddenError(_CLOSED)
            insert = partial(self._insert, connection, registration, password_hash, founder=founder)
            return once(connection, key, User, effect=insert)

        return await self._database.write(work)

    async def create(self, registration: Registration) -> User:
        """What an operator at the machine may do at any time. Raises `UsernameTakenError`, `InvalidRequestError`."""
        check_registration(registration)
        password_hash = await self._passwords.hash(registration.password)

        def work(connection: Connection) -> User:
            founder = repository.is_empty(connection)
            return self._insert(connection, registration, password_hash, founder=founder)

        return await self._database.write(work)

    async def login(self, username: str, password: str, *, address: str) -> User:
        """Raises `BadCredentialsError` with one text and at one cost whatever is wrong, and `TooManyRequestsError`."""
        key = username_key(username)
        await self._throttle.reserve(key, address)
        try:
            user = await self._find_authenticated(key, password)
        except UnavailableError:
            await self._throttle.give_back(key, address)
            raise
        if user is None:
            raise BadCredentialsError
        await self._throttle.give_back(key, address)
        return user

    async def is_empty(self) -> bool:
        """Whether the first account is yet to be made. Raises `UnavailableError`."""
        return await self._database.read(repository.is_empty)

    async def get(self, user_id: str) -> User:
        """Raises `NotFoundError`."""
        return await self._database.read(partial(repository.get, user_id=user_id))

    async def find_by_name(self, username: str) -> User | None:
        return await self._database.read(partial(repository.find_by_name, username=username))

    async def list(self, *, after: str = "", limit: int = 100) -> "list[User]":
        """Accounts in the order of their creation, from the one after the id `after`."""
        return await self._database.read(partial(repository.list_page, after=after, limit=limit))

    async def set_password(self, user_id: str, password: str) -> None:
        """Raises `InvalidRequestError`, `NotFoundError`. Every token of the user dies."""
        check_password(password)
        password_hash = await self._passwords.hash(password)
        await self._change(user_id, {"password_hash": password_hash}, revokes=lambda _: True)

    async def suspend(self, user_id: str) -> None:
        """Raises `NotFoundError`. Every token of the user dies, and no password admits it."""
        await self._change(user_id, {"is_active": False}, revokes=lambda _: True)

    async def activate(self, user_id: str) -> None:
        """Raises `NotFoundError`."""
        await self._change(user_id, {"is_active": True}, revokes=lambda _: False)

    async def set_role(self, user_id: str, role: Role) -> None:
        """Raises `NotFoundError`. Every token of someone who is an administrator no more dies."""
        await self._change(user_id, {"role": role}, revokes=lambda user: user.role != role and role is not Role.admin)

    async def set_tier(self, user_id: str, tier: str | None) -> None:
        """Raises `NotFoundError`. Tokens live on, with the new limits."""
        await self._change(user_id, {"tier": tier}, revokes=lambda _: False)

    async def set_allow_lists(
        self, user_id: str, *, products: tuple[str, ...] | None, agents: tuple[str, ...] | None
    ) -> None:
        """Raises `InvalidRequestError`, `NotFoundError`. Tokens live on, with the new lists."""
        check_allow_lists(products, agents)
        values = {"allowed_products": products, "allowed_agents": agents}
        await self._change(user_id, values, revokes=lambda _: False)

    async def _find_authenticated(self, key: str, password: str) -> User | None:
        known = await self._database.read(partial(repository.find_credentials, key=key))
        fits = len(password.encode("utf-8", "surrogatepass")) <= PASSWORD_BYTES
        password_hash = known.password_hash if known is not None and fits and known.user.is_active else None
        matches = await self._passwords.verify(password if fits else "", password_hash)
        return known.user if known is not None and matches else None

    def _insert(self, connection: Connection, registration: Registration, password_hash: str, *, founder: bool) -> User:
        """`founder` is what the caller's right rests on: asked again, the table may have been founded meanwhile."""
        now = self._clock.now()
        user = User(
            id=new_id(),
            username=registration.username,
            email=registration.email,
            role=Role.admin if founder else registration.role,
            allowed_products=registration.allowed_products,
            allowed_agents=registration.allowed_agents,
            token_version=1,
            is_active=True,
            created_at=now,
            updated_at=now,
        )
        if repository.insert(connection, user, password_hash, founder=founder):
            return user
        raise ForbiddenError(_CLOSED) if founder else UsernameTakenError

    async def _change(self, user_id: str, values: dict[str, Any], *, revokes: Callable[[User], bool]) -> None:
        now = self._clock.now()

        def work(connection: Connection) -> None:
            user = repository.get(connection, user_id)
            repository.change(connection, user_id, values, now=now)
            if revokes(user):
                revoke_tokens(connection, user_id, now)

        await self._database.write(work)
        self._standings.forget(user_id)
