"""The database: units of work on SQLite or PostgreSQL, from one set of tables and one set of migrations.

A unit of work is a plain function of a SQLAlchemy `Connection`; it runs in one transaction, and once begun it ends,
whether or not its caller is still there. Nobody gets a connection but a unit of work, so a stream cannot hold one.
"""

from frontdesk.database.engine import Database, open_database

__all__ = ["Database", "open_database"]
