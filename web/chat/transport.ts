/** What the chat element needs of an API. An adapter is one implementation; pages choose it. */
import type { Attachment, ChatEvent, ChatMessage, Connection, Draft, Failure } from "./model";

export interface Page {
  /** Oldest first. */
  messages: ChatMessage[];
  hasMore: boolean;
}

export interface Snapshot extends Page {
  /** The answer under way. */
  executionId: string | null;
}

export interface Sink {
  event(event: ChatEvent): void;
  connection(state: Connection): void;
  /** The conversation can not go on as it is: it ended, expired, or is somebody else's. */
  over(failure: Failure): void;
}

export interface Watch {
  /** An answer is about to come. */
  expect(executionId: string): void;
  close(): void;
}

export interface UploadLimits {
  accept: string[];
  maxFiles: number;
  maxBytes: number;
}

export interface Transport {
  /** Raises `Refusal` and `Unreachable`, as all below. */
  load(): Promise<Snapshot>;
  earlier(before: ChatMessage): Promise<Page>;
  /** Tells every event of every answer once, in order, across reconnections, until it is closed. */
  watch(sink: Sink): Watch;
  send(draft: Draft): Promise<{ executionId: string | null; messageId?: string; parentId?: string | null }>;
  /** Resolves when the partial answer is stored. */
  stop(executionId: string): Promise<void>;
  readonly uploads?: UploadLimits;
  upload?(file: File, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Attachment>;
  regenerate?(message: ChatMessage): Promise<string>;
  readonly canEdit?: boolean;
  rate?(message: ChatMessage, kind: "positive" | "negative"): Promise<void>;
  decide?(executionId: string, callId: string, decision: "approve" | "reject"): Promise<void>;
}

/** What is wrong with a part of a request: `loc` is its path, from `body` on. */
export interface FieldError {
  loc: (string | number)[];
  msg: string;
  type: string;
}

/** The server answered, and said no. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfter?: number,
    readonly errors: readonly FieldError[] = [],
  ) {
    super(message);
    this.name = "Refusal";
  }
}

/** No answer came. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super("unreachable", { cause });
    this.name = "Unreachable";
  }
}

export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal) {
    return { code: error.code, message: error.message, retryAfter: error.retryAfter };
  }
  return { code: error instanceof Unreachable ? "unreachable" : "unknown", message: "" };
}
