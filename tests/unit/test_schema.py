from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from frontdesk.database import migrations
from frontdesk.database.schema import current, head


def test_the_head_is_the_one_that_the_migration_tools_find() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert head() == ScriptDirectory.from_config(config).get_current_head()


def test_a_database_stands_at_nothing_and_then_at_the_head(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    with engine.connect() as connection:
        assert current(connection) is None
    migrations.upgrade(f"sqlite:///{tmp_path / 'app.db'}")
    with engine.connect() as connection:
        assert current(connection) == head()
    engine.dispose()
