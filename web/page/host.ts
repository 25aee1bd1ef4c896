import { type FromFrame, type FromHost, fromHost, KEPT, wrapped } from "../widget/protocol";
import type { Keeper } from "./keeping";

/** The page around the frame. Its origin is what the loader says; a lie about it reaches nobody, since the browser
 *  delivers to that origin alone and says where an answer is from. Who may frame us at all is the policy's business.
 *
 *  Where the browser closes the storage to frames, the host keeps the visit: docs/decisions/0027.
 */
export class Host implements Keeper {
  private constructor(
    private readonly origin: string,
    private readonly given: URLSearchParams,
  ) {}

  /** Undefined on a page that no loader has framed. */
  static around(): Host | undefined {
    const given = new URLSearchParams(location.hash.slice(1));
    const origin = given.get("host");
    if (window.parent === window || origin === null || !/^https?:\/\//.test(origin)) return undefined;
    return new Host(origin, given);
  }

  listen(hear: (message: FromHost) => void): void {
    window.addEventListener("message", (event) => {
      if (event.source !== window.parent || event.origin !== this.origin) return;
      const message = fromHost(event.data);
      if (message) hear(message);
    });
  }

  say(message: FromFrame): void {
    window.parent.postMessage(wrapped(message), this.origin);
  }

  kept(name: string): string | null {
    const value = this.given.get(name);
    return value !== null && KEPT.test(value) ? value : null;
  }

  keep(name: string, value: string | null): void {
    if (name === "session" || name === "persistence") this.say({ type: "keep", name, value });
  }
}
