"""What was sent and acknowledged, and whether what is stored agrees: nothing lost, nothing doubled, nothing made up."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Sent:
    thread_id: str
    text: str
    message_id: str | None = None
    execution_id: str | None = None
    answer: str | None = None

    @property
    def acknowledged(self) -> bool:
        return self.message_id is not None


@dataclass
class Verdict:
    acknowledged: int = 0
    stored: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    wrong_answers: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        kinds = ("lost", "doubled", "phantom", "disordered", "unfinished", "wrong_answers")
        return [f"{kind}: {item}" for kind in kinds for item in getattr(self, kind)]


class History:
    """Texts are the names of messages: each is sent for one message only."""

    def __init__(self) -> None:
        self._sent: dict[str, Sent] = {}

    def sending(self, thread_id: str, text: str) -> Sent:
        """To be called before the request leaves."""
        assert text not in self._sent, "each text stands for one message"
        sent = self._sent[text] = Sent(thread_id, text)
        return sent

    @property
    def threads(self) -> list[str]:
        return list(dict.fromkeys(sent.thread_id for sent in self._sent.values()))

    def judge(self, stored: dict[str, list[dict[str, Any]]]) -> Verdict:
        """`stored` are all messages of each thread, newest first. An answer that was read must be stored as it was."""
        verdict = Verdict(acknowledged=sum(sent.acknowledged for sent in self._sent.values()))
        found: dict[str, list[dict[str, Any]]] = {}
        for thread_id, messages in stored.items():
            self._judge_thread(thread_id, messages, found, verdict)
        for sent in self._sent.values():
            self._judge_message(sent, found.get(sent.text, []), verdict)
        return verdict

    def _judge_thread(
        self,
        thread_id: str,
        messages: list[dict[str, Any]],
        found: dict[str, list[dict[str, Any]]],
        verdict: Verdict,
    ) -> None:
        ids = [message["id"] for message in messages]
        if len(set(ids)) != len(ids) or ids != sorted(ids, reverse=True):
            verdict.disordered.append(thread_id)
        answers = {message["execution_id"]: message["text"] for message in messages if message["role"] == "assistant"}
        for message in messages:
            if message["status"] in {"queued", "running"}:
                verdict.unfinished.append(message["id"])
            if message["role"] != "user":
                continue
            verdict.stored += 1
            sent = self._sent.get(message["text"])
            if sent is None or sent.thread_id != thread_id:
                verdict.phantom.append(message["text"])
                continue
            found.setdefault(sent.text, []).append(message)
            if sent.answer is not None and answers.get(message["execution_id"]) != sent.answer:
                verdict.wrong_answers.append(sent.text)

    @staticmethod
    def _judge_message(sent: Sent, found: list[dict[str, Any]], verdict: Verdict) -> None:
        if len(found) > 1:
            verdict.doubled.append(sent.text)
        if sent.acknowledged and [message["id"] for message in found] != [sent.message_id]:
            verdict.lost.append(sent.text)
