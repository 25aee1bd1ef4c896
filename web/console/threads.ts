/** The signed-in user's threads, newest activity first, and the models that may answer. */
import { ref, shallowRef } from "vue";
import type { Account } from "./account";

export interface Thread {
  id: string;
  title: string | null;
  last_message_at: string | null;
}

const PAGE = 50;
const TITLE = 60;

export function threadsOf(account: Account) {
  const threads = shallowRef<Thread[]>([]);
  const hasMore = ref(false);

  async function load(): Promise<void> {
    const listed = await account.ask<{ items: Thread[] }>("GET", `/threads?limit=${PAGE}`);
    threads.value = listed.items;
    hasMore.value = listed.items.length === PAGE;
  }

  async function loadMore(): Promise<void> {
    const after = threads.value.at(-1)?.id;
    const listed = await account.ask<{ items: Thread[] }>("GET", `/threads?limit=${PAGE}&after=${after}`);
    threads.value = [...threads.value, ...listed.items];
    hasMore.value = listed.items.length === PAGE;
  }

  /** Named by what is said first. */
  async function create(text: string): Promise<Thread> {
    const [line = ""] = text.trim().split("\n");
    const title = line.length > TITLE ? `${line.slice(0, TITLE)}…` : line;
    const thread = await account.ask<Thread>("POST", "/threads", { title });
    threads.value = [thread, ...threads.value];
    return thread;
  }

  /** What the server knows already. */
  function renamed(id: string, title: string | null): void {
    threads.value = threads.value.map((each) => (each.id === id ? { ...each, title } : each));
  }

  /** Hidden, or erased with all that belongs to it. */
  async function remove(thread: Pick<Thread, "id">, isErased = false): Promise<void> {
    await account.ask("DELETE", `/threads/${thread.id}${isErased ? "?purge=true" : ""}`);
    threads.value = threads.value.filter((each) => each.id !== thread.id);
  }

  return { threads, hasMore, load, loadMore, create, renamed, remove };
}

export async function modelsOf(account: Account, fallback: string[]): Promise<string[]> {
  try {
    const { data } = await account.ask<{ data: { id: string }[] }>("GET", "/models");
    return data.length > 0 ? data.map((each) => each.id) : fallback;
  } catch {
    return fallback;
  }
}
