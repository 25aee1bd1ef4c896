"""What can be done in one thread, or in none until the first message makes it."""

from typing import Any

from frontdesk.cli.chat.answer import Answer, Display, answer_or_stop
from frontdesk.cli.chat.gateway import Gateway
from frontdesk.cli.chat.patience import Patience, persist
from frontdesk.cli.failures import USAGE, CommandError
from frontdesk.kit.ids import new_id

LATEST = "last"
_TITLE_LENGTH = 60
_RECENT_THREADS = 10
_SHOWN_MESSAGES = 6


async def recent_threads(gateway: Gateway) -> list[dict[str, Any]]:
    return list((await gateway.get("/threads", {"limit": str(_RECENT_THREADS)}))["items"])


async def open_thread(gateway: Gateway, thread: str) -> dict[str, Any]:
    """The thread with its latest messages, oldest first; `last` is the one used last. Raises CommandError."""
    if thread == LATEST:
        threads = await recent_threads(gateway)
        if not threads:
            raise CommandError("There is no thread to go on with yet.", exit_code=USAGE)
        thread = threads[0]["id"]
    found: dict[str, Any] = await gateway.get(f"/threads/{thread}", {"messages": str(_SHOWN_MESSAGES)})
    found["messages"].sort(key=lambda message: message["id"])
    return found


class Conversation:
    """Sending is safe to repeat, so it goes on when the connection breaks; so does following an answer."""

    def __init__(self, gateway: Gateway, *, thread_id: str | None, model: str | None) -> None:
        self._gateway = gateway
        self._model = model
        self.thread_id = thread_id

    async def ask(self, text: str, display: Display) -> Answer:
        """An answer that has ended, in whatever way, or that we left. With the model switched off, it is empty."""
        if self.thread_id is None:
            self.thread_id = await self._create_thread(title=" ".join(text.split())[:_TITLE_LENGTH])
        thread_id, key, patience = self.thread_id, new_id(), Patience(display.waiting)
        body = {"text": text, "if_active": "queue"} | ({"model": self._model} if self._model else {})

        async def post() -> str | None:
            message = await self._gateway.post(f"/threads/{thread_id}/messages", body, idempotency_key=key)
            return message["execution_id"]  # type: ignore[no-any-return]  # JSON

        answer = Answer(thread_id)
        await answer_or_stop(self._gateway, answer, display, send=lambda: persist(post, patience))
        return answer

    async def join(self, thread_id: str, execution_id: str, display: Display) -> Answer:
        """An answer that somebody already asked for."""

        async def known() -> str:
            return execution_id

        answer = Answer(thread_id)
        await answer_or_stop(self._gateway, answer, display, send=known)
        return answer

    async def _create_thread(self, title: str) -> str:
        return str((await self._gateway.post("/threads", {"title": title}, idempotency_key=new_id()))["id"])
