"""Fixtures of the tests that run proofs in small numbers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.footing import Footing
from harness.databases import PostgresDatabases


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def footing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Footing]:
    """A fresh, migrated database for the module, on SQLite and then on PostgreSQL."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        yield Footing(f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('footing') / 'frontdesk.db')}")
        return
    postgres: PostgresDatabases = request.getfixturevalue("postgres_server")
    name = postgres.create()
    yield Footing(postgres.url(name))
    postgres.drop(name)
