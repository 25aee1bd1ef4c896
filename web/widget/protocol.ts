/** What a host page's widget and the chat in its frame say to each other. Both sides look at where a message is from
 *  before they look at it; what is not one of these is not for them.
 */
export type FromHost = { type: "shown"; isShown: boolean } | { type: "identify"; identity: string };
export type FromFrame =
  | { type: "ready" }
  | { type: "close" }
  | { type: "identified" }
  | { type: "unread"; count: number }
  | { type: "refused"; code: string }
  | { type: "keep"; name: KeptName; value: string | null };

/** What a host keeps for a frame that may keep nothing: tokens. */
export type KeptName = "session" | "persistence";
export const KEPT = /^[\w.~-]{1,100}$/;

const MARK = "frontdesk/1";

export function wrapped<Message extends FromHost | FromFrame>(message: Message): Message & { protocol: string } {
  return { ...message, protocol: MARK };
}

export function fromHost(data: unknown): FromHost | undefined {
  const told = marked(data);
  if (told?.type === "shown" && typeof told.isShown === "boolean") return { type: "shown", isShown: told.isShown };
  if (told?.type === "identify" && typeof told.identity === "string")
    return { type: "identify", identity: told.identity };
  return undefined;
}

export function fromFrame(data: unknown): FromFrame | undefined {
  const told = marked(data);
  switch (told?.type) {
    case "ready":
    case "close":
    case "identified":
      return { type: told.type };
    case "unread":
      return typeof told.count === "number" ? { type: told.type, count: told.count } : undefined;
    case "refused":
      return typeof told.code === "string" ? { type: told.type, code: told.code } : undefined;
    case "keep":
      return keepIn(told);
    default:
      return undefined;
  }
}

function keepIn({ name, value }: Record<string, unknown>): FromFrame | undefined {
  if (name !== "session" && name !== "persistence") return undefined;
  const isValue = value === null || (typeof value === "string" && KEPT.test(value));
  return isValue ? { type: "keep", name, value } : undefined;
}

function marked(data: unknown): Record<string, unknown> | undefined {
  const told = typeof data === "object" && data !== null ? (data as Record<string, unknown>) : undefined;
  return told?.protocol === MARK ? told : undefined;
}
