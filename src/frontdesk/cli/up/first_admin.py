"""The account with which a new installation can be entered."""

from rich.console import Console
from sqlalchemy import Connection

from frontdesk.cli.database import read_database
from frontdesk.cli.passwords import made_up_password, read_password
from frontdesk.cli.users.accounts import with_users
from frontdesk.identity.users.models import Registration
from frontdesk.identity.users.repository import list_page
from frontdesk.settings import Settings


def ensure_admin(settings: Settings, username: str, console: Console) -> tuple[str, str | None]:
    """The name of the first account, and its password if it was made up just now, to be shown and forgotten.

    When there is no account one is made for `username`, with a password that is asked for on a terminal, and otherwise
    made up. Raises CommandError.
    """
    founder = read_database(settings, _find_founder)
    if founder is not None:
        return founder, None
    console.print(f"The first start: the administrator {username} is made.", markup=False)
    given = read_password(None)
    registration = Registration(username=username, password=given or made_up_password())
    with_users(settings, lambda users: users.create(registration))
    if given is None:
        console.print(f"Password of {username}, shown this once: {registration.password}", markup=False)
    return username, None if given is not None else registration.password


def _find_founder(connection: Connection) -> str | None:
    oldest = list_page(connection, after="", limit=1)
    return oldest[0].username if oldest else None
