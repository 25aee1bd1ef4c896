from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from frontdesk.database import Database
from frontdesk.errors import BadTokenError
from frontdesk.identity.external.models import NAME_LENGTH, external_identities
from frontdesk.identity.principal import Principal
from frontdesk.identity.standings import Standings
from frontdesk.identity.users import repository as accounts
from frontdesk.identity.users.models import Role, User, users
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.ports.identity_provider import IdentityProvider, Subject

_NO_PASSWORD = ""  # the hash of none
_INSERT = {
    "sqlite": sqlite.insert(external_identities).on_conflict_do_nothing().returning(external_identities.c.user_id),
    "postgresql": postgresql.insert(external_identities)
    .on_conflict_do_nothing()
    .returning(external_identities.c.user_id),
}


class ExternalIdentities:
    """`provider` is None when nobody else's tokens are accepted."""

    def __init__(
        self, database: Database, clock: Clock, *, provider: IdentityProvider | None, standings: Standings
    ) -> None:
        self._database = database
        self._clock = clock
        self._provider = provider
        self._standings = standings

    async def authenticate(self, token: str) -> Principal:
        """Whose token it is; somebody who comes for the first time gets an account. Raises `BadTokenError`, also for an
        account that is suspended, and `UnavailableError`.
        """
        if self._provider is None:
            raise BadTokenError
        subject = await self._provider.verify(token)
        if not subject.subject or max(len(subject.issuer), len(subject.subject)) > NAME_LENGTH:
            raise BadTokenError
        user_id = await self._database.read(lambda connection: _find(connection, subject))
        if user_id is None:
            user_id = await self._database.write(lambda connection: self._add(connection, subject))
        standing = await self._standings.find(user_id)
        if standing is None or not standing.is_active:
            raise BadTokenError
        return standing.principal

    def _add(self, connection: Connection, subject: Subject) -> str:
        now, user_id = self._clock.now(), new_id()
        user = User(
            id=user_id,
            username=f"external-{user_id}",
            email=None,
            role=Role.user,
            allowed_products=None,
            allowed_agents=None,
            token_version=1,
            is_active=True,
            created_at=now,
            updated_at=now,
        )
        accounts.insert(connection, user, _NO_PASSWORD, founder=False)
        values = {"issuer": subject.issuer, "subject": subject.subject, "user_id": user_id, "created_at": now}
        if connection.execute(_INSERT[connection.dialect.name], values).first() is not None:
            return user_id
        connection.execute(delete(users).where(users.c.id == user_id))  # another request was faster
        return _find(connection, subject) or user_id


def _find(connection: Connection, subject: Subject) -> str | None:
    of_subject = (external_identities.c.issuer == subject.issuer) & (external_identities.c.subject == subject.subject)
    return connection.execute(select(external_identities.c.user_id).where(of_subject)).scalar_one_or_none()
