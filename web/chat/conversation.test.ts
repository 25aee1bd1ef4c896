import { beforeEach, describe, expect, it } from "vitest";
import { type Conversation, converse, isWaiting } from "./conversation";
import type { ChatEvent, ChatMessage, Draft } from "./model";
import { type Page, Refusal, type Sink, type Snapshot, type Transport, Unreachable } from "./transport";

const NOON = new Date("2026-03-01T12:00:00Z");

function stored(id: string, role: ChatMessage["role"], text: string, more: Partial<ChatMessage> = {}): ChatMessage {
  const rest = { attachments: [], calls: [], citations: [], at: NOON, status: "completed" as const };
  return { key: id, id, role, text, ...rest, ...more };
}

/** An API in memory, whose stream is told by hand. */
class Memory implements Transport {
  messages: ChatMessage[] = [];
  drafts: Draft[] = [];
  refusal: Error | null = null;
  private sink: Sink | null = null;

  async load(): Promise<Snapshot> {
    return { messages: this.messages.map((each) => ({ ...each })), hasMore: false, executionId: null };
  }

  async earlier(): Promise<Page> {
    return { messages: [], hasMore: false };
  }

  watch(sink: Sink) {
    this.sink = sink;
    return { expect: () => {}, close: () => {} };
  }

  async send(draft: Draft) {
    this.drafts.push(draft);
    if (this.refusal) throw this.refusal;
    return { executionId: "e1" };
  }

  async stop() {}

  tell(...events: ChatEvent[]): void {
    for (const event of events) this.sink?.event(event);
  }
}

function texts(conversation: Conversation): string[] {
  return conversation.shown.value.map(({ message }) => `${message.role}:${message.text}:${message.status}`);
}

async function again(chat: Conversation): Promise<void> {
  chat.lookAgain();
  await new Promise((then) => setTimeout(then));
}

const text = (token: string, more: object = {}): ChatEvent => ({
  type: "text",
  executionId: "e1",
  messageId: "m2",
  text: token,
  ...more,
});

describe("a conversation", () => {
  let api: Memory;
  let chat: Conversation;

  beforeEach(async () => {
    api = new Memory();
    chat = converse(api, (work) => work());
    await chat.open();
  });

  it("shows what is said once, though the stream and the history both tell it", async () => {
    await chat.send({ text: "hello" });
    expect(isWaiting(chat)).toBe(true);
    api.tell({ type: "connected", executionId: "e1" }, text("An "), text("answer"));
    expect(isWaiting(chat)).toBe(false);
    expect(texts(chat)).toEqual(["user:hello:completed", "assistant:An answer:running"]);
    api.messages = [stored("m1", "user", "hello"), stored("m2", "assistant", "An answer")];
    api.tell({ type: "settled", executionId: "e1", message: stored("m2", "assistant", "An answer") });
    api.tell({ type: "ended", executionId: "e1", status: "completed" });
    await again(chat);
    expect(texts(chat)).toEqual(["user:hello:completed", "assistant:An answer:completed"]);
    expect(chat.active.value).toBeNull();
  });

  it("keeps the objects on the screen when it is loaded again", async () => {
    await chat.send({ text: "hello" });
    const before = chat.shown.value[0]?.message;
    api.messages = [stored("m1", "user", "hello")];
    await again(chat);
    expect(chat.shown.value[0]?.message).toBe(before);
    expect(before?.id).toBe("m1");
  });

  it("shows the question of another tab before its answer", async () => {
    api.messages = [stored("m1", "user", "from elsewhere")];
    api.tell(text("An answer"));
    await again(chat);
    expect(texts(chat)).toEqual(["user:from elsewhere:completed", "assistant:An answer:running"]);
  });

  it("forgets a text that is void, and what comes behind an answer's end", async () => {
    await chat.send({ text: "hello" });
    api.tell(text("Wrong"), text("", { reset: true }), text("Right"));
    api.tell({ type: "ended", executionId: "e1", status: "interrupted" }, text(" and late"));
    expect(texts(chat)[1]).toBe("assistant:Right:interrupted");
  });

  it("keeps what could not be sent, and sends it once with the same key", async () => {
    api.refusal = new Unreachable(new Error("down"));
    await chat.send({ text: "hello" });
    const mine = chat.shown.value[0]?.message as ChatMessage;
    expect([mine.status, mine.failure?.code]).toEqual(["unsent", "unreachable"]);
    api.refusal = null;
    await chat.deliver(mine);
    expect(mine.status).toBe("completed");
    expect(new Set(api.drafts.map((each) => each.key)).size).toBe(1);
  });

  it("says that it is over when its session has expired", async () => {
    api.refusal = new Refusal(410, "session_expired", "gone");
    await chat.send({ text: "hello" });
    expect(chat.over.value?.code).toBe("session_expired");
  });

  it("shows what failed, with why", async () => {
    await chat.send({ text: "hello" });
    api.tell({ type: "failed", executionId: "e1", failure: { code: "timeout", message: "The model is silent" } });
    const answer = chat.shown.value[1]?.message;
    expect([answer?.status, answer?.failure?.message, chat.active.value]).toEqual([
      "failed",
      "The model is silent",
      null,
    ]);
  });

  it("knows an answer without an id by its execution", async () => {
    await chat.send({ text: "hello" });
    api.tell({ type: "text", executionId: "e1", text: "Yes" });
    const answer = chat.shown.value[1]?.message;
    const parts = { executionId: "e1" };
    api.messages = [
      stored("m1", "user", "hello", { parentId: null, ...parts }),
      stored("m2", "assistant", "Yes", { parentId: "m1", ...parts }),
    ];
    api.tell({ type: "ended", executionId: "e1", status: "completed" });
    await again(chat);
    expect(chat.shown.value.map((each) => each.message.id)).toEqual(["m1", "m2"]);
    expect(chat.shown.value[1]?.message).toBe(answer);
  });

  it("shows the branch that was chosen", async () => {
    api.messages = [
      stored("a", "user", "one", { parentId: null }),
      stored("b", "assistant", "first", { parentId: "a" }),
      stored("c", "assistant", "second", { parentId: "a" }),
      stored("d", "user", "two", { parentId: "c" }),
    ];
    await again(chat);
    expect(chat.shown.value.map((each) => each.message.text)).toEqual(["one", "second", "two"]);
    const second = chat.shown.value[1];
    expect([second?.place, second?.siblings.length]).toEqual([1, 2]);
    chat.choose(second?.siblings[0] as ChatMessage);
    expect(chat.shown.value.map((each) => each.message.text)).toEqual(["one", "first"]);
  });
});
