import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.cli.chat.answer import Answer
from frontdesk.cli.chat.credentials import Credentials, CredentialStore
from frontdesk.cli.chat.display import TerminalDisplay
from frontdesk.cli.chat.event_stream import EventStreamParser, ServerEvent
from frontdesk.cli.chat.gateway import api_address
from frontdesk.cli.failures import CommandError

TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
IDS = st.none() | st.from_regex(r"[a-z0-9~-]{1,8}", fullmatch=True)


@given(st.lists(st.tuples(IDS, TEXT), max_size=8), st.sampled_from(["\n", "\r\n"]), st.data())
def test_events_come_whole_however_the_stream_was_cut(
    sent: list[tuple[str | None, str]], end: str, data: st.DataObject
) -> None:
    frames = [(f"id: {name}{end}" if name else "") + f": note{end}data: {text}{end}{end}" for name, text in sent]
    stream = "".join(frames).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    parser = EventStreamParser()
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [event for piece in pieces for event in parser.feed(piece)] == [ServerEvent(*each) for each in sent]


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="8 MiB"):
        list(EventStreamParser().feed(b"x" * (8 * 1024 * 1024 + 1)))


def test_what_was_said_before_a_restart_is_void() -> None:
    screen = io.StringIO()
    answer, display = Answer("thread"), TerminalDisplay(screen)
    for chunk in (
        '{"choices": [{"delta": {"content": "old"}}]}',
        '{"agent_status": "restarted", "choices": []}',
        '{"model": "m", "choices": [{"delta": {"content": "new"}}]}',
        '{"agent_status": "completed", "choices": [], "usage": {"total_tokens": 2}}',
    ):
        answer.take(json.loads(chunk), display)
    assert (answer.text, answer.status, answer.model, answer.usage) == ("new", "completed", "m", {"total_tokens": 2})
    assert screen.getvalue().endswith("\x1b[0Jnew")


def test_a_model_cannot_write_control_characters_to_the_terminal() -> None:
    screen = io.StringIO()
    TerminalDisplay(screen).text("a\x1b]0;title\x07\r\x9bb\n\tc")
    assert screen.getvalue() == "a]0;titleb\n\tc"


def test_an_erased_text_takes_all_its_rows_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "24")
    screen = io.StringIO()
    display = TerminalDisplay(screen)
    display.text("12345678901\n漢字漢字漢字")
    display.voided()
    assert "\r\x1b[3A\x1b[0J" in screen.getvalue()


def test_credentials_are_kept_for_each_server_and_a_broken_file_is_none(tmp_path: Path) -> None:
    store = CredentialStore(tmp_path / "frontdesk")
    mine = Credentials("ada", "access", "refresh", expires_at=1.5)
    with store.locked():
        store.save("http://a/api", mine)
        store.save("http://b/api", mine)
        store.forget("http://b/api")
    assert (store.find("http://a/api"), store.find("http://b/api")) == (mine, None)
    (tmp_path / "frontdesk" / "credentials.json").write_text("{")
    assert store.find("http://a/api") is None


@pytest.mark.parametrize(
    ("server", "api"),
    [
        ("http://localhost:8009", "http://localhost:8009/api"),
        ("https://chat.example/", "https://chat.example/api"),
        ("https://chat.example/desk/v1/", "https://chat.example/desk/v1"),
    ],
)
def test_an_address_without_a_path_gets_the_default_prefix(server: str, api: str) -> None:
    assert api_address(server) == api


@pytest.mark.parametrize("server", ["localhost:8009", "ftp://x", "http://", ""])
def test_other_addresses_are_refused(server: str) -> None:
    with pytest.raises(CommandError):
        api_address(server)
