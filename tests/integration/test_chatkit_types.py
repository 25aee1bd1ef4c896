"""What pages are shown to do, and what agents here show, held to the types that npm's `@openai/chatkit` publishes."""

import json
import subprocess
from pathlib import Path

from harness.chatkit_agents import card

CLIENTS = Path(__file__).parents[1] / "clients"
FOLDER = CLIENTS / "chatkit"


def test_the_published_types_allow_what_we_write() -> None:
    """`make test` installs the types; by hand: npm ci, in tests/clients."""
    generated = FOLDER / "generated"
    generated.mkdir(exist_ok=True)
    written = "import type { Widgets } from '@openai/chatkit';\nexport const card: Widgets.Card = "
    (generated / "card.ts").write_text(f"{written}{json.dumps(card('x'))};\n")
    compiler = CLIENTS / "node_modules" / ".bin" / "tsc"
    compiled = subprocess.run([compiler, "-p", "."], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
