"""Tests that run whole programs or a browser mostly wait for them. Their files stand among the others, not before them:
so a run of several files at a time waits and works at once.
"""

from itertools import groupby
from pathlib import Path

import pytest

_WAITING = {"end_to_end", "web"}
_SPREAD = 0.7  # of the other files: behind so many, the last file that waits has begun


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files = [(path, list(group)) for path, group in groupby(items, key=lambda item: item.path)]
    items[:] = [item for file in _mixed(files) for item in file]


def _mixed(files: list[tuple[Path, list[pytest.Item]]]) -> list[list[pytest.Item]]:
    waiting = [file for path, file in files if path.parent.name in _WAITING]
    waiting.sort(key=lambda file: file[0].path.name)  # browsers apart from each other
    working = [file for path, file in files if path.parent.name not in _WAITING]
    places = [number * _SPREAD * len(working) / len(waiting) for number in range(len(waiting))]
    placed = [*zip(places, waiting, strict=True), *enumerate(working)]
    return [file for _, file in sorted(placed, key=lambda one: one[0])]
