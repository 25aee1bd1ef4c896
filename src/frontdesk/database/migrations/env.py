"""Runs migrations on the connection that `frontdesk.database.migrations` passes in."""

from alembic import context
from sqlalchemy import Connection, text

_LOCK = 7_305_411_870_211  # any number of our own: two processes that migrate take turns


def run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    else:
        connection.exec_driver_sql("PRAGMA busy_timeout = 30000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(connection=connection, transaction_per_migration=False, render_as_batch=True)
    context.run_migrations()


run(context.config.attributes["connection"])
