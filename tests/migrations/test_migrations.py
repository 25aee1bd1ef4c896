"""The history of the tables: from every revision with data in it, against the models, and by two processes at once."""

import asyncio
import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

import frontdesk
from frontdesk.database import migrations, open_database
from frontdesk.database.schema import head, require_usable, set_floor
from frontdesk.database.types import metadata
from frontdesk.errors import ConfigurationError
from frontdesk.kit.clock import HeldClock
from harness.databases import PostgresDatabases
from harness.processes import SOURCE

SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]
NOW = HeldClock().now()
FULL_TEXT = ("search_words", "search_grams")  # SQLite's own tables behind these, filled by triggers


def import_every_model() -> None:
    for module in pkgutil.walk_packages(frontdesk.__path__, "frontdesk."):
        of_database = module.name.startswith("frontdesk.database.") and ".migrations." not in module.name
        if of_database or module.name.endswith(".models"):
            importlib.import_module(module.name)


SAMPLES: tuple[tuple[type, Any], ...] = (
    (DateTime, NOW),
    (Date, NOW.date()),
    (Boolean, False),
    (JSON, {"kept": ["é", 1, None]}),
    (Integer, 1),
    (Float, 0.5),
    (LargeBinary, b"kept"),
    (TSVECTOR, "'row':1"),
    (ARRAY, ["row"]),
)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    server: PostgresDatabases = request.getfixturevalue("postgres_server")
    server._server.psql("CREATE DATABASE empty_one TEMPLATE template0;")
    yield server.url("empty_one")
    server.drop("empty_one")


def on(url: str, work: Any, *, write: bool = False) -> Any:
    async def steps() -> Any:
        database = open_database(url, pool_size=1, timeout=5)
        try:
            return await (database.write(work) if write else database.read(work))
        finally:
            await database.aclose()

    return asyncio.run(steps())


def a_value(table: Table, name: str) -> Any:
    """Something that the column takes; the same for the same name, so that rows refer to each other."""
    column = table.c[name]
    for kind, value in SAMPLES:
        if isinstance(column.type, kind):
            return value
    assert isinstance(column.type, String)
    referred = next(iter(column.foreign_keys), None)
    return f"{table.name if referred is None else referred.column.table.name}-row"[: column.type.length or 36]


def fill(connection: Connection) -> dict[str, dict[str, Any]]:
    """One row in each table that there is now, with every column."""
    found = MetaData()
    found.reflect(connection)
    rows: dict[str, dict[str, Any]] = {}
    for table in found.sorted_tables:
        if table.name in {"alembic_version", "schema_floor"} or table.name.startswith(FULL_TEXT):
            continue
        row = {column.name: a_value(table, column.name) for column in table.columns}
        row = {name: None if "usage" in name else value for name, value in row.items()}
        connection.execute(table.insert(), row)
        rows[table.name] = row
    return rows


def read_back(connection: Connection, rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = MetaData()
    found.reflect(connection)
    read: dict[str, dict[str, Any]] = {}
    for name, row in rows.items():
        record = connection.execute(select(found.tables[name])).mappings().one()
        read[name] = {column: record[column] for column in row}
    return read


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_can_be_brought_to_the_head_with_what_is_in_it(empty_url: str, revision: str) -> None:
    assert migrations.upgrade(empty_url, revision=revision) == revision
    rows = on(empty_url, fill, write=True)
    assert rows
    stored = on(empty_url, lambda connection: read_back(connection, rows))
    assert migrations.upgrade(empty_url) == head()
    assert on(empty_url, lambda connection: read_back(connection, rows)) == stored


def compared(connection: Connection) -> dict[str, Any]:
    """All but what only one of the databases has: SQLite's tables behind full text, PostgreSQL's GIN indexes."""
    on_sqlite = connection.dialect.name == "sqlite"

    def is_of_the_program(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        if kind == "table":
            return not (name or "").startswith(FULL_TEXT)
        return kind != "index" or not (on_sqlite and thing.dialect_options["postgresql"]["using"] == "gin")

    return {"include_object": is_of_the_program}


def test_the_head_has_exactly_the_tables_of_the_program(database_url: str) -> None:
    import_every_model()

    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True, **compared(connection)}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert on(database_url, differences) == []


def test_the_comparison_sees_a_difference(database_url: str) -> None:
    import_every_model()

    def differences(connection: Connection) -> list[Any]:
        connection.execute(text("ALTER TABLE threads DROP COLUMN summary"))
        connection.execute(text("DROP INDEX uq_executions_active"))
        return list(compare_metadata(MigrationContext.configure(connection, opts=compared(connection)), metadata))

    assert sorted(change[0] for change in on(database_url, differences)) == ["add_column", "add_index"]


def test_the_history_is_one_line() -> None:
    assert SCRIPTS.get_heads() == [head()]
    assert SCRIPTS.get_bases() == [REVISIONS[0]]


def test_bringing_up_what_is_there_changes_nothing(database_url: str) -> None:
    rows = on(database_url, fill, write=True)
    stored = on(database_url, lambda connection: read_back(connection, rows))
    assert migrations.upgrade(database_url) == head()
    assert on(database_url, lambda connection: read_back(connection, rows)) == stored


MIGRATE = """
import json, sys
from frontdesk.database.migrations import upgrade
sys.stdin.readline()
print(json.dumps(upgrade(sys.argv[1])))
"""


def test_processes_that_migrate_at_once_take_turns(empty_url: str) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, empty_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(SOURCE), "PATH": ""},
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert [json.loads(answer) for answer in answers] == [head()] * 3


