"""The checkers of the proofs see what they are there to see."""

import json
from typing import Any

from harness.history import History, Verdict
from harness.sse_client import Event
from harness.transcript import Transcript


def message(number: int, text: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "role": "user",
        "text": text,
        "status": "completed",
        "execution_id": f"e-{text}",
        **fields,
    }


def judged(*stored: dict[str, Any], answer: str | None = None) -> Verdict:
    history = History()
    sent = history.sending("thread", "one")
    sent.message_id, sent.execution_id, sent.answer = "m1", "e-one", answer
    history.sending("thread", "unacknowledged")
    return history.judge({"thread": list(stored)})


def test_a_kept_message_is_no_fault_and_an_unacknowledged_one_may_be_there_once() -> None:
    assert judged(message(1, "one")).faults == []
    assert judged(message(2, "unacknowledged"), message(1, "one")).faults == []


def test_what_is_missing_doubled_made_up_or_out_of_order_is_told() -> None:
    assert judged().lost == ["one"]
    assert judged(message(3, "unacknowledged"), message(2, "unacknowledged"), message(1, "one")).doubled == [
        "unacknowledged"
    ]
    assert judged(message(2, "invented"), message(1, "one")).phantom == ["invented"]
    assert judged(message(1, "one"), message(2, "unacknowledged")).disordered == ["thread"]
    assert judged(message(1, "one", status="running")).unfinished == ["m1"]


def test_an_answer_that_is_stored_otherwise_than_shown_is_told() -> None:
    answer = message(2, "t0 ", role="assistant", execution_id="e-one")
    assert judged(answer, message(1, "one"), answer="t0 ").faults == []
    assert judged(answer, message(1, "one"), answer="t0 t1 ").wrong_answers == ["one"]


def shown(*frames: tuple[str | None, Any]) -> Transcript:
    transcript = Transcript()
    for cursor, frame in frames:
        data = frame if isinstance(frame, str) else json.dumps(frame)
        transcript.take(Event(f"data: {data}\n\n".encode(), cursor, None, data))
    return transcript


def token(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}]}


def state(name: str) -> dict[str, Any]:
    return {"agent_status": name, "choices": [{"delta": {}}]}


def test_a_restart_voids_the_text_and_the_end_is_told() -> None:
    seen = shown(("1", token("lost")), ("2", state("restarted")), ("3", token("kept")), ("4", state("completed")))
    assert (seen.text, seen.restarts, seen.state, seen.last_id, seen.faults) == ("kept", 1, "completed", "4", [])


def test_a_repeated_frame_one_without_an_id_and_one_after_the_end_are_faults() -> None:
    assert len(shown(("1", token("a")), ("1", token("a"))).faults) == 1
    assert len(shown((None, token("a"))).faults) == 1
    assert len(shown((None, "[DONE]"), ("1", token("a"))).faults) == 1
