/** Accounts as administrators see them. */
import type { Account } from "../account";

export interface UserRecord {
  id: string;
  username: string;
  email: string | null;
  role: "user" | "admin";
  is_active: boolean;
  tier: string | null;
  permissions: { products: string[] | null; agents: string[] | null };
  created_at: string;
}

export interface Users {
  items: UserRecord[];
  total: number;
  tiers: string[];
  default_tier: string;
}

const LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const LENGTH = 20;
const PAGE = 50;

export function listUsers(account: Account, after?: string): Promise<Users> {
  return account.ask<Users>("GET", `/users?limit=${PAGE}${after === undefined ? "" : `&after=${after}`}`);
}

/** Everybody's name by their id. */
export async function userNames(account: Account): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  let page: Users | undefined;
  do {
    page = await listUsers(account, page?.items.at(-1)?.id);
    for (const each of page.items) names.set(each.id, each.username);
  } while (page.items.length === PAGE);
  return names;
}

/** Over 110 random bits, of characters that nobody takes for one another. */
export function madeUpPassword(): string {
  const limit = 256 - (256 % LETTERS.length);
  let password = "";
  while (password.length < LENGTH) {
    for (const byte of crypto.getRandomValues(new Uint8Array(LENGTH))) {
      if (byte < limit && password.length < LENGTH) password += LETTERS[byte % LETTERS.length];
    }
  }
  return password;
}

/** Null permits everything. */
export function listIn(text: string, isLimited: boolean): string[] | null {
  if (!isLimited) return null;
  return [...new Set(text.split(",").map((each) => each.trim()))].filter((each) => each !== "");
}