@pytest.mark.parametrize("revision", [None, *REVISIONS[:-1]])
def test_a_server_refuses_an_old_database(empty_url: str, revision: str | None) -> None:
    if revision is not None:
        migrations.upgrade(empty_url, revision=revision)

    with pytest.raises(ConfigurationError, match=f"revision {revision or 'none'}.*frontdesk migrate"):
        on(empty_url, require_usable)
    migrations.upgrade(empty_url)
    on(empty_url, require_usable)


NEXT = f"{int(head()) + 1:04}"
STEP = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None
{says}
def upgrade() -> None:
    op.add_column("threads", sa.Column("colour", sa.String(20)))
"""


def migrate_by_the_next_version(url: str, folder: Path, *, says: str) -> str:
    """A copy of the program with one more step; what it says that the database stands at."""
    source = shutil.copytree(SOURCE, folder / "next", ignore=shutil.ignore_patterns("__pycache__"))
    step = STEP.format(revision=NEXT, before=head(), says=says)
    (source / "frontdesk" / "database" / "migrations" / "versions" / f"{NEXT}_colour.py").write_text(step)
    done = subprocess.run(
        [sys.executable, "-c", MIGRATE, url],
        input="go\n",
        capture_output=True,
        check=True,
        env={"PYTHONPATH": str(source), "PATH": ""},
        text=True,
        timeout=60,
    )
    return str(json.loads(done.stdout))


@pytest.mark.parametrize("says", ["", f"OLDEST_PROGRAM = {head()!r}", "OLDEST_PROGRAM = '0002'"])
def test_a_program_runs_on_the_tables_of_the_next_that_lets_it(empty_url: str, tmp_path: Path, says: str) -> None:
    migrations.upgrade(empty_url)
    assert migrate_by_the_next_version(empty_url, tmp_path, says=says) == NEXT
    on(empty_url, require_usable)
    assert migrations.upgrade(empty_url) == NEXT, "it leaves them as they are"


def test_a_program_refuses_the_tables_of_a_newer_one_that_does_not_let_it(empty_url: str, tmp_path: Path) -> None:
    migrations.upgrade(empty_url)
    assert migrate_by_the_next_version(empty_url, tmp_path, says=f"OLDEST_PROGRAM = {NEXT!r}") == NEXT
    refused = f"stands at revision {NEXT}, for programs of revision {NEXT} or newer; this one is of {head()}"
    with pytest.raises(ConfigurationError, match=refused):
        on(empty_url, require_usable)
    with pytest.raises(ConfigurationError, match=refused):
        migrations.upgrade(empty_url)


def test_a_program_refuses_newer_tables_that_say_nothing(database_url: str) -> None:
    def by_a_program_that_knows_no_floor(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("DROP TABLE schema_floor"))

    on(database_url, by_a_program_that_knows_no_floor, write=True)
    with pytest.raises(ConfigurationError, match="stands at revision 9999, for programs of revision 9999"):
        on(database_url, require_usable)


def _floor(connection: Connection) -> str:
    return str(connection.execute(text("SELECT revision FROM schema_floor")).scalar_one())


def test_programs_that_cannot_read_every_role_may_not_run(database_url: str) -> None:
    assert on(database_url, _floor) >= "0005"


def test_its_own_tables_are_usable_whatever_was_said(database_url: str) -> None:
    """A step back of the floor's, as of a mistake that was put right, is written too."""
    floor = on(database_url, _floor)
    on(database_url, lambda connection: set_floor(connection, "9999"), write=True)
    on(database_url, require_usable)
    migrations.upgrade(database_url)
    assert on(database_url, _floor) == floor


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url: str) -> None:
    migrations.upgrade(empty_url, revision=REVISIONS[0])
    on(empty_url, lambda connection: connection.execute(text("CREATE TABLE feedback (n INTEGER)")), write=True)
    with pytest.raises(Exception, match="feedback"):
        migrations.upgrade(empty_url)
    assert on(empty_url, migrations.current) == REVISIONS[0]
    tables = on(empty_url, _tables)
    assert "threads" not in tables
    on(empty_url, lambda connection: connection.execute(text("DROP TABLE feedback")), write=True)
    assert migrations.upgrade(empty_url) == head()


def _tables(connection: Connection) -> set[str]:
    found = MetaData()
    found.reflect(connection)
    return set(found.tables)
