/** A conversation as a page shows it. Owns its messages and how they stand; knows no element and no API.
 *
 * Everything that an API tells is shown once, whatever the order in which history, stream and own actions come.
 */
import { computed, ref, shallowReactive, shallowRef, triggerRef } from "vue";
import { latestBelow, shownBranch } from "./branches";
import { eachFrame, GrowingTexts, type Schedule } from "./growing";
import { merge } from "./merging";
import {
  type ChatEvent,
  type ChatMessage,
  type Connection,
  type Draft,
  type Failure,
  isUnderWay,
  newKey,
  type ToolCall,
  givenUp,
  isAnswerOf,
  isAnswerWith,
} from "./model";
import { failureOf, type Sink, type Transport, type Watch } from "./transport";

export interface Outgoing {
  text: string;
  attachments?: Draft["attachments"];
  model?: string;
  /** The message that this one takes the place of, in a branch of its own. */
  instead?: ChatMessage;
}

export type Conversation = ReturnType<typeof converse>;

export function converse(transport: Transport, schedule: Schedule = eachFrame) {
  const messages = shallowRef<ChatMessage[]>([]);
  const leaf = ref<string | null>(null);
  const connection = ref<Connection>("idle");
  const active = ref<string | null>(null);
  const over = ref<Failure | null>(null);
  const loading = ref(true);
  const hasMore = ref(false);
  const trouble = ref<Failure | null>(null);
  const stopping = ref(false);
  const texts = new GrowingTexts(schedule);
  const ended = new Set<string>();
  const known = new Set<string>();
  const drafts = new Map<string, Draft>();
  let watch: Watch | null = null;
  let isClosed = false;
  let looking: "once" | "again" | null = null;

  const shown = computed(() => shownBranch(messages.value, leaf.value));

  const sink: Sink = {
    event: (event) => told(event),
    connection: (state) => {
      connection.value = state;
    },
    over: (failure) => {
      over.value = failure;
      connection.value = "idle";
      active.value = null;
    },
  };

  async function open(): Promise<void> {
    loading.value = true;
    trouble.value = null;
    try {
      await refresh();
    } catch (error) {
      trouble.value = failureOf(error);
      if (trouble.value.code.startsWith("session_")) over.value = trouble.value;
    } finally {
      loading.value = false;
    }
    if (over.value === null && !isClosed) watch ??= transport.watch(sink);
    if (active.value !== null) watch?.expect(active.value);
  }

  async function refresh(): Promise<void> {
    const snapshot = await transport.load();
    const first = messages.value.length === 0;
    messages.value = merge(
      messages.value,
      snapshot.messages.map((each) => shallowReactive(each)),
    );
    if (first) hasMore.value = snapshot.hasMore;
    if (snapshot.executionId !== null && !ended.has(snapshot.executionId)) active.value = snapshot.executionId;
  }

  /** However often it is asked for: once at a time, and once more for what came meanwhile. */
  function lookAgain(): void {
    if (looking !== null) {
      looking = "again";
      return;
    }
    looking = "once";
    void refresh()
      .catch(() => undefined)
      .then(() => {
        const isAsked = looking === "again";
        looking = null;
        if (isAsked && !isClosed) lookAgain();
      });
  }

  function told(event: ChatEvent): void {
    switch (event.type) {
      case "connected":
        return connected(event.executionId);
      case "text":
        return append(answer(event.executionId, event.messageId), event.text, event.reset === true);
      case "reading":
        return read(event);
      case "call":
        return upsertCall(answer(event.executionId, event.messageId), event.call);
      case "settled":
        return settle(answer(event.executionId, event.message.id ?? undefined), event.message);
      default:
        return end(event);
    }
  }

  function connected(executionId: string | null): void {
    active.value = executionId === null || ended.has(executionId) ? null : executionId;
    if (!loading.value) lookAgain();
  }

  function find(executionId: string, id?: string): ChatMessage | undefined {
    return messages.value.findLast((each) => isAnswerOf(each, executionId) || isAnswerWith(each, id));
  }

  /** The message of an answer, which is made when it is first heard of. */
  function answer(executionId: string, id?: string): ChatMessage {
    if (!ended.has(executionId)) active.value = executionId;
    const found = find(executionId, id);
    if (found) {
      found.executionId ??= executionId;
      found.id ??= id ?? null;
      return found;
    }
    const before = messages.value.findLast((each) => each.executionId === executionId);
    const made = shallowReactive<ChatMessage>({
      ...blank("assistant", "running"),
      id: id ?? null,
      key: id ?? newKey(),
      executionId,
      ...(before?.parentId !== undefined && { parentId: before.id }),
    });
    messages.value = [...messages.value, made];
    if (!known.has(executionId)) lookAgain(); // somebody asked in another tab
    known.add(executionId);
    return made;
  }

  function append(message: ChatMessage, text: string, reset: boolean): void {
    if (!ended.has(message.executionId ?? "")) texts.add(message, text, reset);
  }

  function read({ executionId, name, progress, trouble }: ChatEvent & { type: "reading" }): void {
    for (const each of messages.value) {
      if (each.role !== "user" || each.executionId !== executionId) continue;
      each.attachments = each.attachments.map((file) => (file.name === name ? { ...file, progress, trouble } : file));
    }
  }

  function upsertCall(message: ChatMessage, call: ToolCall): void {
    const isKnown = message.calls.some((each) => each.id === call.id);
    const replaced = message.calls.map((each) => (each.id === call.id ? call : each));
    message.calls = isKnown ? replaced : [...replaced, call];
  }

  function settle(message: ChatMessage, stored: ChatMessage): void {
    texts.drop(message);
    Object.assign(message, stored, { key: message.key, executionId: message.executionId });
  }

  function end(event: ChatEvent & { type: "ended" | "failed" }): void {
    texts.flush();
    ended.add(event.executionId);
    if (active.value === event.executionId) active.value = null;
    stopping.value = false;
    const message = event.type === "failed" ? answer(event.executionId) : find(event.executionId);
    if (message) {
      Object.assign(
        message,
        event.type === "failed" ? { status: "failed", failure: event.failure } : { status: event.status },
      );
      message.calls = message.calls.map(givenUp);
    }
    if (!message?.id) lookAgain();
    triggerRef(messages);
  }

  async function send(outgoing: Outgoing): Promise<void> {
    const key = newKey();
    const last = shown.value.at(-1)?.message;
    const parentId = outgoing.instead ? outgoing.instead.parentId : last?.parentId === undefined ? undefined : last.id;
    const attachments = outgoing.attachments ?? [];
    drafts.set(key, { text: outgoing.text, attachments, key, parentId, model: outgoing.model });
    const mine = shallowReactive<ChatMessage>({
      ...blank("user", "sending"),
      key,
      text: outgoing.text,
      attachments,
      ...(parentId !== undefined && { parentId }),
    });
    messages.value = [...messages.value, mine];
    leaf.value = null;
    await deliver(mine);
  }

  async function deliver(mine: ChatMessage): Promise<void> {
    const draft = drafts.get(mine.key);
    if (draft === undefined) return;
    mine.status = "sending";
    mine.failure = undefined;
    try {
      const sent = await transport.send(draft);
      mine.status = "completed";
      mine.executionId = sent.executionId ?? undefined;
      mine.id ??= sent.messageId ?? null;
      if (sent.parentId !== undefined) mine.parentId = sent.parentId;
      triggerRef(messages);
      drafts.delete(mine.key);
      await expect(sent.executionId);
    } catch (error) {
      mine.status = "unsent";
      mine.failure = failureOf(error);
      if (mine.failure.code.startsWith("session_")) sink.over(mine.failure);
    }
  }

  async function expect(executionId: string | null): Promise<void> {
    if (executionId === null) return;
    known.add(executionId);
    if (!ended.has(executionId)) active.value = executionId;
    watch ??= transport.watch(sink);
    watch.expect(executionId);
  }

  function forget(mine: ChatMessage): void {
    drafts.delete(mine.key);
    messages.value = messages.value.filter((each) => each !== mine);
  }

  async function stop(): Promise<void> {
    if (active.value === null || stopping.value) return;
    stopping.value = true;
    await attempt(transport.stop(active.value));
    stopping.value = false;
  }

  async function regenerate(message: ChatMessage): Promise<void> {
    leaf.value = null;
    if (transport.regenerate && message.id !== null) {
      const executionId = await attempt(transport.regenerate(message));
      if (executionId === undefined) return;
      await expect(executionId);
      await attempt(refresh());
      return;
    }
    const question = messages.value.slice(0, messages.value.indexOf(message)).findLast((each) => each.role === "user");
    if (question) await send({ text: question.text, attachments: question.attachments });
  }

  async function rate(message: ChatMessage, kind: "positive" | "negative"): Promise<void> {
    const before = message.feedback;
    message.feedback = kind;
    if ((await attempt(transport.rate?.(message, kind).then(() => true))) === undefined) message.feedback = before;
  }

  async function decide(message: ChatMessage, callId: string, decision: "approve" | "reject"): Promise<void> {
    if (message.executionId) await attempt(transport.decide?.(message.executionId, callId, decision));
  }

  async function loadEarlier(): Promise<void> {
    const first = messages.value.find((each) => each.id !== null);
    if (!first || !hasMore.value) return;
    hasMore.value = false;
    const page = await attempt(transport.earlier(first));
    if (page === undefined) {
      hasMore.value = true;
      return;
    }
    const there = new Set(messages.value.map((each) => each.id));
    const older = page.messages.filter((each) => !there.has(each.id)).map((each) => shallowReactive(each));
    messages.value = [...older, ...messages.value];
    hasMore.value = page.hasMore;
  }

  /** Undefined when it failed, which the page then says. */
  async function attempt<T>(work: Promise<T> | undefined): Promise<T | undefined> {
    try {
      return await work;
    } catch (error) {
      trouble.value = failureOf(error);
      return undefined;
    }
  }

  function choose(message: ChatMessage): void {
    leaf.value = latestBelow(messages.value, message).id;
  }

  function close(): void {
    isClosed = true;
    watch?.close();
  }

  return {
    transport,
    messages,
    shown,
    connection,
    active,
    over,
    loading,
    hasMore,
    trouble,
    stopping,
    open,
    lookAgain,
    send,
    deliver,
    forget,
    stop,
    regenerate,
    rate,
    decide,
    loadEarlier,
    choose,
    close,
  };
}

export function isWaiting(conversation: Conversation): boolean {
  const last = conversation.shown.value.at(-1)?.message;
  if (conversation.active.value === null) return false;
  return (
    last === undefined || last.role === "user" || (isUnderWay(last) && last.text === "" && last.calls.length === 0)
  );
}

function blank(role: ChatMessage["role"], status: ChatMessage["status"]): ChatMessage {
  return { key: newKey(), id: null, role, text: "", status, at: new Date(), attachments: [], calls: [], citations: [] };
}
