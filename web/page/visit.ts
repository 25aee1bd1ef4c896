/** A visitor's session: opened when it is needed, gone on with after a reload, and, where the interface allows it, later. */
import { ask } from "../chat/adapters/http";
import type { Session } from "../chat/adapters/public_chat";
import type { Given } from "./interface";
import { type Keeper, Keeping } from "./keeping";

interface Opened {
  sessionToken: string;
  persistenceToken?: string;
}

export class Visit implements Session {
  private readonly tab: Keeping;
  private readonly browser: Keeping;
  private opening: Promise<string> | null = null;
  private identity: string | undefined;

  constructor(
    private readonly page: Given,
    keeper?: Keeper,
  ) {
    const prefix = `frontdesk:${page.interface.slug}:`;
    this.tab = new Keeping(() => sessionStorage, prefix, keeper);
    this.browser = new Keeping(() => localStorage, prefix, keeper);
  }

  current(): string | null {
    return this.tab.get("session");
  }

  open(): Promise<string> {
    const token = this.current();
    if (token !== null) return Promise.resolve(token);
    this.opening ??= this.begin().finally(() => {
      this.opening = null;
    });
    return this.opening;
  }

  /** Goes on with an earlier visit, if there was one. */
  async resume(): Promise<void> {
    if (this.current() === null && this.persistenceToken !== null) await this.open();
  }

  /** Who the visitor is, in the words of the site that knows them (a signed token). */
  async identify(identity: string): Promise<void> {
    await this.opening?.catch(() => undefined); // it is somebody unknown's
    this.identity = identity;
    this.tab.set("session", null);
    await this.open();
  }

  /** The next message begins anew. */
  leave(): void {
    this.tab.set("session", null);
    this.browser.set("persistence", null);
  }

  private get persistenceToken(): string | null {
    return this.page.interface.persistenceType === "local_storage" ? this.browser.get("persistence") : null;
  }

  private async begin(): Promise<string> {
    const opened = await ask<Opened>(`${this.page.root}/sessions`, {
      method: "POST",
      json: {
        referrer: document.referrer.slice(0, 2048) || undefined,
        persistenceToken: this.persistenceToken ?? undefined,
        identity: this.identity,
      },
    });
    this.tab.set("session", opened.sessionToken);
    if (opened.persistenceToken) this.browser.set("persistence", opened.persistenceToken);
    return opened.sessionToken;
  }
}
