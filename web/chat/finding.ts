/** A message that somebody wants to see, however far back and in whatever branch it is. */
import type { Conversation } from "./conversation";
import type { ChatMessage } from "./model";

const MAX_PAGES = 60;

/** Undefined when it is not there, or further back than is looked. Its branch is the one that is shown then. */
export async function findMessage(chat: Conversation, id: string): Promise<ChatMessage | undefined> {
  for (let page = 0; page <= MAX_PAGES; page += 1) {
    const found = chat.messages.value.find((each) => each.id === id);
    if (found !== undefined) {
      if (!chat.shown.value.some((each) => each.message === found)) chat.choose(found);
      return found;
    }
    if (!chat.hasMore.value || chat.trouble.value !== null) return undefined;
    await chat.loadEarlier();
  }
  return undefined;
}
