/** Threads that their owner has hidden, found among all of them: the API lists them together. */
import type { Account } from "../account";

export interface HiddenThread {
  id: string;
  title: string | null;
  last_message_at: string | null;
  is_deleted: boolean;
}

const PAGE = 100;
const PAGES = 10;

/** Those of the next thousand threads; `next` is where to go on, or null at the end. */
export async function readHidden(
  account: Account,
  after: string | null,
): Promise<{ threads: HiddenThread[]; next: string | null }> {
  const threads: HiddenThread[] = [];
  let next = after;
  for (let page = 0; page < PAGES; page += 1) {
    const from = next === null ? "" : `&after=${next}`;
    const path = `/threads?include_deleted=true&limit=${PAGE}${from}`;
    const { items } = await account.ask<{ items: HiddenThread[] }>("GET", path);
    threads.push(...items.filter((each) => each.is_deleted));
    next = items.at(-1)?.id ?? null;
    if (items.length < PAGE) return { threads, next: null };
  }
  return { threads, next };
}
