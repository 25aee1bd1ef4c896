/** A conversation to try an agent in, which is thrown away with the page, also when its tab is closed. */
import { onBeforeUnmount, onMounted, ref } from "vue";
import { type Conversation, converse, ThreadsApi } from "../../chat";
import { ask } from "../../chat/adapters/http";
import type { Account } from "../account";

export function useTrial(account: Account, of: () => { agentId: string; title: string }) {
  /** Counts the beginnings. */
  const number = ref(0);
  let thread = blank();

  function blank() {
    return {
      id: null as string | null,
      async create(): Promise<string> {
        const { agentId, title } = of();
        const metadata = { agent_id: agentId, source: "test" };
        return (await account.ask<{ id: string }>("POST", "/threads", { title, metadata })).id;
      },
    };
  }

  /** One for each place where it is shown, one at a time: a conversation ends with its place. */
  function begin(): Conversation {
    return converse(new ThreadsApi(account.root, thread, () => account.token()));
  }

  function startOver(): void {
    void discard();
    number.value += 1;
  }

  /** A page that goes has no time to wait for an answer. */
  async function discard(): Promise<void> {
    const { id } = thread;
    thread = blank();
    if (id === null) return;
    const headers = { Authorization: `Bearer ${await account.token()}` };
    const url = `${account.root}/threads/${id}?purge=true`;
    await ask(url, { method: "DELETE", headers, keepalive: true }).catch(() => undefined);
  }

  function leave(event: PageTransitionEvent): void {
    if (!event.persisted) void discard();
  }

  onMounted(() => window.addEventListener("pagehide", leave));
  onBeforeUnmount(() => {
    window.removeEventListener("pagehide", leave);
    void discard();
  });
  return { number, begin, startOver };
}
