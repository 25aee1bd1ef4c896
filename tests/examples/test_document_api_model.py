"""Blog posts and rewritten texts, from the scripted provider."""

import json
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from document_api.model import Model
from document_api.problems import ModelFailedError
from document_api.settings import ModelSettings
from frontdesk.model_stub.frames import SECRET
from harness.document_api import document_api, events_of, eventually, listed
from harness.model_stub import ModelStub

STREAM = {"Accept": "text/event-stream"}


def _events(body: str) -> list[tuple[str, dict[str, object]]]:
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in body.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


def test_a_post_is_a_new_document(session: httpx.Client, document_id: str) -> None:
    answer = session.post(f"/documents/{document_id}/blog", json={})
    assert answer.status_code == 201
    post = answer.json()
    assert post["text"] == "t0 t1 t2 t3 t4"
    assert post["document"]["kind"] == "blog"
    assert post["document"]["source"] == document_id
    assert listed(session)[0] == post["document"]
    assert session.get(f"/documents/{post['document']['id']}/exports").text == "t0 t1 t2 t3 t4\n"
    assert [event["stage"] for event in events_of(session) if event["type"] == "pipeline"] == ["ingested", "generated"]


def test_a_post_comes_as_it_is_written(session: httpx.Client, document_id: str) -> None:
    headers = {**STREAM, "Idempotency-Key": uuid4().hex}
    answer = session.post(f"/documents/{document_id}/blog", json={}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *deltas, (last, post) = _events(answer.text)
    assert {name for name, _ in deltas} == {"delta"}
    assert "".join(str(delta["text"]) for _, delta in deltas).strip() == "t0 t1 t2 t3 t4"
    assert last == "result"
    assert listed(session)[0] == post["document"]
    again = session.post(f"/documents/{document_id}/blog", json={}, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert _events(again.text) == [("delta", {"text": "t0 t1 t2 t3 t4"}), ("result", post)]
    assert len(listed(session)) == 2


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/event-stream", False),
        ("text/event-stream, application/json", True),
        ("text/html, TEXT/EVENT-STREAM;q=0.9", True),
    ],
)
def test_of_two_forms_the_first_that_is_named(
    accept: str,
    *,
    streams: bool,
    session: httpx.Client,
    document_id: str,
) -> None:
    answer = session.post(f"/documents/{document_id}/blog", json={}, headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("text/event-stream") == streams


async def test_the_model_is_given_the_text_and_the_key(tmp_path: Path, model_stub: ModelStub) -> None:
    key = uuid4().hex
    model = {"llm_base": model_stub.url, "llm_model": f"scripted?echo=1&key={key}", "llm_key": "sk-documents"}
    with document_api(tmp_path / "api", **model) as api, api.session("s") as session:
        document = session.post("/documents/text", json={"title": "a", "text": "# Grand   plan [music]"}).json()
        asked = {"use_model": True, "instructions": "Be brief."}
        answer = session.post(f"/documents/{document['id']}/optimize", json=asked).json()
        assert answer["changed"] is True
        assert session.get(f"/documents/{document['id']}/exports").text == "# Grand plan\n"
        post = session.post(f"/documents/{document['id']}/blog", json={}).json()
        assert post["document"]["title"] == "Grand plan"
    call, _ = await model_stub.calls(key)
    assert call["authorized"] is True
    task, text = (message["content"] for message in call["body"]["messages"])
    assert task.endswith("Be brief.")
    assert text == "# Grand plan"


def test_a_reader_that_leaves_changes_nothing(tmp_path: Path, model_stub: ModelStub) -> None:
    model = f"scripted?tokens=20&pause_ms=20&key={uuid4().hex}"
    with (
        document_api(tmp_path / "api", llm_base=model_stub.url, llm_model=model) as api,
        api.session("s") as session,
    ):
        document = session.post("/documents/text", json={"title": "a", "text": "b"}).json()
        with session.stream("POST", f"/documents/{document['id']}/blog", json={}, headers=STREAM) as answer:
            assert next(answer.iter_lines()) == "event: delta"
        eventually(lambda: len(listed(session)) == 2)
        post = listed(session)[0]
        text = session.get(f"/documents/{post['id']}/exports").text
        assert text.split() == [f"t{number}" for number in range(20)]


def test_without_a_model_the_caller_is_told(tmp_path: Path) -> None:
    with document_api(tmp_path / "api") as api, api.session("s") as session:
        document = session.post("/documents/text", json={"title": "a", "text": "b"}).json()
        before = events_of(session)
        for path, body in (("blog", {}), ("optimize", {"use_model": True})):
            answer = session.post(f"/documents/{document['id']}/{path}", json=body, headers=STREAM)
            assert (answer.status_code, answer.json()["code"]) == (503, "model_not_configured")
        assert events_of(session) == before


def test_a_stream_that_fails_ends_with_the_problem(tmp_path: Path, model_stub: ModelStub) -> None:
    with (
        document_api(tmp_path / "api", llm_base=model_stub.url, llm_model="scripted?error_at=3") as api,
        api.session("s") as session,
    ):
        document = session.post("/documents/text", json={"title": "a", "text": "b"}).json()
        answer = session.post(f"/documents/{document['id']}/blog", json={}, headers=STREAM)
        last, problem = _events(answer.text)[-1]
        assert (last, problem["code"]) == ("error", "model_failed")
        assert SECRET not in answer.text
        assert len(listed(session)) == 1


@pytest.mark.parametrize(
    "script",
    [
        "status=401",
        "status=429&retry_after=1",
        "status=302",
        "html=1",
        "plain=1",
        "error_at=3",
        "bad_at=3",
        "close_at=0",
        "close_at=3",
        "reset_at=3",
        "finish=0&done=0",
        "tokens=1&size=1000000",
    ],
)
async def test_a_provider_that_fails_is_told_without_its_words(script: str, model_stub: ModelStub) -> None:
    model = Model(ModelSettings(model_stub.url, f"scripted?{script}", None))
    with pytest.raises(ModelFailedError) as failure:
        _ = [piece async for piece in model.answer("task", "text")]
    assert SECRET not in failure.value.problem.model_dump_json()


@pytest.mark.parametrize("framing", ["crlf=1", "comments=1", "multiline=1", "split=3", "unicode=1", "done=0"])
async def test_odd_but_legal_framing_is_read(framing: str, model_stub: ModelStub) -> None:
    model = Model(ModelSettings(model_stub.url, f"scripted?tokens=5&{framing}", None))
    pieces = [piece async for piece in model.answer("task", "text")]
    assert len("".join(pieces).split()) == 5


async def test_a_provider_that_is_not_there_is_told() -> None:
    model = Model(ModelSettings("http://127.0.0.1:9", "any", None))
    with pytest.raises(ModelFailedError):
        _ = [piece async for piece in model.answer("task", "text")]
