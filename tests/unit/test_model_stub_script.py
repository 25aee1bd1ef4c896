import pytest

from frontdesk.model_stub.frames import Answer, dress
from frontdesk.model_stub.script import Script, ScriptError, UnknownModelError, parse

REQUEST = {"model": "scripted", "messages": [{"role": "user", "content": "tell me more"}]}


def answer(script: Script) -> Answer:
    return Answer(script, call_id="chatcmpl-" + "a" * 29, created=1_700_000_000, request=REQUEST)


def test_a_bare_name_is_the_default_script() -> None:
    assert parse("scripted") == Script()


def test_values_have_the_types_of_their_keys() -> None:
    script = parse("scripted?tokens=3&pause_ms=1.5&key=7&stall_at=0&retry_after=5")
    assert (script.tokens, script.pause_ms, script.key, script.stall_at, script.retry_after) == (3, 1.5, "7", 0, "5")


@pytest.mark.parametrize("name", ["gpt-5", "", "scripted2", "Scripted"])
def test_other_names_are_unknown(name: str) -> None:
    with pytest.raises(UnknownModelError):
        parse(name)


@pytest.mark.parametrize(
    "query", ["token=3", "tokens=-1", "tokens=x", "tokens", "tokens=1&tokens=2", "crlf=2", "status=99", "done=true"]
)
def test_a_wrong_script_is_refused(query: str) -> None:
    with pytest.raises(ScriptError, match="script"):
        parse(f"scripted?{query}")


def test_without_faults_keeps_what_is_said() -> None:
    script = parse("scripted?tokens=3&status=500&reset_at=1&stall_at=1&done=0&finish=0&crlf=1&fail_first=1")
    assert script.without_faults() == parse("scripted?tokens=3&crlf=1&fail_first=1")


def test_tokens_are_numbered_padded_or_echoed() -> None:
    assert answer(Script(tokens=2)).texts == ("t0 ", "t1 ")
    assert answer(Script(echo=1)).texts == ("tell ", "me ", "more ")
    assert [len(text.encode()) for text in answer(Script(tokens=2, size=40, unicode=1)).texts] == [40, 40]


def test_a_chunk_has_about_the_size_of_a_real_one() -> None:
    assert 220 <= len(answer(Script()).tokens(0, 1)) <= 280


def test_dressed_frames_keep_their_events() -> None:
    frames = answer(Script(tokens=1)).tokens(0, 1)
    assert dress(frames, Script()) == frames
    assert dress(frames, Script(crlf=1, comments=1)) == frames[:-2] + b"\r\n\r\n: keep-alive\r\n\r\n"
