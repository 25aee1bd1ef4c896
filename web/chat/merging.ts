/** What the page has, and what the server has stored, as one list in the server's order. */
import { type ChatMessage, isUnderWay } from "./model";

/** Objects that the page shows already stay, so that nothing on the screen is made again. */
export function merge(here: readonly ChatMessage[], stored: readonly ChatMessage[]): ChatMessage[] {
  const byId = new Map(here.filter((each) => each.id !== null).map((each) => [each.id, each]));
  const storedIds = new Set(stored.map((each) => each.id));
  const mine = here.filter((each) => each.id === null && each.status !== "sending" && each.status !== "unsent");
  const adopted = new Set<ChatMessage>();
  const merged = stored.map((each) => {
    const same = byId.get(each.id) ?? adopt(each, mine, adopted);
    return same === undefined ? each : update(same, each);
  });
  const firstStored = stored[0]?.id ?? null;
  const older = here.filter((each) => firstStored !== null && each.id !== null && each.id < firstStored);
  const newer = here.filter((each) => !storedIds.has(each.id) && !adopted.has(each) && !older.includes(each));
  return [...older, ...merged, ...newer];
}

/** What is here without its id: an answer is known by its execution, a question is the first of its text. */
function adopt(stored: ChatMessage, mine: ChatMessage[], adopted: Set<ChatMessage>): ChatMessage | undefined {
  const found = mine.find((each) => !adopted.has(each) && each.role === stored.role && isSame(each, stored));
  if (found) adopted.add(found);
  return found;
}

function isSame(here: ChatMessage, stored: ChatMessage): boolean {
  if (here.role === "user") return here.text === stored.text;
  return here.executionId !== undefined && here.executionId === stored.executionId;
}

/** What is here is further than what is stored of an answer under way: it streams, or has ended since that was read. */
function update(here: ChatMessage, stored: ChatMessage): ChatMessage {
  const isBehind = isUnderWay(stored);
  const kept = { key: here.key, executionId: here.executionId ?? stored.executionId };
  const grown = isBehind ? { text: here.text, status: here.status } : {};
  const calls = isBehind || stored.calls.length === 0 ? here.calls : stored.calls;
  Object.assign(here, stored, kept, grown, { calls, feedback: here.feedback });
  return here;
}
