"""The example of the environment is what the program reads: every setting, with its real default."""

import os
from pathlib import Path

import pytest

from frontdesk.settings import Settings

PREFIXES = ("CHAT_", "API_", "FORWARDED_", "GATEWAY__", "VITE_")
EXAMPLE = Path(__file__).parents[2] / ".env.example"


def lines() -> dict[str, tuple[str, bool]]:
    found = {}
    for line in EXAMPLE.read_text().splitlines():
        name, _, value = line.removeprefix("#").partition("=")
        if name.startswith(PREFIXES) and name.isupper():
            found[name] = (value, not line.startswith("#"))
    return found


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)


def test_the_example_names_every_setting_and_no_other() -> None:
    fields = Settings.model_fields.items()
    names = {str(field.validation_alias or f"CHAT_{name}").upper() for name, field in fields}
    assert set(lines()) == names


def test_the_example_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    default = Settings(_env_file=None)
    fields = {
        str(field.validation_alias or f"CHAT_{name}").upper(): name for name, field in Settings.model_fields.items()
    }
    for name, (value, has_default) in lines().items():
        if not has_default:
            assert getattr(default, fields[name]) is None, name
            continue
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == default


def test_the_provider_address_is_composed_or_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(_env_file=None).llm_base_url == "http://127.0.0.1:8080/v1"
    monkeypatch.setenv("CHAT_LLM_API_BASE", "https://models.example/v9/")
    assert Settings(_env_file=None).llm_base_url == "https://models.example/v9"
