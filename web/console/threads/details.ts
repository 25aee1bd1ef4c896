/** A thread as its details show it, and its export. */
import { reach, refusalOf } from "../../chat/adapters/http";
import type { Account } from "../account";

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
}

export interface Details {
  id: string;
  title: string | null;
  summary: string | null;
  metadata: Record<string, unknown>;
  created_at: string;
  last_message_at: string | null;
}

interface Listed {
  items: { model: string | null; usage: Usage | null }[];
  total: number;
}

export interface Counted {
  messages: number;
  /** Of how many messages, the latest, the rest is told. */
  looked: number;
  models: string[];
  prompt: number;
  completion: number;
}

const LOOKED = 100;

export async function detailsOf(account: Account, id: string): Promise<Details> {
  return account.ask<Details>("GET", `/threads/${id}?messages=0`);
}

export async function countedOf(account: Account, id: string): Promise<Counted> {
  const listed = await account.ask<Listed>("GET", `/threads/${id}/messages?limit=${LOOKED}`);
  const sum = (name: keyof Usage) => listed.items.reduce((total, each) => total + (each.usage?.[name] ?? 0), 0);
  return {
    messages: listed.total,
    looked: listed.items.length,
    models: [...new Set(listed.items.map((each) => each.model).filter((each) => each !== null))],
    prompt: sum("prompt_tokens"),
    completion: sum("completion_tokens"),
  };
}

/** Its name, or its id where it can not be looked at. */
export async function agentNameOf(account: Account, details: Details): Promise<string | null> {
  const id = details.metadata.agent_id;
  if (typeof id !== "string") return null;
  try {
    return (await account.ask<{ name: string }>("GET", `/agents/${encodeURIComponent(id)}`)).name;
  } catch {
    return id;
  }
}

export function tagsOf(details: Details): string[] {
  const tags = details.metadata.tags;
  return Array.isArray(tags) ? tags.filter((each) => typeof each === "string") : [];
}

export function tagsIn(text: string): string[] {
  return [...new Set(text.split(",").map((each) => each.trim()))].filter((each) => each !== "");
}

/** What is kept beside what the page shows in words. */
export function restOf(details: Details): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(details.metadata).filter(([name]) => name !== "tags" && name !== "agent_id"),
  );
}

/** As a file of the browser's. Raises `Refusal` and `Unreachable`. */
export async function download(account: Account, id: string, format: "markdown" | "json"): Promise<void> {
  const headers = { Authorization: `Bearer ${await account.token()}` };
  const response = await reach(`${account.root}/threads/${id}/export?format=${format}`, { headers });
  if (!response.ok) throw await refusalOf(response);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `thread-${id}.${format === "json" ? "json" : "md"}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
