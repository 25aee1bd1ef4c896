"""The ChatKit server as its package shows it: an agent of the Agents SDK, everything kept in memory."""

# ruff: noqa: ARG002  the arguments are the package's

import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from chatkit.agents import AgentContext, simple_to_agent_input, stream_agent_response
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import NotFoundError, Store
from chatkit.types import Attachment, Page, ThreadItem, ThreadMetadata, ThreadStreamEvent, UserMessageItem
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI


class MemoryStore(Store[None]):
    def __init__(self) -> None:
        self.threads: dict[str, ThreadMetadata] = {}
        self.items: dict[str, list[ThreadItem]] = {}

    async def load_thread(self, thread_id: str, context: None) -> ThreadMetadata:
        if thread_id not in self.threads:
            raise NotFoundError
        return self.threads[thread_id].model_copy(deep=True)

    async def save_thread(self, thread: ThreadMetadata, context: None) -> None:
        self.threads[thread.id] = thread.model_copy(deep=True)

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: None
    ) -> Page[ThreadItem]:
        items = self.items.get(thread_id, [])
        return Page(data=(items if order == "asc" else items[::-1])[:limit])

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: None) -> None:
        self.items.setdefault(thread_id, []).append(item)

    async def save_item(self, thread_id: str, item: ThreadItem, context: None) -> None:
        await self.add_thread_item(thread_id, item, context)

    async def load_item(self, thread_id: str, item_id: str, context: None) -> ThreadItem:
        return next(item for item in self.items[thread_id] if item.id == item_id)

    async def load_threads(self, limit: int, after: str | None, order: str, context: None) -> Page[ThreadMetadata]:
        return Page(data=list(self.threads.values())[:limit])

    async def delete_thread(self, thread_id: str, context: None) -> None:
        del self.threads[thread_id]

    async def delete_thread_item(self, thread_id: str, item_id: str, context: None) -> None:
        self.items[thread_id] = [item for item in self.items[thread_id] if item.id != item_id]

    async def save_attachment(self, attachment: Attachment, context: None) -> None:
        raise NotImplementedError

    async def load_attachment(self, attachment_id: str, context: None) -> Attachment:
        raise NotImplementedError

    async def delete_attachment(self, attachment_id: str, context: None) -> None:
        raise NotImplementedError


class Sample(ChatKitServer[None]):
    def __init__(self, provider: str) -> None:
        super().__init__(MemoryStore())
        self._client = AsyncOpenAI(base_url=provider, api_key="none")

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: None
    ) -> AsyncIterator[ThreadStreamEvent]:
        options = None if input_user_message is None else input_user_message.inference_options
        name = (None if options is None else options.model) or "scripted"
        agent = Agent[Any](name="Sample", model=OpenAIChatCompletionsModel(name, self._client))
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        asked = await simple_to_agent_input([] if input_user_message is None else [input_user_message])
        running = Runner.run_streamed(agent, asked, context=agent_context)
        async for event in stream_agent_response(agent_context, running):
            yield event


def main() -> None:
    set_tracing_disabled(disabled=True)
    server, app = Sample(sys.argv[1]), FastAPI()

    @app.post("/chatkit")
    async def chatkit(request: Request) -> Response:
        result = await server.process(await request.body(), None)
        if isinstance(result, StreamingResult):
            return StreamingResponse(result, media_type="text/event-stream")
        return Response(result.json, media_type="application/json")

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
