"""Programs of `examples`, which say where they answer."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from deploy.parts.program import Program

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
_SIGN = '{"url": '


def announced(parts: ExitStack, name: str, folder: Path, *command: str) -> str:
    """The address that a module of ours prints as JSON once it answers; it ends with `parts`. Its log is `name`'s.

    Raises `PartFailedError`.
    """
    program = Program(
        *(sys.executable, "-m", *command),
        log=folder / f"{name}.log",
        environment={"PYTHONPATH": f"{ROOT / 'examples'}:{ROOT / 'src'}", "PYTHONUNBUFFERED": "1"},
        apart=True,
    )
    parts.enter_context(program)
    program.await_ready(lambda: _SIGN in program.output(), seconds=READY_SECONDS)
    line = next(line for line in program.output().splitlines() if line.startswith(_SIGN))
    return str(json.loads(line)["url"])
