/** The public chats' API behind the chat element: one stream for all answers of a visitor's session. */

import {
  type Attachment,
  type CallStatus,
  type ChatEvent,
  type ChatMessage,
  type Draft,
  isUnderWay,
  type MessageStatus,
  type Role,
  type ToolCall,
} from "../model";
import { follow } from "../stream/follow";
import {
  failureOf,
  type Page,
  Refusal,
  type Sink,
  type Snapshot,
  type Transport,
  type UploadLimits,
  type Watch,
} from "../transport";
import { citationOf, webAddress, type WireCitation } from "./citations";
import { ask, reach, sendFile } from "./http";

export interface WireMessage {
  id: string;
  role: Role;
  content: string;
  status: MessageStatus;
  timestamp: string;
  attachments: WireAttachment[];
  toolCalls: { id: string; name: string; status: CallStatus }[];
  citations: WireCitation[];
}

/** A file that was uploaded. */
interface WireUpload {
  uri: string;
  downloadUrl: string;
  filename: string;
  size: number;
  mimeType: string;
}

/** A file or a link of a message. */
interface WireAttachment {
  type: "file" | "url";
  name: string;
  url?: string | null;
  downloadUrl?: string | null;
  mimeType?: string | null;
  size?: number | null;
  error?: { message: string } | null;
}

/** Who the visitor is, opened when it is first needed: looking at a page makes no session. */
export interface Session {
  /** The session's token, or null while there is none. */
  current(): string | null;
  /** Raises `Refusal` and `Unreachable`. */
  open(): Promise<string>;
}

export class PublicChat implements Transport {
  constructor(
    private readonly root: string,
    private readonly session: Session,
    readonly uploads?: UploadLimits,
  ) {}

  async load(): Promise<Snapshot> {
    const page = await this.page("");
    return { ...page, executionId: null };
  }

  earlier(before: ChatMessage): Promise<Page> {
    return this.page(`?before=${encodeURIComponent(before.id ?? "")}`);
  }

  async send(draft: Draft): Promise<{ executionId: string }> {
    const sessionToken = await this.session.open();
    const attachments = draft.attachments.map((each) => each.reference);
    return ask(`${this.root}/messages`, {
      method: "POST",
      json: { sessionToken, message: draft.text, ...(attachments.length > 0 && { attachments }) },
      headers: { "Idempotency-Key": draft.key },
    });
  }

  async stop(executionId: string): Promise<void> {
    await ask(`${this.root}/executions/${executionId}/cancel`, { method: "POST", headers: this.headers() });
  }

  async upload(file: File, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Attachment> {
    await this.session.open();
    const told = await sendFile<WireUpload>(`${this.root}/upload`, file, {
      headers: this.headers(),
      onProgress,
      signal,
    });
    return uploadOf(told);
  }

  watch(sink: Sink): Watch {
    const closing = new AbortController();
    let following = false;
    const begin = () => {
      if (following || this.session.current() === null) return;
      following = true;
      void this.follow(sink, closing.signal);
    };
    begin();
    return { expect: begin, close: () => closing.abort() };
  }

  private async follow(sink: Sink, signal: AbortSignal): Promise<void> {
    try {
      await follow({
        signal,
        onConnection: (state) => sink.connection(state),
        request: (lastId, cut) =>
          reach(`${this.root}/stream?follow=1`, {
            headers: { ...this.headers(), Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) },
            signal: cut,
          }),
        onEvent: (event) => {
          const told = eventOf(event.event ?? "", event.data);
          if (told) sink.event(told);
          return false;
        },
      });
    } catch (error) {
      sink.over(failureOf(error));
    }
  }

  private headers(): Record<string, string> {
    return { "X-Session-Token": this.session.current() ?? "" };
  }

  private async page(query: string): Promise<Page> {
    const token = this.session.current();
    if (token === null) return { messages: [], hasMore: false };
    const listed = await ask<{ messages: WireMessage[]; hasMore: boolean }>(
      `${this.root}/sessions/${encodeURIComponent(token)}/messages${query}`,
    );
    return { messages: listed.messages.map(messageOf), hasMore: listed.hasMore };
  }
}

/** Whether another session would have to be opened to go on. */
export function isOver(error: unknown): boolean {
  return error instanceof Refusal && (error.status === 410 || error.status === 404);
}

export function messageOf(wire: WireMessage): ChatMessage {
  return {
    key: wire.id,
    id: wire.id,
    role: wire.role,
    text: wire.content,
    status: wire.status,
    at: new Date(wire.timestamp),
    attachments: wire.attachments.map(attachmentOf),
    calls: wire.toolCalls.map(callOf),
    citations: wire.citations.map(citationOf),
  };
}

function attachmentOf(wire: WireAttachment): Attachment {
  return {
    name: wire.name,
    mediaType: wire.mimeType ?? "",
    size: wire.size ?? 0,
    url: wire.downloadUrl ?? webAddress(wire.url),
    reference: null,
    trouble: wire.error?.message,
  };
}

function uploadOf(wire: WireUpload): Attachment {
  const { filename: name, mimeType: mediaType, size, downloadUrl: url, uri } = wire;
  return { name, mediaType, size, url, reference: { type: "file", uri } };
}

function callOf(wire: { id: string; name: string; status: CallStatus }): ToolCall {
  return { id: wire.id, name: wire.name, status: wire.status };
}

interface WireEvent extends WireMessage {
  executionId: string;
  messageId: string;
  token: string;
  reset?: boolean;
  toolCallId: string;
  name: string;
  currentExecutionId: string | null;
  error: { code: string; message: string };
  attachment: { name?: string };
  done: number;
  total: number;
}

/** Undefined for what a later server may add. */
function eventOf(type: string, data: string): ChatEvent | undefined {
  const told = JSON.parse(data) as WireEvent & { status: "completed" | "interrupted" | CallStatus };
  const { executionId, messageId } = told;
  switch (type) {
    case "connected":
      return { type, executionId: told.currentExecutionId };
    case "token":
      return { type: "text", executionId, messageId, text: told.token, reset: told.reset };
    case "attachment_progress":
      return { type: "reading", executionId, name: told.attachment.name ?? "", ...progressOf(told) };
    case "tool_call_started":
    case "tool_call_completed":
    case "tool_call_failed": {
      const call = { id: told.toolCallId, name: told.name, status: told.status as CallStatus };
      return { type: "call", executionId, messageId, call };
    }
    case "message":
      return settledOf(executionId, messageOf(told));
    case "execution_completed":
      return { type: "ended", executionId, status: told.status === "interrupted" ? "interrupted" : "completed" };
    case "execution_failed":
      return { type: "failed", executionId, failure: told.error };
    default:
      return undefined;
  }
}

function progressOf(told: Partial<WireEvent>): { progress?: number; trouble?: string } {
  if (told.error) return { trouble: told.error.message };
  const { done = 0, total = 0 } = told;
  return total > 0 && done < total ? { progress: done / total } : {};
}

function settledOf(executionId: string, message: ChatMessage): ChatEvent {
  // Its end comes as an event of its own: until then it is not shown as finished.
  return { type: "settled", executionId, message: isUnderWay(message) ? { ...message, status: "completed" } : message };
}
