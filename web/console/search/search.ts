/** Questions to search, as the page's address has them, and what was found. */
import type { LocationQuery } from "vue-router";

export const MODES = ["hybrid", "semantic", "text", "regex"] as const;
export const ROLES = ["user", "assistant", "system", "tool"] as const;
export const PAGE = 20;
const FURTHEST = 1000;

export interface Question {
  q: string;
  mode: (typeof MODES)[number];
  role: (typeof ROLES)[number] | "";
  model: string;
  /** Days of the browser's time zone, both inclusive: `2026-03-01`. */
  from: string;
  to: string;
}

export interface Hit {
  thread: { id: string; title: string | null; last_message_at: string | null };
  message_id: string;
  snippet: string;
  highlights: [number, number][];
}

export interface Found {
  items: Hit[];
  complete: boolean;
  degraded: string | null;
}

export function questionOf(query: LocationQuery): Question {
  const text = (name: string) => (typeof query[name] === "string" ? query[name] : "");
  return {
    q: text("q"),
    mode: MODES.find((each) => each === text("mode")) ?? "hybrid",
    role: ROLES.find((each) => each === text("role")) ?? "",
    model: text("model"),
    from: text("from"),
    to: text("to"),
  };
}

/** What is as it always is stays out. */
export function queryOf(question: Question): Record<string, string> {
  const said = Object.entries(question).filter(
    ([name, value]) => value !== "" && !(name === "mode" && value === "hybrid"),
  );
  return Object.fromEntries(said);
}

export function bodyOf(question: Question, offset: number): object {
  const { q, mode, role, model, from, to } = question;
  return {
    query: q,
    mode,
    ...(role && { role }),
    ...(model && { model }),
    ...(from && { from: new Date(`${from}T00:00:00`).toISOString() }),
    ...(to && { to: new Date(`${to}T23:59:59.999`).toISOString() }),
    limit: PAGE,
    offset,
  };
}

export function mayHaveMore(last: Found, offset: number): boolean {
  return last.items.length === PAGE && offset + PAGE <= FURTHEST;
}

/** The snippet in its pieces. `highlights` count code points, strings here UTF-16. */
export function piecesOf(hit: Hit): { text: string; isHit: boolean }[] {
  const points = Array.from(hit.snippet);
  const pieces: { text: string; isHit: boolean }[] = [];
  let at = 0;
  for (const [start, end] of hit.highlights) {
    if (start > at) pieces.push({ text: points.slice(at, start).join(""), isHit: false });
    pieces.push({ text: points.slice(Math.max(at, start), end).join(""), isHit: true });
    at = Math.max(at, end);
  }
  if (at < points.length) pieces.push({ text: points.slice(at).join(""), isHit: false });
  return pieces.filter((each) => each.text !== "");
}
