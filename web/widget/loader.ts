/** The bubble on somebody's page, and the frame that it opens. Everything of it is inside a closed shadow root that the
 *  page's styles do not reach; nothing but `window.frontdesk` is added to the page. It needs no cookie, no inline script
 *  and no inline style, so a strict Content-Security-Policy needs `script-src` and `frame-src` for this origin alone.
 */
import { textOn } from "../page/colour";
import { type FromHost, fromFrame, type KeptName, wrapped } from "./protocol";
import { STYLES } from "./styles";

interface Config {
  slug: string;
  title: string;
  color: string;
  radius: number;
  position: "bottom-right" | "bottom-left";
  icon: string | null;
  text: string | null;
  isOpen: boolean;
  locale: string;
}

type EventName = "ready" | "open" | "close" | "unread" | "identified" | "refused";
type Listener = (detail: unknown) => void;

export interface FrontdeskWidget {
  open(): void;
  close(): void;
  /** A token that your server has signed; asked for again by `on("refused")` when it is not taken. */
  identify(identity: string): void;
  /** Returns what ends it. */
  on(event: EventName, listener: Listener): () => void;
}

declare global {
  interface Window {
    frontdesk?: FrontdeskWidget;
  }
}

// The server puts the interface's own in the place of this text.
const config = JSON.parse("__FRONTDESK_WIDGET__") as Config;

const NAMES: KeptName[] = ["session", "persistence"];

const TEXTS: Record<string, { open: string; close: string }> = {
  en: { open: "Open the chat", close: "Close the chat" },
  ru: { open: "Открыть чат", close: "Закрыть чат" },
};
const texts = TEXTS[config.locale.split("-")[0] ?? ""] ?? { open: "Open the chat", close: "Close the chat" };

function begin(): void {
  const script = document.currentScript as HTMLScriptElement | null;
  const source =
    script?.src || document.querySelector<HTMLScriptElement>(`script[src*="/widget/${config.slug}.js"]`)?.src;
  if (!source || window.frontdesk) return;
  const widget = new Widget(new URL(source));
  window.frontdesk = Object.freeze({
    open: () => widget.show(true),
    close: () => widget.show(false),
    identify: (identity: string) => widget.identify(identity),
    on: (event: EventName, listener: Listener) => widget.on(event, listener),
  });
  if (document.body) widget.attach();
  else document.addEventListener("DOMContentLoaded", () => widget.attach());
}

class Widget {
  private readonly element = document.createElement("frontdesk-widget");
  private readonly button = document.createElement("button");
  private readonly badge = document.createElement("span");
  private readonly listeners = new Map<EventName, Set<Listener>>();
  private readonly changes = new MutationObserver((changes) => this.follow(changes));
  private frame: HTMLIFrameElement | null = null;
  private waiting: FromHost[] = [];
  private isReady = false;
  private isShown = false;

  constructor(private readonly source: URL) {
    const root = this.element.attachShadow({ mode: "closed" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLES);
    root.adoptedStyleSheets = [sheet];
    const panel = document.createElement("div");
    panel.className = "panel";
    panel.hidden = true;
    this.panel = panel;
    this.dress();
    root.append(panel, this.button);
    window.addEventListener("message", (event) => this.hear(event));
  }

  private readonly panel: HTMLElement;

  attach(): void {
    this.put();
    if (config.isOpen && innerWidth > 640) this.show(true, false);
  }

  private put(): void {
    document.body.append(this.element);
    for (const each of [document.documentElement, document.body]) this.changes.observe(each, { childList: true });
  }

  /** Frameworks put another body, or another content of it, in the place of the one that it stood in; there it is put
   *  again. Who takes it away and nothing else wants it to be gone.
   */
  private follow(changes: MutationRecord[]): void {
    const isTaken = changes.some((each) => [...each.removedNodes].some((node) => node.contains(this.element)));
    const isReplaced = isTaken && changes.some((each) => each.addedNodes.length > 0);
    if (this.element.isConnected || !isReplaced || !document.body) return;
    this.isReady = false; // a frame that was taken away begins anew
    this.put();
    if (!this.frame) return;
    this.frame.src = this.address();
    this.say({ type: "shown", isShown: this.isShown });
  }

  show(isShown: boolean, takesFocus = true): void {
    if (isShown === this.isShown) return;
    this.isShown = isShown;
    if (isShown) this.load();
    this.panel.hidden = !isShown;
    this.element.toggleAttribute("data-open", isShown);
    this.button.setAttribute("aria-expanded", String(isShown));
    this.label();
    if (takesFocus) (isShown ? this.frame : this.button)?.focus();
    if (takesFocus || !isShown) this.say({ type: "shown", isShown });
    this.emit(isShown ? "open" : "close");
  }

  identify(identity: string): void {
    this.load();
    this.say({ type: "identify", identity });
  }

  on(event: EventName, listener: Listener): () => void {
    const its = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, its.add(listener));
    return () => its.delete(listener);
  }

