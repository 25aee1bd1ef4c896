/** Reads Server-Sent Events to their end across every break: each event once, in order, resumed by the last id.
 *
 * Source: HTML, 9.2 (event streams). A break is a connection that ends, fails, or is silent for too long.
 */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { refusalOf } from "../adapters/http";
import type { Connection } from "../model";
import { Refusal, Unreachable } from "../transport";

export interface Following {
  request(lastId: string | null, signal: AbortSignal): Promise<Response>;
  /** Returns true when nothing follows. */
  onEvent(event: EventSourceMessage): boolean;
  onConnection(state: Connection): void;
  signal: AbortSignal;
  lastId?: string | null;
  /** Milliseconds without a byte after which a connection counts as dead; servers send something every 15 s. */
  silence?: number;
  /** Milliseconds to wait before the attempt of this number, from 1. */
  delay?: (attempt: number, asked: number | null) => number;
}

const SILENCE = 40_000;
const MOST_DELAY = 20_000;
/** Refusals that another attempt may not meet. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Doubling, with half of it by chance, so that those who were cut together do not come back together. */
export function backoff(attempt: number, asked: number | null): number {
  const most = asked ?? Math.min(MOST_DELAY, 400 * 2 ** (attempt - 1));
  return most / 2 + (Math.random() * most) / 2;
}

interface Place {
  id: string | null;
  /** The server's wish for the next pause. */
  retry: number | null;
}

/** Resolves at the end, or when `signal` is aborted. Raises `Refusal` when the server will not have it. */
export async function follow(options: Following): Promise<void> {
  const place: Place = { id: options.lastId ?? null, retry: null };
  const delay = options.delay ?? backoff;
  let attempt = 0;
  while (!options.signal.aborted) {
    options.onConnection(attempt === 0 ? "connecting" : "lost");
    const tried = await tryOnce(options, place);
    if (tried.progress === "end" || options.signal.aborted) return;
    attempt = tried.progress === "moved" ? 1 : attempt + 1;
    options.onConnection("lost");
    await pause(delay(attempt, tried.asked), options.signal);
  }
}

/** Raises what another attempt would not mend. */
async function tryOnce(options: Following, place: Place): Promise<{ progress: Progress; asked: number | null }> {
  try {
    return { progress: await readOnce(options, place), asked: place.retry };
  } catch (error) {
    if (options.signal.aborted) return { progress: "end", asked: null };
    const isPassing = error instanceof Unreachable || (error instanceof Refusal && PASSING.has(error.status));
    if (!isPassing) throw error;
    const seconds = error instanceof Refusal ? error.retryAfter : undefined;
    return { progress: "nothing", asked: seconds === undefined ? place.retry : seconds * 1000 };
  }
}

type Progress = "end" | "moved" | "nothing";

async function readOnce(options: Following, place: Place): Promise<Progress> {
  const cut = new AbortController();
  const leave = () => cut.abort();
  options.signal.addEventListener("abort", leave, { once: true });
  const watchdog = new Watchdog(options.silence ?? SILENCE, leave);
  try {
    const response = await options.request(place.id, cut.signal);
    if (response.status === 204) return "end";
    if (!response.ok || response.body === null) throw await refusalOf(response);
    options.onConnection("open");
    return await readBody(response.body, { options, place, watchdog });
  } catch (error) {
    if (error instanceof Refusal || error instanceof Unreachable || options.signal.aborted) throw error;
    if (cut.signal.aborted || error instanceof TypeError) throw new Unreachable(error);
    throw error;
  } finally {
    watchdog.stop();
    options.signal.removeEventListener("abort", leave);
    cut.abort();
  }
}

async function readBody(
  body: ReadableStream<Uint8Array>,
  held: { options: Following; place: Place; watchdog: Watchdog },
): Promise<Progress> {
  const state = { progress: "nothing" as Progress };
  const parser = createParser({
    onEvent(event) {
      if (state.progress === "end") return;
      state.progress = held.options.onEvent(event) ? "end" : "moved";
      if (event.id !== undefined) held.place.id = event.id;
    },
    onRetry(milliseconds) {
      held.place.retry = milliseconds;
    },
  });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await bytes(reader);
    if (done) return state.progress;
    held.watchdog.touch();
    parser.feed(decoder.decode(value, { stream: true }));
    if (state.progress === "end") return state.progress;
  }
}

async function bytes(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (error) {
    throw new Unreachable(error);
  }
}

class Watchdog {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly milliseconds: number,
    private readonly bite: () => void,
  ) {
    this.touch();
  }

  touch(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.bite, this.milliseconds);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

/** Shorter when the network comes back or somebody looks again: then is a good moment to try. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      globalThis.removeEventListener?.("online", wake);
      globalThis.document?.removeEventListener("visibilitychange", look);
      resolve();
    };
    const look = () => {
      if (globalThis.document.visibilityState === "visible") wake();
    };
    const timer = setTimeout(wake, milliseconds);
    signal.addEventListener("abort", wake, { once: true });
    globalThis.addEventListener?.("online", wake);
    globalThis.document?.addEventListener("visibilitychange", look);
  });
}
