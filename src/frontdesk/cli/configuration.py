"""The settings as a command needs them: complete, or an error that names what is wrong."""

from pydantic import ValidationError

from frontdesk.cli.failures import USAGE, CommandError
from frontdesk.settings import Settings


def read_settings() -> Settings:
    """Raises CommandError with each setting that is not acceptable."""
    try:
        return Settings()
    except ValidationError as error:
        faults = "".join(
            f"\n  CHAT_{'.'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise CommandError(f"The configuration is not usable:{faults}", exit_code=USAGE) from error
