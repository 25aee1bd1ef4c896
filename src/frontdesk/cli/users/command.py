"""`frontdesk users`."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from frontdesk.cli.configuration import read_settings
from frontdesk.cli.failures import CommandError
from frontdesk.cli.passwords import made_up_password, read_password
from frontdesk.cli.up.data_folder import settings_for
from frontdesk.cli.users.accounts import with_users
from frontdesk.identity.message_limits import parse_tiers
from frontdesk.identity.users.models import Registration, Role, User
from frontdesk.identity.users.service import UserService

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

_PAGE = 100
Json = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Username = Annotated[str, typer.Argument(metavar="USERNAME")]
PasswordFile = Annotated[Path | None, typer.Option(help="Read the password here; - is standard input.")]


@app.callback()
def users(
    context: typer.Context,
    *,
    data_folder: Annotated[Path | None, typer.Option(help="Of `frontdesk up`, to change its accounts.")] = None,
) -> None:
    """List, add and change accounts, directly in the database (CHAT_DATABASE_URL)."""
    settings = read_settings()
    if data_folder is not None and not data_folder.is_dir():
        raise CommandError(f"There is no folder {data_folder}.")
    context.obj = settings_for(data_folder, settings) if data_folder else settings


@app.command("list")
def list_users(context: typer.Context, *, as_json: Json = False) -> None:
    """All accounts, in the order of their creation."""
    accounts = with_users(context.obj, _all_users)
    if as_json:
        sys.stdout.write(json.dumps([_record(user) for user in accounts]) + "\n")
        return
    table = Table("User name", "Role", "State", "Products", "Agents", "Created", box=None)
    for user in accounts:
        state = "active" if user.is_active else "suspended"
        created = f"{user.created_at:%Y-%m-%d %H:%M}"
        table.add_row(
            user.username, user.role, state, _allowed(user.allowed_products), _allowed(user.allowed_agents), created
        )
    Console(highlight=False).print(table)


@app.command()
def add(
    context: typer.Context,
    username: Username,
    *,
    email: Annotated[str | None, typer.Option()] = None,
    role: Annotated[Role, typer.Option(help="The first account becomes an administrator in any case.")] = Role.user,
    product: Annotated[list[str] | None, typer.Option(help="Allow only these products; repeatable.")] = None,
    agent: Annotated[list[str] | None, typer.Option(help="Allow only these agents; repeatable.")] = None,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make an account. Asks for its password on a terminal, and otherwise makes one up and shows it once."""
    given = read_password(password_file)
    registration = Registration(
        username=username,
        password=given or made_up_password(),
        email=email,
        role=role,
        allowed_products=tuple(product) if product else None,
        allowed_agents=tuple(agent) if agent else None,
    )
    user = with_users(context.obj, lambda service: service.create(registration))
    _tell(user, "was added", as_json=as_json, password=None if given else registration.password)


@app.command()
def password(
    context: typer.Context, username: Username, *, password_file: PasswordFile = None, as_json: Json = False
) -> None:
    """Set a new password. All of the user's logins end."""
    given = read_password(password_file)
    new = given or made_up_password()
    user = _change(context, username, lambda service, user: service.set_password(user.id, new))
    _tell(user, "has a new password", as_json=as_json, password=None if given else new)


@app.command()
def suspend(context: typer.Context, username: Username, *, as_json: Json = False) -> None:
    """End all of the user's logins and admit no new one."""
    user = _change(context, username, lambda service, user: service.suspend(user.id))
    _tell(user, "is suspended", as_json=as_json)


@app.command()
def activate(context: typer.Context, username: Username, *, as_json: Json = False) -> None:
    """Admit a suspended user again."""
    user = _change(context, username, lambda service, user: service.activate(user.id))
    _tell(user, "is active", as_json=as_json)


@app.command()
def role(
    context: typer.Context, username: Username, role: Annotated[Role, typer.Argument()], *, as_json: Json = False
) -> None:
    """Make a user an administrator, or an ordinary user again, whose logins then end."""
    user = _change(context, username, lambda service, user: service.set_role(user.id, role))
    _tell(user, f"now has the role {role}", as_json=as_json)


@app.command()
def tier(
    context: typer.Context,
    username: Username,
    tier: Annotated[str | None, typer.Argument(help="One of CHAT_TIERS; without it the default one.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Set how much a user may send and use."""
    if tier is not None and tier not in parse_tiers(context.obj.tiers):
        raise CommandError(f"There is no tier {tier} in CHAT_TIERS.")
    user = _change(context, username, lambda service, user: service.set_tier(user.id, tier))
    _tell(user, f"now has the tier {tier or context.obj.default_tier}", as_json=as_json)


@app.command()
def allow(
    context: typer.Context,
    username: Username,
    *,
    product: Annotated[list[str] | None, typer.Option(help="Repeatable; without it every product.")] = None,
    agent: Annotated[list[str] | None, typer.Option(help="Repeatable; without it every agent.")] = None,
    as_json: Json = False,
) -> None:
    """Set both allow lists: what is not named here is not allowed any more."""
    products, agents = tuple(product) if product else None, tuple(agent) if agent else None
    user = _change(
        context, username, lambda service, user: service.set_allow_lists(user.id, products=products, agents=agents)
    )
    _tell(user, "has new allow lists", as_json=as_json)


async def _all_users(service: UserService) -> list[User]:
    found = page = await service.list(limit=_PAGE)
    while len(page) == _PAGE:
        page = await service.list(after=page[-1].id, limit=_PAGE)
        found = found + page
    return found


def _change(context: typer.Context, username: str, change: Callable[[UserService, User], Awaitable[None]]) -> User:
    async def work(service: UserService) -> User:
        user = await service.find_by_name(username)
        if user is None:
            raise CommandError(f"There is no user {username}.")
        await change(service, user)
        return await service.get(user.id)

    return with_users(context.obj, work)


def _tell(user: User, what: str, *, as_json: bool, password: str | None = None) -> None:
    if as_json:
        made_up = {} if password is None else {"password": password}
        sys.stdout.write(json.dumps({**_record(user), **made_up}) + "\n")
        return
    sys.stdout.write(f"{user.username} ({user.role}) {what}.\n")
    if password is not None:
        sys.stdout.write(f"Password, shown this once: {password}\n")


def _record(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "role": user.role,
        "is_active": user.is_active,
        "tier": user.tier,
        "permissions": {"products": user.allowed_products, "agents": user.allowed_agents},
        "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
    }


def _allowed(items: tuple[str, ...] | None) -> str:
    return "all" if items is None else ", ".join(items)
