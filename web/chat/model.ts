/** What a conversation consists of, as it is shown: one shape, whatever API it came from. */

export type Role = "user" | "assistant" | "system";

/** `sending` and `unsent` are this page's own: of a message that the server has not acknowledged. */
export type MessageStatus = "sending" | "unsent" | "queued" | "running" | "completed" | "failed" | "interrupted";

export type CallStatus = "running" | "waiting" | "completed" | "failed";

export interface ToolCall {
  id: string;
  name: string;
  status: CallStatus;
  arguments?: unknown;
  result?: unknown;
  error?: string;
  /** Whom the call waits for: somebody who agrees to it. */
  needsApproval?: boolean;
}

export interface Attachment {
  name: string;
  mediaType: string;
  size: number;
  url?: string;
  /** What the API calls the file when a message is sent with it. */
  reference: unknown;
  /** How much of it has been read for the answer, from 0 to 1; left out, all that there is to read. */
  progress?: number;
  /** Why it could not be read. */
  trouble?: string;
}

export interface Citation {
  source: string;
  url?: string;
  quote?: string;
  page?: number;
}

export interface Failure {
  code: string;
  message: string;
  /** Seconds after which it makes sense to try again. */
  retryAfter?: number;
}

export interface ChatMessage {
  /** Stays the same while the message becomes known to the server, which gives it its `id`. */
  key: string;
  id: string | null;
  role: Role;
  text: string;
  status: MessageStatus;
  at: Date;
  attachments: Attachment[];
  calls: ToolCall[];
  citations: Citation[];
  executionId?: string;
  parentId?: string | null;
  model?: string;
  failure?: Failure;
  feedback?: "positive" | "negative";
}

export interface Draft {
  text: string;
  attachments: Attachment[];
  /** Repeating a draft with its key sends it once. */
  key: string;
  /** The message from which it continues; the latest when left out. */
  parentId?: string | null;
  model?: string;
}

export type ChatEvent =
  /** To a stream that begins: what has ended before is told by the history alone. */
  | { type: "connected"; executionId: string | null }
  | { type: "text"; executionId: string; messageId?: string; text: string; reset?: boolean }
  | { type: "reading"; executionId: string; name: string; progress?: number; trouble?: string }
  | { type: "call"; executionId: string; messageId?: string; call: ToolCall }
  | { type: "settled"; executionId: string; message: ChatMessage }
  | { type: "ended"; executionId: string; status: "completed" | "interrupted" }
  | { type: "failed"; executionId: string; failure: Failure };

export type Connection = "idle" | "connecting" | "open" | "lost";

export function isUnderWay(message: ChatMessage): boolean {
  return message.status === "queued" || message.status === "running";
}

/** Also where the browser has no such thing: on a page without HTTPS. */
export function newKey(): string {
  return globalThis.crypto?.randomUUID?.() ?? `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
}

export function isAnswerOf(message: ChatMessage, executionId: string): boolean {
  return message.role === "assistant" && message.executionId === executionId;
}

export function isAnswerWith(message: ChatMessage, id: string | undefined): boolean {
  return id !== undefined && message.id === id && message.role === "assistant";
}

/** Behind an answer's end no call is under way. */
export function givenUp(call: ToolCall): ToolCall {
  return call.status === "completed" ? call : { ...call, status: "failed", needsApproval: false };
}
