/** Who is signed in. The access token lives in this page alone; the refresh token in the browser's storage, from which
 *  one tab at a time takes it, since each can be used once.
 */
import { shallowRef } from "vue";
import { ask } from "../chat/adapters/http";
import { Refusal } from "../chat/transport";

export interface User {
  id: string;
  username: string;
  role: "admin" | "user";
}

interface Tokens {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

const KEPT = "frontdesk:console:refresh";
const EARLY = 30_000;

export class Account {
  readonly user = shallowRef<User | null>(null);
  private access = "";
  private until = 0;
  private refreshing: Promise<void> | null = null;

  constructor(readonly root: string) {}

  async signIn(username: string, password: string): Promise<void> {
    const json = { username, password };
    this.take(await ask<Tokens>(`${this.root}/auth/login`, { method: "POST", json }));
    await this.whoAmI();
  }

  /** The first account, an administrator; afterwards refused. */
  async setUp(username: string, password: string): Promise<void> {
    await ask(`${this.root}/auth/register`, { method: "POST", json: { username, password } });
    await this.signIn(username, password);
  }

  /** Goes on as who was here before. */
  async resume(): Promise<void> {
    if (localStorage.getItem(KEPT) === null) return;
    await this.whoAmI();
  }

  async signOut(): Promise<void> {
    await this.ask("POST", "/auth/logout").catch(() => undefined);
    this.forget();
  }

  /** One that is valid now. Raises `Refusal` when somebody has to sign in. */
  async token(): Promise<string> {
    if (Date.now() > this.until - EARLY) {
      this.refreshing ??= this.refresh().finally(() => {
        this.refreshing = null;
      });
      await this.refreshing;
    }
    return this.access;
  }

  /** Raises as `token` does, and what the request itself raises. */
  async ask<T>(method: string, path: string, json?: unknown): Promise<T> {
    const headers = { Authorization: `Bearer ${await this.token()}` };
    try {
      return await ask<T>(this.root + path, { method, json, headers });
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) this.forget();
      throw error;
    }
  }

  private async whoAmI(): Promise<void> {
    this.user.value = await this.ask<User>("GET", "/auth/me");
  }

  /** Without HTTPS there are no locks: then two tabs may both ask, which the server puts up with for a moment. */
  private async refresh(): Promise<void> {
    if (navigator.locks) await navigator.locks.request(KEPT, () => this.renew());
    else await this.renew();
  }

  private async renew(): Promise<void> {
    const refresh_token = localStorage.getItem(KEPT);
    if (refresh_token === null) throw this.forget();
    try {
      this.take(await ask<Tokens>(`${this.root}/auth/refresh`, { method: "POST", json: { refresh_token } }));
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) throw this.forget();
      throw error;
    }
  }

  private take(tokens: Tokens): void {
    this.access = tokens.access_token;
    this.until = Date.now() + tokens.expires_in * 1000;
    localStorage.setItem(KEPT, tokens.refresh_token);
  }

  private forget(): Refusal {
    localStorage.removeItem(KEPT);
    this.access = "";
    this.until = 0;
    this.user.value = null;
    return new Refusal(401, "unauthenticated", "");
  }
}
