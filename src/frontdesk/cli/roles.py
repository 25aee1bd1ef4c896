"""Starting a server in one of its roles."""

from rich.console import Console

from frontdesk.app import Role
from frontdesk.cli.configuration import read_settings
from frontdesk.cli.database import is_embedded, prepare_database
from frontdesk.cli.gateway_server import run_gateway
from frontdesk.cli.listening import base_url, bind_gateway


def run_role(role: Role, host: str, port: int, **defaults: str) -> None:
    """Blocks. `defaults` are the role's own, for settings that were not given. Raises CommandError."""
    given = read_settings()
    unset = {name: value for name, value in defaults.items() if name not in given.model_fields_set}
    settings = given.model_copy(update=unset)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    sockets = bind_gateway(host, port, settings)
    for name in settings.default_secrets:
        console.print(f"{name} is still the default: only this machine can connect.", style="yellow")
    if settings.temporal_address is not None and settings.redis_url is None:
        console.print("Without CHAT_REDIS_URL, streams show nothing of what workers answer.", style="yellow")
    prepare_database(settings, may_migrate=is_embedded(settings))

    async def announce() -> None:
        console.print(f"Frontdesk listens on {base_url(sockets)}", markup=False)

    run_gateway(settings, sockets, announce, role=role)
