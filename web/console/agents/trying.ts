/** A conversation to try an agent in, which is thrown away afterwards. */
import { type Conversation, converse, ThreadsApi } from "../../chat";
import type { Account } from "../account";

export interface Trial {
  /** One for each place where it is shown, one at a time: a conversation ends with its place. */
  begin(): Conversation;
  /** Erases what was said. What a closed tab leaves behind is a conversation among the others. */
  discard(): Promise<void>;
}

export function tryAgent(account: Account, agentId: string, title: string): Trial {
  const thread = {
    id: null as string | null,
    async create(): Promise<string> {
      const metadata = { agent_id: agentId, source: "test" };
      const made = await account.ask<{ id: string }>("POST", "/threads", { title, metadata });
      return made.id;
    },
  };
  return {
    begin: () => converse(new ThreadsApi(account.root, thread, () => account.token())),
    async discard() {
      const { id } = thread;
      thread.id = null;
      if (id !== null) await account.ask("DELETE", `/threads/${id}?purge=true`).catch(() => undefined);
    },
  };
}
