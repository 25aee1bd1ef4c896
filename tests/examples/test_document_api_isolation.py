"""Sessions, keys and the drive: what nobody else reaches."""

import json
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from harness.document_api import DocumentApi, document_api, events_of, listed
from harness.processes import ProcessFailedError


def test_another_sessions_documents_are_not_found(
    session: httpx.Client, document_id: str, documents: DocumentApi
) -> None:
    before = events_of(session)
    with documents.session(uuid4().hex) as other:
        other.put("/drive/link", json={"folder": "others"})
        answers = [
            other.get(f"/documents/{document_id}/versions"),
            other.get(f"/documents/{document_id}/exports"),
            other.post(f"/documents/{document_id}/optimize", json={}),
            other.post(f"/documents/{document_id}/blog", json={}),
            other.post("/drive/publish", json={"document_id": document_id}),
            other.get("/documents", params={"before": document_id}),
            other.get("/sessions/events", params={"session_id": session.headers["X-Agent-Session-Id"]}),
        ]
        absent = other.get(f"/documents/{'0' * 32}/versions")
        assert listed(other) == []
        assert [event["stage"] for event in events_of(other)] == ["drive_linked"]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * len(answers)
    assert answers[0].json() == absent.json()
    assert events_of(session) == before


def test_a_session_is_required(documents: DocumentApi) -> None:
    for session_id in (None, "", "a b", "x" * 201):
        with documents.session(session_id) as client:
            for answer in (
                client.get("/documents"),
                client.post("/documents/text", json={"title": "a", "text": "b"}),
                client.get("/sessions/events"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (400, "session_required")


def test_a_poller_may_name_the_session_in_the_query_alone(documents: DocumentApi, session: httpx.Client) -> None:
    session.post("/documents/text", json={"title": "a", "text": "b"})
    with documents.session(None) as poller:
        asked = {"session_id": session.headers["X-Agent-Session-Id"]}
        assert poller.get("/sessions/events", params=asked).json()["events"] == events_of(session)


def test_a_configured_key_is_demanded(tmp_path: Path) -> None:
    with document_api(tmp_path / "api", api_key="open sesame") as api:
        for key in (None, "open", "open sesame2"):
            with api.session("s", key) as client:
                for answer in (
                    client.get("/documents"),
                    client.post("/documents/text", json={"title": "a", "text": "b"}),
                    client.get("/sessions/events", params={"session_id": "s"}),
                    client.get("/drive/status"),
                ):
                    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        with api.session("s", "open sesame") as client:
            assert client.post("/documents/text", json={"title": "a", "text": "b"}).status_code == 201
        assert httpx.get(f"{api.url}/health", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        (["--host", "0.0.0.0"], {}, "DOCUMENTS_API_KEY"),
        ([], {"llm_base": "ftp://x"}, "DOCUMENTS_LLM_BASE"),
        ([], {"llm_base": "http://x"}, "DOCUMENTS_LLM_MODEL"),
    ],
)
def test_it_does_not_start_as_it_should_not(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], complaint: str
) -> None:
    api = DocumentApi(tmp_path / "api", *arguments, **settings)
    with pytest.raises(ProcessFailedError, match=complaint):
        api.start()


def test_one_process_has_the_data(tmp_path: Path) -> None:
    with document_api(tmp_path / "api") as api, api.session("s") as session:
        session.post("/documents/text", json={"title": "a", "text": "b"})
        second = DocumentApi(tmp_path / "second", "--data", str(api.data))
        with pytest.raises(ProcessFailedError, match="in use by another process"):
            second.start()
        assert len(listed(session)) == 1


@pytest.mark.parametrize(
    "folder",
    ["..", "../x", "a/../../x", "/etc", "a//b", "./a", "a/.", ".hidden", "a\\b", "a\u0000b", "%2e%2e", "", "a/", "~x"],
)
def test_no_folder_leaves_the_drive(folder: str, session: httpx.Client, documents: DocumentApi) -> None:
    before = sorted(documents.data.rglob("*"))
    answer = session.put("/drive/link", json={"folder": folder})
    assert answer.status_code == 422
    assert sorted(documents.data.rglob("*")) == before


def test_no_symbolic_link_leads_out_of_the_drive(
    session: httpx.Client, document_id: str, documents: DocumentApi, tmp_path: Path
) -> None:
    (documents.drive / "door").symlink_to(tmp_path)
    for folder in ("door", "door/inside"):
        answer = session.put("/drive/link", json={"folder": folder})
        assert (answer.status_code, answer.json()["code"]) == (409, "drive_folder_refused")
    assert session.put("/drive/link", json={"folder": "later/door"}).status_code == 200
    (documents.drive / "later" / "door").rmdir()
    (documents.drive / "later" / "door").symlink_to(tmp_path)
    answer = session.post("/drive/publish", json={"document_id": document_id})
    assert (answer.status_code, answer.json()["code"]) == (409, "drive_folder_refused")
    assert list(tmp_path.iterdir()) == []


def test_it_imports_nothing_of_the_gateway() -> None:
    """In a process that has the gateway's sources at hand."""
    assert "frontdesk" in sys.modules
    for source in (Path(__file__).parents[2] / "examples" / "document_api").rglob("*.py"):
        assert "import frontdesk" not in (text := source.read_text()), source
        assert "from frontdesk" not in text, source


def test_problems_say_nothing_of_what_was_sent(session: httpx.Client) -> None:
    answer = session.post("/documents/text", json={"title": "x", "text": {"password": "hunter2"}})
    assert answer.status_code == 422
    assert "hunter2" not in json.dumps(answer.json())
