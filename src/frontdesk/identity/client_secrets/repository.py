from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from frontdesk.database.prepared import Prepared
from frontdesk.identity.client_secrets.models import revoked_client_secrets

_c = revoked_client_secrets.c
_FIND = Prepared(select(_c.id).where(_c.id == bindparam("secret_id")))
_REVOKE = {
    "sqlite": sqlite.insert(revoked_client_secrets).on_conflict_do_nothing().returning(_c.id),
    "postgresql": postgresql.insert(revoked_client_secrets).on_conflict_do_nothing().returning(_c.id),
}


def is_revoked(connection: Connection, secret_id: str) -> bool:
    return _FIND.one_or_none(connection, {"secret_id": secret_id}) is not None


def revoke(connection: Connection, secret_id: str, expires_at: datetime) -> bool:
    """False when it was revoked before."""
    values = {"id": secret_id, "expires_at": expires_at}
    return connection.execute(_REVOKE[connection.dialect.name], values).first() is not None


def purge_expired(connection: Connection, now: datetime) -> int:
    return connection.execute(delete(revoked_client_secrets).where(_c.expires_at <= now)).rowcount
