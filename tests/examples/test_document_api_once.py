"""Effects that happen once, whatever is repeated, at once or after a crash."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from harness.document_api import DocumentApi, document_api, events_of, eventually, listed
from harness.model_stub import ModelStub

Call = tuple[str, str, dict[str, object], dict[str, object]]


def _calls(document_id: str) -> dict[str, Call]:
    """For each route with an effect: a request, and another body for it."""
    text = {"title": "a", "text": "b"}
    video = {"video": "dQw4w9WgXcQ", "transcript": "a"}
    return {
        "ingest_text": ("POST", "/documents/text", {**text}, {**text, "title": "c"}),
        "ingest_youtube": ("POST", "/documents/youtube", {**video}, {**video, "transcript": "c"}),
        "optimize": ("POST", f"/documents/{document_id}/optimize", {}, {"instructions": "c"}),
        "generate_blog": ("POST", f"/documents/{document_id}/blog", {}, {"words": 100}),
        "drive_link": ("PUT", "/drive/link", {"folder": "x"}, {"folder": "y"}),
        "drive_publish": (
            "POST",
            "/drive/publish",
            {"document_id": document_id},
            {"document_id": document_id, "format": "html"},
        ),
    }


@pytest.mark.parametrize("tool", list(_calls("")))
def test_a_repeated_request_has_one_effect_and_one_answer(tool: str, session: httpx.Client, document_id: str) -> None:
    session.put("/drive/link", json={"folder": "once"})
    method, path, body, other = _calls(document_id)[tool]
    headers = {"Idempotency-Key": uuid4().hex}
    first = session.request(method, path, json=body, headers=headers)
    assert first.is_success, first.text
    assert "Idempotent-Replayed" not in first.headers
    told, stored = events_of(session), listed(session)
    again = session.request(method, path, json=body, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    refused = session.request(method, path, json=other, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert (events_of(session), listed(session)) == (told, stored)
    anew = session.request(method, path, json=body, headers={"Idempotency-Key": uuid4().hex})
    assert anew.is_success
    assert len(events_of(session)) > len(told)


@pytest.mark.parametrize("tool", ["ingest_text", "generate_blog", "optimize"])
def test_requests_at_once_have_one_effect(tool: str, session: httpx.Client, document_id: str) -> None:
    method, path, body, _ = _calls(document_id)[tool]
    headers = {"Idempotency-Key": uuid4().hex}
    before = len(listed(session))

    def ask(_: int) -> httpx.Response:
        return session.request(method, path, json=body, headers=headers)

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(20)))
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(listed(session)) == before + (tool != "optimize")
    versions = session.get(f"/documents/{document_id}/versions").json()["items"]
    assert len(versions) == 1 + (tool == "optimize")


def test_a_key_is_its_sessions_own(session: httpx.Client, documents: DocumentApi) -> None:
    body, headers = {"title": "a", "text": "b"}, {"Idempotency-Key": "the same"}
    first = session.post("/documents/text", json=body, headers=headers).json()
    with documents.session(uuid4().hex) as other:
        assert other.post("/documents/text", json={**body, "text": "c"}, headers=headers).json()["id"] != first["id"]


def test_a_refused_request_leaves_its_key_free(session: httpx.Client, document_id: str) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    publish: Callable[[], httpx.Response] = lambda: session.post(  # noqa: E731
        "/drive/publish", json={"document_id": document_id}, headers=headers
    )
    assert publish().status_code == 409
    session.put("/drive/link", json={"folder": "later"})
    assert publish().status_code == 200


def test_a_failed_job_leaves_its_key_free(tmp_path: Path, model_stub: ModelStub) -> None:
    model = f"scripted?tokens=3&status=500&fail_first=1&key={uuid4().hex}"
    with (
        document_api(tmp_path / "api", llm_base=model_stub.url, llm_model=model) as api,
        api.session("s") as session,
    ):
        document = session.post("/documents/text", json={"title": "a", "text": "b"}).json()
        headers = {"Idempotency-Key": "k"}
        failed = session.post(f"/documents/{document['id']}/blog", json={}, headers=headers)
        assert (failed.status_code, failed.json()["code"]) == (502, "model_failed")
        assert len(listed(session)) == 1
        assert events_of(session)[-1]["state"] == "failed"
        assert events_of(session)[-1]["code"] == "model_failed"
        made = session.post(f"/documents/{document['id']}/blog", json={}, headers=headers)
        assert made.status_code == 201
        assert made.json()["text"] == "t0 t1 t2"
        assert len(listed(session)) == 2


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_job_survives_its_process_and_has_its_effect_once(end: str, tmp_path: Path, model_stub: ModelStub) -> None:
    key = uuid4().hex
    model = f"scripted?tokens=6&stall_at=3&fail_first=1&key={key}"
    headers = {"Idempotency-Key": "k"}
    with document_api(tmp_path / "api", llm_base=model_stub.url, llm_model=model) as api:
        with api.session("s") as session:
            document = session.post("/documents/text", json={"title": "a", "text": "b"}).json()
            path = f"/documents/{document['id']}/blog"
            stream = {"Accept": "text/event-stream"}
            with session.stream("POST", path, json={}, headers=headers | stream) as answer:
                assert next(answer.iter_lines()) == "event: delta"
                getattr(api.process, end)()
        api.start()
        with api.session("s") as session:
            eventually(lambda: len(listed(session)) == 2)
            again = session.post(path, json={}, headers=headers)
            assert again.status_code == 201
            assert again.headers["Idempotent-Replayed"] == "true"
            assert again.json()["text"] == "t0 t1 t2 t3 t4 t5"
            assert again.json()["document"] == listed(session)[0]
            assert len(listed(session)) == 2
            states = [event["state"] for event in events_of(session) if event["type"] == "job"]
            assert states == ["queued", "running", "running", "completed"]


def test_what_was_acknowledged_survives_kill_nine(tmp_path: Path) -> None:
    with document_api(tmp_path / "api") as api:
        with api.session("s") as session:
            made = [session.post("/documents/text", json={"title": f"{n}", "text": "x"}).json() for n in range(20)]
            api.process.kill()
        api.start()
        with api.session("s") as session:
            assert listed(session) == made[::-1]
