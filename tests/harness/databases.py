"""Real databases for tests: a fresh, migrated one each time, on SQLite and on PostgreSQL."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Self

import pytest

from deploy.parts.postgres import PostgresServer
from frontdesk.database.migrations import upgrade

_TEMPLATE = "frontdesk_template"
_numbers = count(1)


class PostgresDatabases(PostgresServer):
    """One server for the run, with a migrated database that the others are copies of."""

    def start(self) -> Self:
        super().start()
        upgrade(self.ensure_database(_TEMPLATE))
        return self

    def create(self) -> str:
        name = f"frontdesk_{next(_numbers)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY;")
        return name

    def drop(self, name: str) -> None:
        self.ask(f"DROP DATABASE {name} WITH (FORCE);")

    def control(self, *arguments: str) -> None:
        """Runs `pg_ctl` as the user that the server runs as."""
        program = str(self._server.bin_path / "pg_ctl")
        subprocess.run([program, *arguments], check=True, user=self._server.system_user, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresDatabases]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # its socket's path must be short
    server = PostgresDatabases(folder)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'frontdesk.db')}"


@pytest.fixture
def postgres_url(postgres_server: PostgresDatabases) -> Iterator[str]:
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def each_module_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """As `module_database_url`, for the module's tests on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("module_database_url")
        return
    server: PostgresDatabases = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture(scope="module")
def module_database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """For a server that a module's tests share."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('module') / 'frontdesk.db')}"
