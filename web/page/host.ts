/** The page around the frame. Its origin is what the loader says; a lie about it reaches nobody, since the browser
 *  delivers to that origin alone and says where an answer is from. Who may frame us at all is the policy's business.
 */
import { type FromFrame, type FromHost, fromHost, wrapped } from "../widget/protocol";

export interface Host {
  say(message: FromFrame): void;
}

export function hostAround(hear: (message: FromHost) => void): Host | undefined {
  const origin = new URLSearchParams(location.hash.slice(1)).get("host");
  if (window.parent === window || origin === null || !/^https?:\/\//.test(origin)) return undefined;
  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || event.origin !== origin) return;
    const message = fromHost(event.data);
    if (message) hear(message);
  });
  return { say: (message) => window.parent.postMessage(wrapped(message), origin) };
}
