"""What `frontdesk up` keeps between starts, for its owner's eyes only: a database and a signing secret of its own."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from frontdesk.cli.failures import CommandError
from frontdesk.settings import Settings

_SECRET_BYTES = 48


def settings_for(folder: Path, configured: Settings) -> Settings:
    """`configured`, with what was left at its default taken from `folder`, which is made when it is not there.

    Raises CommandError when the folder cannot be used.
    """
    own: dict[str, Any] = {}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        if configured.has_default_jwt_secret:
            own["jwt_secret_key"] = _secret(folder / "jwt-secret")
    except OSError as error:
        raise CommandError(f"The data folder cannot be used: {error}") from error
    if "database_url" not in configured.model_fields_set:
        own["database_url"] = f"sqlite:///{folder / 'frontdesk.db'}"
    if "blob_store" not in configured.model_fields_set:
        own["blob_store"] = f"file://{quote(str(folder.absolute() / 'files'))}"
    if "log_level" not in configured.model_fields_set:
        own["log_level"] = "WARNING"
    return Settings(**own)


def _secret(path: Path) -> str:
    """The secret in `path`. When there is none it is made whole under another name first: two starts agree on one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(_SECRET_BYTES))
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()
