/** What every page of the console has at hand. A page takes it with `useDesk`. */
import { type InjectionKey, inject } from "vue";
import type { Account } from "./account";
import type { threadsOf } from "./threads";

export interface Desk {
  account: Account;
  threads: ReturnType<typeof threadsOf>;
  /** Models to offer when the provider names none. */
  fallbackModels: string[];
  /** Nobody has an account yet. */
  isNew: boolean;
}

export const DESK: InjectionKey<Desk> = Symbol("desk");

export function useDesk(): Desk {
  const desk = inject(DESK);
  if (desk === undefined) throw new Error("A page of the console stands inside of it");
  return desk;
}
