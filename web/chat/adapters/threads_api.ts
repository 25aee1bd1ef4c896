/** The threads API behind the chat element: one stream for each answer, branches, feedback, approvals. */

import {
  type Attachment,
  type CallStatus,
  type ChatMessage,
  type Draft,
  type Failure,
  type MessageStatus,
  newKey,
  type Role,
  type ToolCall,
} from "../model";
import { follow } from "../stream/follow";
import {
  failureOf,
  type Page,
  type Sink,
  type Snapshot,
  type Transport,
  type UploadLimits,
  type Watch,
} from "../transport";
import { citationOf, type WireCitation } from "./citations";
import { ask, reach, sendFile } from "./http";

interface WireMessage {
  id: string;
  role: Role;
  text: string;
  status: MessageStatus;
  created_at: string;
  execution_id: string | null;
  parent_id: string | null;
  model: string | null;
  metadata: { attachments?: WireFile[] };
  tool_calls?: WireCall[];
  citations?: WireCitation[];
}

interface WireFile {
  id: string;
  name: string;
  media_type: string | null;
  size: number | null;
  download_url?: string;
}

interface WireThread {
  active_execution_id: string | null;
  messages: WireMessage[];
}

interface WireCall {
  call_id: string;
  tool: string;
  state?: string;
  arguments?: unknown;
  result?: unknown;
  error?: unknown;
}

interface WireChunk {
  agent_status?: string;
  choices?: { delta?: { content?: unknown } }[];
  tool_call?: WireCall;
  error?: { code?: string; message?: string };
}

const PAGE = 50;

/** A thread that is there, or is made when something is said in it. */
export interface Thread {
  id: string | null;
  create(text: string): Promise<string>;
}

export class ThreadsApi implements Transport {
  readonly canEdit = true;

  /** `token` gives one that is valid now. */
  constructor(
    private readonly root: string,
    private readonly thread: Thread,
    private readonly token: () => Promise<string>,
    readonly uploads?: UploadLimits,
  ) {}

  async load(): Promise<Snapshot> {
    if (this.thread.id === null) return { messages: [], hasMore: false, executionId: null };
    const thread = await this.ask<WireThread>("GET", `?messages=${PAGE}&details=true`);
    const messages = thread.messages.map(messageOf).reverse();
    return { messages, hasMore: messages.length === PAGE, executionId: thread.active_execution_id };
  }

  async earlier(before: ChatMessage): Promise<Page> {
    const path = `/messages?limit=${PAGE}&after=${before.id}&details=true`;
    const listed = await this.ask<{ items: WireMessage[] }>("GET", path);
    return { messages: listed.items.map(messageOf).reverse(), hasMore: listed.items.length === PAGE };
  }

  async send(draft: Draft) {
    this.thread.id ??= await this.thread.create(draft.text);
    const stored = await this.ask<WireMessage>(
      "POST",
      "/messages",
      {
        text: draft.text,
        attachments: draft.attachments.map((each) => each.reference),
        ...(draft.parentId && { parent_id: draft.parentId }),
        ...(draft.model && { model: draft.model }),
      },
      draft.key,
    );
    return { executionId: stored.execution_id, messageId: stored.id, parentId: stored.parent_id };
  }

  async stop(executionId: string): Promise<void> {
    await this.ask("POST", `/executions/${executionId}/cancel`);
  }

