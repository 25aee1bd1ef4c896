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
  /** Titles of threads that are further back than the list. */
  const others = shallowRef(new Map<string, string | null>());
  let listed: Promise<void> = Promise.resolve();

  function load(): Promise<void> {
    listed = read();
    return listed;
  }

  async function read(): Promise<void> {
    const found = await account.ask<{ items: Thread[] }>("GET", `/threads?limit=${PAGE}`);
    threads.value = found.items;
    hasMore.value = found.items.length === PAGE;
  }

  function titleOf(id: string): string | null {
    return threads.value.find((each) => each.id === id)?.title ?? others.value.get(id) ?? null;
  }

  /** So that `titleOf` knows it, wherever the thread stands. Who it is not for is told by what else is asked. */
  async function learn(id: string): Promise<void> {
    await listed.catch(() => undefined);
    if (others.value.has(id) || threads.value.some((each) => each.id === id)) return;
    const found = await account.ask<Thread>("GET", `/threads/${id}?messages=0`).catch(() => undefined);
    if (found !== undefined) others.value = new Map(others.value).set(id, found.title);
  }

  async function loadMore(): Promise<void> {
    const after = threads.value.at(-1)?.id;
    const found = await account.ask<{ items: Thread[] }>("GET", `/threads?limit=${PAGE}&after=${after}`);
    threads.value = [...threads.value, ...found.items];
    hasMore.value = found.items.length === PAGE;
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
    others.value = new Map(others.value).set(id, title);
  }

  /** Hidden, or erased with all that belongs to it. */
  async function remove(thread: Pick<Thread, "id">, isErased = false): Promise<void> {
    await account.ask("DELETE", `/threads/${thread.id}${isErased ? "?purge=true" : ""}`);
    threads.value = threads.value.filter((each) => each.id !== thread.id);
  }

  return { threads, hasMore, load, loadMore, titleOf, learn, create, renamed, remove };
}

export async function modelsOf(account: Account, fallback: string[]): Promise<string[]> {
  try {
    const { data } = await account.ask<{ data: { id: string }[] }>("GET", "/models");
    return data.length > 0 ? data.map((each) => each.id) : fallback;
  } catch {
    return fallback;
  }
}
