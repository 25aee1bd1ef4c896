"""What pages are shown to do, and what goes over the wire here, held to the types that npm's `@openai/chatkit` and
`@openai/chatkit-react` publish. Of the wire they know what pages meet: actions, tags, effects, icons and widgets.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from harness.chatkit_agents import card

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
FOLDER = CLIENTS / "chatkit"
REQUESTS = Path(__file__).parent / "fixtures" / "chatkit_requests.json"
HOW_TO = ROOT / "docs" / "how-to" / "chatkit.md"
WIDGET = ROOT / "examples" / "todo" / "web" / "widget.tsx"
HEAD = """\
import type { OpenAIChatKit, ToolChoice, UserMessageContent, Widgets } from '@openai/chatkit';
type Action = Parameters<OpenAIChatKit['sendCustomAction']>[0];
"""


def test_the_published_types_allow_what_we_write() -> None:
    """`make test` installs the types; by hand: npm ci, in tests/clients."""
    generated = FOLDER / "generated"
    generated.mkdir(exist_ok=True)
    shown = re.findall(r"```tsx\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert len(shown) == 1
    (generated / "how_to.tsx").write_text(f"{shown[0]}\ndeclare function accessToken(): Promise<string>;\n")
    (generated / "widget.tsx").write_text(WIDGET.read_text())
    (generated / "wire.ts").write_text(HEAD + "".join(_constants()))
    compiler = CLIENTS / "node_modules" / ".bin" / "tsc"
    compiled = subprocess.run([compiler, "-p", "."], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr


def _constants() -> list[str]:
    sent = [each["request"] for each in json.loads(REQUESTS.read_text())]
    params = [request["params"] for request in sent]
    inputs = [each["input"] for each in params if "content" in each.get("input", {})]
    found: dict[str, list[Any]] = {
        "Action": [_without_nulls(each["action"]) for each in params if "action" in each],
        "UserMessageContent": [part for each in inputs for part in each["content"]],
        "ToolChoice": [options["tool_choice"] for each in inputs if "tool_choice" in (options := _options(each))],
        "Widgets.Card": [card("x")],
    }
    assert all(found.values()), found
    return [
        f"export const of{number}: {name}[] = {json.dumps(values)};\n"
        for number, (name, values) in enumerate(found.items())
    ]


def _without_nulls(sent: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if value is not None}


def _options(sent: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = sent["inference_options"]
    return options
