import { describe, expect, it } from "vitest";
import type { Connection } from "../model";
import { Refusal } from "../transport";
import { backoff, follow } from "./follow";

const STREAM = { "Content-Type": "text/event-stream" };

/** A server that gives each connection the next of these: pieces of a stream, a refusal, or no answer. */
function server(...connections: (string[] | Response | Error)[]) {
  const asked: (string | null)[] = [];
  const request = async (lastId: string | null): Promise<Response> => {
    asked.push(lastId);
    const next = connections[asked.length - 1];
    if (next === undefined) return new Response(null, { status: 204 });
    if (next instanceof Error) throw next;
    if (next instanceof Response) return next;
    return new Response(streamOf(next), { headers: STREAM });
  };
  return { asked, request };
}

function streamOf(pieces: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(encoder.encode(piece));
      controller.close();
    },
  });
}

async function readAll(request: ReturnType<typeof server>["request"], isEnd = (data: string) => data === "[DONE]") {
  const seen: string[] = [];
  const states: Connection[] = [];
  const delays: (number | null)[] = [];
  await follow({
    request,
    signal: new AbortController().signal,
    onConnection: (state) => states.push(state),
    onEvent: (event) => {
      seen.push(event.data);
      return isEnd(event.data);
    },
    delay: (_attempt, asked) => {
      delays.push(asked);
      return 0;
    },
  });
  return { seen, states, delays };
}

function frame(id: number, data = `d${id}`): string {
  return `id: ${id}\ndata: ${data}\n\n`;
}

describe("follow", () => {
  it("gives every event once, wherever the connection breaks", async () => {
    const whole = Array.from({ length: 20 }, (_, id) => frame(id)).join("") + frame(20, "[DONE]");
    for (let cut = 0; cut < whole.length; cut += 1) {
      const complete = whole.slice(0, cut).split("\n\n").length - 1;
      const rest = whole.split("\n\n").slice(complete).join("\n\n");
      const { request, asked } = server([whole.slice(0, cut)], [rest]);
      const { seen } = await readAll(request);
      expect(seen).toEqual([...Array.from({ length: 20 }, (_, id) => `d${id}`), "[DONE]"]);
      if (complete < 21) expect(asked).toEqual([null, complete === 0 ? null : String(complete - 1)]);
    }
  });

  it("reads characters that are cut in two", async () => {
    const bytes = new TextEncoder().encode(frame(1, "漢🙂") + frame(2, "[DONE]"));
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    const { seen } = await readAll(async () => new Response(body, { headers: STREAM }));
    expect(seen).toEqual(["漢🙂", "[DONE]"]);
  });

  it("comes back when the server is away, as late as it asks", async () => {
    const away = new Response("{}", { status: 503, headers: { "Retry-After": "3" } });
    const { request } = server(away, ["retry: 700\n\n", frame(1)], [frame(2, "[DONE]")]);
    const { seen, states, delays } = await readAll(request);
    expect(seen).toEqual(["d1", "[DONE]"]);
    expect(delays).toEqual([3000, 700]);
    expect(states[0]).toBe("connecting");
    expect(states).toContain("lost");
    expect(states.at(-1)).toBe("open");
  });

  it("gives up when it is refused", async () => {
    const gone = () => new Response(JSON.stringify({ code: "session_expired", error: "Start anew" }), { status: 410 });
    const { request, asked } = server([frame(7)], gone());
    await expect(readAll(request)).rejects.toMatchObject({
      status: 410,
      code: "session_expired",
      message: "Start anew",
    });
    expect(asked).toEqual([null, "7"]);
    await expect(readAll(server(gone()).request)).rejects.toBeInstanceOf(Refusal);
  });

  it("cuts a connection on which nothing comes", async () => {
    let open = 0;
    const silent = (_id: string | null, signal: AbortSignal) => {
      open += 1;
      if (open > 1) return Promise.resolve(new Response(streamOf([frame(1, "[DONE]")]), { headers: STREAM }));
      const body = new ReadableStream({
        start: (it) => signal.addEventListener("abort", () => it.error(new Error("cut"))),
      });
      return Promise.resolve(new Response(body, { headers: STREAM }));
    };
    const seen: string[] = [];
    await follow({
      request: silent,
      silence: 5,
      delay: () => 0,
      signal: new AbortController().signal,
      onConnection: () => {},
      onEvent: (event) => seen.push(event.data) > 0,
    });
    expect([open, seen]).toEqual([2, ["[DONE]"]]);
  });

  it("waits longer each time, within bounds, and not in step with others", () => {
    const waits = Array.from({ length: 12 }, (_, attempt) => backoff(attempt + 1, null));
    waits.forEach((wait, attempt) => {
      const most = Math.min(20_000, 400 * 2 ** attempt);
      expect(wait).toBeGreaterThanOrEqual(most / 2);
      expect(wait).toBeLessThanOrEqual(most);
    });
    expect(new Set(Array.from({ length: 20 }, () => backoff(5, null))).size).toBeGreaterThan(10);
  });
});
