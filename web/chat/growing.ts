/** Texts that grow with each token, and are shown once in each frame. */
import type { ChatMessage } from "./model";

export type Schedule = (work: () => void) => void;

export class GrowingTexts {
  private readonly texts = new Map<ChatMessage, string>();
  private isScheduled = false;

  constructor(private readonly schedule: Schedule) {}

  add(message: ChatMessage, text: string, reset: boolean): void {
    this.texts.set(message, reset ? text : (this.texts.get(message) ?? message.text) + text);
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.schedule(() => this.flush());
  }

  drop(message: ChatMessage): void {
    this.texts.delete(message);
  }

  flush(): void {
    this.isScheduled = false;
    for (const [message, text] of this.texts) {
      message.text = text;
      if (message.status === "queued") message.status = "running";
    }
    this.texts.clear();
  }
}

/** A page that nobody sees has no frames. */
export function eachFrame(work: () => void): void {
  if (document.visibilityState === "visible") requestAnimationFrame(work);
  else setTimeout(work, 200);
}