  private emit(event: EventName, detail?: unknown): void {
    for (const listener of this.listeners.get(event) ?? []) listener(detail);
  }

  private load(): void {
    if (this.frame) return;
    this.frame = document.createElement("iframe");
    this.frame.title = config.title;
    this.frame.allow = "clipboard-write";
    this.frame.src = this.address();
    this.panel.append(this.frame);
  }

  private address(): string {
    const told = new URLSearchParams({ host: location.origin });
    for (const name of NAMES) {
      const kept = stored(name, (storage, key) => storage.getItem(key));
      if (kept) told.set(name, kept);
    }
    return `${this.source.origin}/embed/${config.slug}#${told.toString()}`;
  }

  private hear(event: MessageEvent): void {
    if (!this.frame || event.source !== this.frame.contentWindow || event.origin !== this.source.origin) return;
    const told = fromFrame(event.data);
    switch (told?.type) {
      case "ready":
        return this.begin();
      case "close":
        return this.show(false);
      case "unread":
        return this.count(told.count);
      case "identified":
        return this.emit(told.type);
      case "refused":
        return this.emit(told.type, told.code);
      case "keep":
        return keep(told.name, told.value);
    }
  }

  private begin(): void {
    this.isReady = true;
    for (const message of this.waiting.splice(0)) this.say(message);
    this.emit("ready");
  }

  private say(message: FromHost): void {
    if (this.isReady) this.frame?.contentWindow?.postMessage(wrapped(message), this.source.origin);
    else if (this.frame) this.waiting.push(message);
  }

  private count(count: number): void {
    this.badge.hidden = count === 0;
    this.badge.textContent = String(count);
    this.label(count);
    this.emit("unread", count);
  }

  private label(count = 0): void {
    const text = this.isShown ? texts.close : config.text || texts.open;
    this.button.setAttribute("aria-label", `${text}: ${config.title}${count > 0 ? ` (${count})` : ""}`);
  }

  /** Where it stands is said on the element itself, with more weight than any rule of the page has. */
  private dress(): void {
    const side = config.position === "bottom-left" ? "left" : "right";
    const own = { all: "initial", position: "fixed", bottom: "20px", [side]: "20px", "z-index": "2147483000" };
    for (const [name, value] of Object.entries({ ...own, display: "block", "color-scheme": "light dark" })) {
      this.element.style.setProperty(name, value, "important");
    }
    this.element.dataset.side = side;
    this.element.style.setProperty("--color", config.color);
    this.element.style.setProperty("--on-color", textOn(config.color));
    this.element.style.setProperty("--radius", `${Math.min(config.radius, 28)}px`);
    this.button.type = "button";
    this.button.setAttribute("aria-expanded", "false");
    this.badge.className = "badge";
    this.badge.hidden = true;
    this.button.append(icon(this.source), this.badge);
    if (config.text) this.button.insertBefore(document.createTextNode(config.text), this.badge);
    this.button.addEventListener("click", () => this.show(!this.isShown));
    this.label();
  }
}

/** Undefined where this page may keep nothing, either. */
function stored<Result>(name: KeptName, work: (storage: Storage, key: string) => Result): Result | undefined {
  try {
    return work(name === "session" ? sessionStorage : localStorage, `frontdesk:${config.slug}:${name}`);
  } catch {
    return undefined;
  }
}

function keep(name: KeptName, value: string | null): void {
  stored(name, (storage, key) => (value === null ? storage.removeItem(key) : storage.setItem(key, value)));
}

function icon(source: URL): Node {
  if (config.icon && /^(https?:\/\/|\/)/.test(config.icon)) {
    const image = document.createElement("img");
    image.alt = "";
    image.onerror = () => image.replaceWith(bubble());
    image.src = new URL(config.icon, source).href;
    return image;
  }
  return bubble();
}

function bubble(): Node {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "M4 5h16v11H10l-4 4v-4H4z");
  svg.append(path);
  return svg;
}

begin();
