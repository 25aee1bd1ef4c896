/** Which of a conversation's messages are shown: the branch that ends in a leaf. Messages without parents are a line. */
import type { ChatMessage } from "./model";

export interface Shown {
  message: ChatMessage;
  /** The message's place among those that answer the same, from 0. */
  place: number;
  siblings: ChatMessage[];
}

const ALONE: ChatMessage[] = [];

export function shownBranch(messages: readonly ChatMessage[], leaf: string | null): Shown[] {
  if (messages.every((each) => each.parentId === undefined)) {
    return messages.map((message) => ({ message, place: 0, siblings: ALONE }));
  }
  const byId = new Map(messages.map((each) => [each.id ?? each.key, each]));
  const children = grouped(messages);
  const shown: Shown[] = [];
  const seen = new Set<string>();
  let at = leaf === null ? messages.at(-1) : (byId.get(leaf) ?? messages.at(-1));
  while (at !== undefined && !seen.has(at.key)) {
    seen.add(at.key);
    const siblings = children.get(parentOf(at)) ?? ALONE;
    shown.push({ message: at, place: siblings.indexOf(at), siblings: siblings.length > 1 ? siblings : ALONE });
    at = at.parentId == null ? undefined : byId.get(at.parentId);
  }
  return shown.reverse();
}

/** The latest message that follows from this one. */
export function latestBelow(messages: readonly ChatMessage[], from: ChatMessage): ChatMessage {
  let found = from;
  for (const each of messages) {
    if (each.parentId != null && each.parentId === (found.id ?? found.key)) found = each;
  }
  return found;
}

function parentOf(message: ChatMessage): string {
  return `${message.role}:${message.parentId ?? ""}`;
}

function grouped(messages: readonly ChatMessage[]): Map<string, ChatMessage[]> {
  const groups = new Map<string, ChatMessage[]>();
  for (const each of messages) {
    const group = groups.get(parentOf(each));
    if (group) group.push(each);
    else groups.set(parentOf(each), [each]);
  }
  return groups;
}
