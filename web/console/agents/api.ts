/** Agents and tools as the API has them. */
import type { Account } from "../account";
import type { Agent, Kind } from "./draft";

export interface Tool {
  name: string;
  description: string;
}

/** What an agent can be made of on this server. */
export interface Choices {
  tools: Tool[];
  runtimes: Partial<Record<Kind, string[]>>;
}

export interface Listed<Item> {
  items: Item[];
  total: number;
}

const PAGE = 50;

/** Newest first; `after` is the last that is known. */
export function listAgents(account: Account, after?: string): Promise<Listed<Agent>> {
  return account.ask("GET", `/agents?limit=${PAGE}${after ? `&after=${after}` : ""}`);
}

/** For a choice among them: all, as far as that is sensible. */
export async function allAgents(account: Account): Promise<Agent[]> {
  const found: Agent[] = [];
  for (let pages = 0; pages < 20; pages += 1) {
    const { items, total } = await listAgents(account, found.at(-1)?.id);
    found.push(...items);
    if (items.length < PAGE || found.length >= total) break;
  }
  return found;
}

export function choicesOf(account: Account): Promise<Choices> {
  return account.ask("GET", "/agents/choices");
}