  async upload(file: File, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Attachment> {
    const headers = { Authorization: `Bearer ${await this.token()}` };
    const told = await sendFile<WireFile>(`${this.root}/attachments`, file, { headers, onProgress, signal });
    return attachmentOf(told);
  }

  async regenerate(message: ChatMessage): Promise<string> {
    const answer = await this.ask<WireMessage>("POST", `/messages/${message.id}/regenerate`, {}, newKey());
    return answer.execution_id ?? "";
  }

  async rate(message: ChatMessage, kind: "positive" | "negative"): Promise<void> {
    await this.ask("POST", `/messages/${message.id}/feedback`, { kind });
  }

  async decide(executionId: string, callId: string, decision: "approve" | "reject"): Promise<void> {
    await this.ask("POST", `/executions/${executionId}/approvals`, { call_id: callId, decision });
  }

  watch(sink: Sink): Watch {
    const closing = new AbortController();
    const followed = new Set<string>();
    const expect = (executionId: string) => {
      if (followed.has(executionId)) return;
      followed.add(executionId);
      void this.follow(executionId, sink, closing.signal);
    };
    return { expect, close: () => closing.abort() };
  }

  private async follow(executionId: string, sink: Sink, signal: AbortSignal): Promise<void> {
    const answer = new AnswerReader(executionId, sink);
    try {
      await follow({
        signal,
        onConnection: (state) => sink.connection(state),
        request: async (lastId, cut) =>
          reach(`${this.root}/threads/${this.thread.id}/executions/${executionId}/stream`, {
            headers: {
              Authorization: `Bearer ${await this.token()}`,
              Accept: "text/event-stream",
              ...(lastId && { "Last-Event-ID": lastId }),
            },
            signal: cut,
          }),
        onEvent: (event) => answer.read(event.data),
      });
      sink.connection("idle");
    } catch (error) {
      sink.event({ type: "failed", executionId, failure: failureOf(error) });
      sink.connection("idle");
    }
  }

  private async ask<T>(method: string, below: string, json?: unknown, key?: string): Promise<T> {
    const headers = new Headers({ Authorization: `Bearer ${await this.token()}` });
    if (key !== undefined) headers.set("Idempotency-Key", key);
    return ask<T>(`${this.root}/threads/${this.thread.id}${below}`, { method, json, headers });
  }
}

/** One answer's chunks. Its first text takes the place of what the page has loaded of it. */
export class AnswerReader {
  private status = "running";
  private isFirst = true;

  constructor(
    private readonly executionId: string,
    private readonly sink: Sink,
  ) {}

  /** Returns true at the end. */
  read(data: string): boolean {
    if (data === "[DONE]") return this.end();
    const chunk = JSON.parse(data) as WireChunk;
    const executionId = this.executionId;
    this.status = chunk.agent_status ?? this.status;
    if (chunk.error) this.sink.event({ type: "failed", executionId, failure: failureIn(chunk.error) });
    else if (chunk.agent_status === "restarted") this.text("", true);
    else if (chunk.tool_call) this.sink.event({ type: "call", executionId, call: callOf(chunk.tool_call) });
    const content = chunk.choices?.[0]?.delta?.content;
    if (typeof content === "string" && content !== "") this.text(content, false);
    return false;
  }

  private text(text: string, isVoid: boolean): void {
    const reset = isVoid || this.isFirst;
    this.isFirst = false;
    this.sink.event({ type: "text", executionId: this.executionId, text, reset });
  }

  private end(): boolean {
    if (this.status !== "failed") {
      const status = this.status === "interrupted" ? "interrupted" : "completed";
      this.sink.event({ type: "ended", executionId: this.executionId, status });
    }
    return true;
  }
}

function failureIn(error: { code?: string; message?: string }): Failure {
  return { code: error.code ?? "failed", message: error.message ?? "" };
}

export function messageOf(wire: WireMessage): ChatMessage {
  return {
    key: wire.id,
    id: wire.id,
    role: wire.role,
    text: wire.text,
    status: wire.role === "user" ? "completed" : wire.status, // a question has the status of its answer
    at: new Date(wire.created_at),
    attachments: (wire.metadata.attachments ?? []).map(attachmentOf),
    calls: (wire.tool_calls ?? []).map(callOf),
    citations: (wire.citations ?? []).map(citationOf),
    executionId: wire.execution_id ?? undefined,
    parentId: wire.parent_id,
    model: wire.model ?? undefined,
  };
}

function attachmentOf(wire: WireFile): Attachment {
  return {
    name: wire.name,
    mediaType: wire.media_type ?? "",
    size: wire.size ?? 0,
    url: wire.download_url,
    reference: wire.id,
  };
}

const CALL_STATUS: Record<string, CallStatus> = { running: "running", completed: "completed", failed: "failed" };

function callOf(wire: WireCall): ToolCall {
  return {
    id: wire.call_id,
    name: wire.tool,
    status: CALL_STATUS[wire.state ?? "running"] ?? "waiting",
    arguments: wire.arguments,
    result: wire.result,
    error: typeof wire.error === "string" ? wire.error : undefined,
    needsApproval: wire.state === "awaiting_approval" || wire.state === "awaiting_decision",
  };
}
