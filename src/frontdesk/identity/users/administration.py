"""What administrators do with everybody's accounts. Nobody locks themselves out by it."""

from typing import Any

from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import OwnAccountError
from frontdesk.identity import access
from frontdesk.identity.passwords import Passwords
from frontdesk.identity.principal import Principal
from frontdesk.identity.standings import Standings, revoke_tokens
from frontdesk.identity.users import repository
from frontdesk.identity.users.models import Role, User
from frontdesk.identity.users.rules import check_allow_lists, check_password
from frontdesk.kit.clock import Clock
from frontdesk.kit.paging import Page


class UserAdministration:
    def __init__(self, database: Database, clock: Clock, *, passwords: Passwords, standings: Standings) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._standings = standings

    async def list_users(self, caller: Principal, page: Page) -> tuple[list[User], int]:
        """In the order of their creation, and how many there are. Raises `ForbiddenError`."""
        access.administer(caller)

        def work(connection: Connection) -> tuple[list[User], int]:
            after = page.after or ""
            found = repository.list_page(connection, after=after, limit=page.limit, offset=page.offset)
            return found, repository.count(connection)

        return await self._database.read(work)

    async def change(self, caller: Principal, user_id: str, changes: dict[str, Any]) -> User:
        """Changes `role`, `tier`, `is_active`, `allowed_products`, `allowed_agents` or `password`, all or none. A new
        password, a suspension and the loss of the administrator's role end every log-in of the user.

        Raises `ForbiddenError`, `NotFoundError`, `InvalidRequestError`, and `OwnAccountError` to who would suspend
        themselves or give up their own role.
        """
        access.administer(caller)
        values = dict(changes)
        check_allow_lists(values.get("allowed_products"), values.get("allowed_agents"))
        if "password" in values:
            check_password(values["password"])
            values["password_hash"] = await self._passwords.hash(values.pop("password"))
        now = self._clock.now()

        def work(connection: Connection) -> User:
            user = repository.get(connection, user_id)
            if caller.id == user_id and _is_lock_out(values):
                raise OwnAccountError
            repository.change(connection, user_id, values, now=now)
            if _ends_log_ins(user, values):
                revoke_tokens(connection, user_id, now)
            return repository.get(connection, user_id)

        changed = await self._database.write(work)
        self._standings.forget(user_id)
        return changed


def _is_lock_out(values: dict[str, Any]) -> bool:
    return values.get("is_active") is False or values.get("role", Role.admin) is not Role.admin


def _ends_log_ins(user: User, values: dict[str, Any]) -> bool:
    is_demoted = user.role is Role.admin and values.get("role", Role.admin) is not Role.admin
    return "password_hash" in values or values.get("is_active") is False or is_demoted
