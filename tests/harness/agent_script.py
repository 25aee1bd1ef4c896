"""What a scripted agent shall do, written in the user's message: `say 3;tool ask {"a":1}|heard`.

Segments stand between `|`: each ends where the agent needs something, and the next begins when it has come.
"""

import json
from typing import Any

Command = tuple[str, str]


def commands(content: str, segment: int) -> list[Command]:
    segments = content.split("|")
    if segment >= len(segments):
        return []
    parted = (command.strip().partition(" ") for command in segments[segment].split(";"))
    return [(verb, rest) for verb, _, rest in parted]


def tokens_of(rest: str) -> tuple[list[str], float]:
    """The tokens of `say NUMBER PAUSE_MS`, and the pause in seconds."""
    number, _, pause = rest.partition(" ")
    return [f"t{each} " for each in range(int(number))], float(pause or 0) / 1000


def call_of(rest: str) -> tuple[str, dict[str, Any]]:
    name, _, arguments = rest.partition(" ")
    return name, json.loads(arguments or "{}")


def words(texts: list[str]) -> list[str]:
    return [f"{word} " for text in texts for word in text.split()]
